"""The demo's TIN from the published starts of branches and classifier and from its own, into results/starts.csv."""

from __future__ import annotations

from pathlib import Path

from benchmarks.demo import tinkit
from benchmarks.seeds import measure, write


def main() -> None:
    """Train what is missing below demo/seeds and write the table."""
    folder = Path("demo/seeds")
    tinkit("synth", "mmit", folder / "data")
    rows = []
    for zero_init_last in (True, False):
        for std in (0.001, 0.05):
            settings = [f"model.zero_init_last={str(zero_init_last).lower()}", f"model.classifier_std={std}"]
            # the run that `demo_seeds` made, where it is the same
            name = "demo_tin-0" if (zero_init_last, std) == (False, 0.05) else f"demo_tin-{zero_init_last}-{std}-0"
            row = measure(folder, "demo_tin", 0, name, settings)
            rows.append({"zero_init_last": zero_init_last, "classifier_std": std} | row)
    write(rows, "starts")


if __name__ == "__main__":
    main()
