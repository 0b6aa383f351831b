"""When does a learned offset help? TSN, TSM, r-TCN and TIN on the challenge of lags, into results/study_lags.csv.

    python -m benchmarks.study_lags [--seeds 5] [--folder demo/lags] [--share 0/1] [--show]

Each network is trained with every rate of a small grid and seed 0; the rate that is best on the validation split is
kept for the other seeds. What is told of is the test split. A training that ends is kept in the folder, and a study
that was stopped resumes with the next. Several processes may share it: ``--share 0/2``, and ``--share 1/2`` when the
clips are decoded. ``--show`` trains nothing. docs/lags.md says what came out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from scipy.stats import t as student

from benchmarks.lag_clips import KINDS, LagClips, load
from benchmarks.lag_networks import NETWORKS, PLACES, measure, offsets_by_lag, train
from benchmarks.machine import machine
from benchmarks.tables import put_between
from tinkit.files.atomic import write_atomic

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "lags.md"
RATES = (0.1, 0.2)
METRICS = ("top1", *KINDS)


class Training(NamedTuple):
    """One training of the study."""

    place: str
    network: str
    rate: float
    seed: int

    def path(self, folder: Path) -> Path:
        """Where what came out of it is kept."""
        words = f"{self.place}-{self.network}-{self.rate:g}-{self.seed}"
        return folder / "done" / f"{words.replace(', ', '_').replace(' ', '_')}.json"


def cases() -> list[tuple[str, str]]:
    """All places and networks; a TSN has no temporal module, and so is in the first place alone."""
    return [(place, name) for place in PLACES for name in NETWORKS if name != "TSN" or place == "one block"]


def to_do(folder: Path, seeds: int, own: Iterable[tuple[str, str]]) -> Iterator[Training]:
    """The trainings of the cases ``own``: first all that choose rates, then seed by seed."""
    own = list(own)
    for case in own:
        yield from (Training(*case, rate, 0) for rate in RATES)
    for seed in range(1, seeds):
        for case in own:
            yield Training(*case, best_rate(results(folder), case), seed)


def results(folder: Path) -> pd.DataFrame:
    """A row a training that has ended."""
    rows = [json.loads(path.read_text())["row"] for path in sorted((folder / "done").glob("*.json"))]
    return pd.DataFrame(rows)


def best_rate(table: pd.DataFrame, case: tuple[str, str]) -> float:
    """The rate of the best validation top-1 among seed 0's trainings of ``case``."""
    own = table[(table["place"] == case[0]) & (table["network"] == case[1]) & (table["seed"] == 0)]
    return float(own.loc[own["val_top1"].idxmax(), "rate"])


def run(training: Training, folder: Path, splits: dict[str, LagClips]) -> None:
    """Train, measure, and keep what came out."""
    network = NETWORKS[training.network]
    model, seconds = train(network, training.place, training.rate, training.seed, splits["train"])
    row: dict[str, Any] = training._asdict() | {"val_top1": measure(model, network, splits["val"])["top1"]}
    row |= measure(model, network, splits["test"]) | {"cpu_s": round(seconds, 1)}
    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    offsets = [training._asdict() | one for one in offsets_by_lag(model, network, splits["test"])]
    path = training.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps({"row": row, "offsets": offsets}) + "\n")


def chosen(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with the rate that each case keeps."""
    rates = {
        case: best_rate(table, case)
        for case in cases()
        if ((table["place"] == case[0]) & (table["network"] == case[1])).any()
    }
    return table[[rates.get((row.place, row.network)) == row.rate for row in table.itertuples()]]


def mean_and_half(values: pd.Series[float]) -> tuple[float, float]:
    """The mean over seeds and half the width of its 95% interval, by Student's t; infinite for one seed."""
    if len(values) < 2:
        return float(values.mean()), float("inf")
    return float(values.mean()), float(student.ppf(0.975, len(values) - 1) * values.sem())


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds with intervals; top-1 less r-TCN's at the same place and seeds."""
    rows = []
    for place, name in cases():
        own = table[(table["place"] == place) & (table["network"] == name)].set_index("seed")
        if own.empty:
            continue
        row = {"place": place, "network": name, "rate": own["rate"].iloc[0], "seeds": len(own)}
        row |= {metric: _words(own[metric]) for metric in METRICS}
        peer = table[(table["place"] == place) & (table["network"] == "r-TCN")].set_index("seed")
        row["top1 over r-TCN"] = _words((own["top1"] - peer["top1"]).dropna()) if name != "r-TCN" else ""
        rows.append(row)
    return pd.DataFrame(rows)


def _words(values: pd.Series[float]) -> str:
    if values.empty:
        return ""
    mean, half = mean_and_half(values)
    return f"{mean:.1f}" if half == float("inf") else f"{mean:.1f} ± {half:.1f}"


def write(folder: Path) -> None:
    """Write the tables of all trainings that have ended, put the summary into the page, and print it."""
    table = results(folder)
    if table.empty:
        return
    table = table.sort_values(["place", "network", "rate", "seed"], ascending=[False, True, True, True])
    kept = chosen(table).sort_values(["place", "network", "seed"])
    words = machine("torch", "timm")
    write_atomic(RESULTS / "study_lags.csv", table.assign(machine=words).to_csv(index=False))
    steered = [
        row
        for training in kept[["place", "network", "rate", "seed"]].itertuples(index=False)
        for row in json.loads(Training(*training).path(folder).read_text())["offsets"]
    ]
    write_atomic(RESULTS / "study_lags_offsets.csv", pd.DataFrame(steered).to_csv(index=False))
    told = summary(kept)
    write_atomic(PAGE, put_between(PAGE.read_text(), "study-lags", as_markdown(told)))
    print(told.to_string(index=False))


def as_markdown(told: pd.DataFrame) -> str:
    """The summary as a table of the page."""
    lines = [list(told.columns), ["---"] * len(told.columns), *told.astype(str).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Train what is missing, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("demo/lags"))
    parser.add_argument(
        "--share", default="0/1", help="which of several processes this one is, from 0, and of how many"
    )
    parser.add_argument("--show", action="store_true", help="train nothing: write and print what there is")
    asked = parser.parse_args()
    number, shares = map(int, asked.share.split("/"))
    if not asked.show:
        torch.set_num_threads(1)
        root = asked.folder / "data"
        splits: dict[str, LagClips] = {split: load(root, split) for split in ("train", "val", "test")}
        for training in to_do(asked.folder, asked.seeds, cases()[number::shares]):
            if not training.path(asked.folder).is_file():
                run(training, asked.folder, splits)
    write(asked.folder)


if __name__ == "__main__":
    main()
