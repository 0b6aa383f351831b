"""The demo's TIN with its offsets starting at 0.5, 1.0 and 1.5 frames, over three seeds, into results/offsets.csv."""

from __future__ import annotations

from pathlib import Path

from benchmarks.demo import tinkit
from benchmarks.seeds import SEEDS, measure, write

STARTS = (0.5, 1.0, 1.5)


def main() -> None:
    """Train what is missing below demo/seeds and write the table."""
    folder = Path("demo/seeds")
    tinkit("synth", "mmit", folder / "data")
    rows = []
    for start in STARTS:
        for seed in SEEDS:
            setting = f"model.offset_init={start}"
            # the run that `demo_seeds` made, where it is the same
            name = f"demo_tin-{seed}" if start == 1.0 else f"demo_tin-offset{start}-{seed}"
            rows.append({"offset_init": start} | measure(folder, "demo_tin", seed, name, [setting]))
    write(rows, "offsets")


if __name__ == "__main__":
    main()
