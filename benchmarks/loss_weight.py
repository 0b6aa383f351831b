"""The demo's TIN with its loss multiplied by five factors, over three seeds, into results/loss_weight.csv.

0.04 is 12 classes by 313: what the mean over the classes of Multi-Moments in Time leaves of the demo's gradients.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.demo import tinkit
from benchmarks.seeds import SEEDS, measure, write

FACTORS = (0.04, 0.2, 1.0, 5.0, 25.0)


def main() -> None:
    """Train what is missing below demo/seeds and write the table."""
    folder = Path("demo/seeds")
    tinkit("synth", "mmit", folder / "data")
    rows = []
    for seed in SEEDS:
        for factor in FACTORS:
            # the run that `demo_seeds` made, where it is the same
            name = f"demo_tin-{seed}" if factor == 1 else f"demo_tin-weight{factor:g}-{seed}"
            row = measure(folder, "demo_tin", seed, name, [f"loss.weight={factor}"])
            rows.append({"loss.weight": factor} | row)
    write(sorted(rows, key=lambda row: (row["loss.weight"], row["seed"])), "loss_weight")


if __name__ == "__main__":
    main()
