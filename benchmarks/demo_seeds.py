"""The demo's three models over three seeds, on the test split, into results/demo.csv."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.demo import MEMBERS, tinkit
from benchmarks.seeds import SEEDS, measure, write


def main() -> None:
    """Train what is missing below demo/seeds, write the table and the difference that matters."""
    folder = Path("demo/seeds")
    tinkit("synth", "mmit", folder / "data")
    rows = [measure(folder, member, seed, f"{member}-{seed}") for seed in SEEDS for member in MEMBERS]
    write(rows, "demo")
    column = pd.DataFrame(rows).pivot(index="seed", columns="recipe", values="class mAP, order of time")
    print("\nTIN over TSN, points of class mAP on the classes that need the order of time:")
    print((column["demo_tin"] - column["demo_tsn"]).round(2).to_string())


if __name__ == "__main__":
    main()
