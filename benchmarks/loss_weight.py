"""A small TIN with its loss multiplied by five factors, over three seeds, into results/loss_weight.csv.

The demo's challenge with half its clips and the demo's TIN on 4 frames of 32 pixels, so that 15 trainings take minutes.
0.04 is 12 classes by 313: what the mean over the classes of Multi-Moments in Time leaves of the demo's gradients.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.demo import tinkit
from benchmarks.seeds import SEEDS, measure, write

FACTORS = (0.04, 0.2, 1.0, 5.0, 25.0)
SMALL = ("clip.size=32", "clip.num_segments=4", "test.scale=32", "test.crop=32", "train.workers=0")


def main() -> None:
    """Train what is missing below demo/loss_weight and write the table."""
    folder = Path("demo/loss_weight")
    tinkit("synth", "mmit", folder / "data", "--clips", "600", "--val", "100", "--test", "400")
    rows = []
    for seed in SEEDS:
        for factor in FACTORS:
            settings = (*SMALL, f"loss.weight={factor}")
            row = measure(folder, "demo_tin", seed, f"weight{factor:g}-{seed}", settings)
            rows.append({"loss.weight": factor} | row)
    write(sorted(rows, key=lambda row: (row["loss.weight"], row["seed"])), "loss_weight")


if __name__ == "__main__":
    main()
