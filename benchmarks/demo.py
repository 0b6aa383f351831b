"""The whole road on a synthetic challenge, by the commands a competitor would type; then the organisers' score.

Synthesise, train three models, test them, fuse, submit, check, and score against the answers that nothing before the
last step reads. Every command is printed as it runs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinkit import metrics
from tinkit.cli.app import app
from tinkit.data.synth import answers_path, order_classes_path
from tinkit.errors import UserError
from tinkit.scores import read_scores, to_probabilities
from tinkit.terminal import print_table

MEMBERS = ("demo_tsn", "demo_tsm", "demo_tin")
VIEWS = ("1x1", "2x1")


def tinkit(*arguments: str | Path) -> None:
    """Print a `tinkit` command and run it in this process, which spares starting PyTorch once a command."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ tinkit {' '.join(words)}", flush=True)
    app(words, standalone_mode=False)


def answer_matrix(path: Path, ids: list[str], num_classes: int) -> np.ndarray:
    """(N, C) of 0 and 1 in the order of ``ids``, from the hidden answers."""
    answers = pd.read_csv(path, dtype=str).set_index("id")["labels"]
    matrix = np.zeros((len(ids), num_classes), np.uint8)
    for row, clip in enumerate(ids):
        matrix[row, [int(label) for label in answers[clip].split()]] = 1
    return matrix


def test_metrics(scores: Path, data: Path) -> dict[str, float]:
    """Sample and class mAP on the test split, and class mAP on the classes that need the order of time, in percent."""
    table = to_probabilities(read_scores(scores))
    classes = list(table.info.classes)
    labels = answer_matrix(answers_path(data), list(table.ids), len(classes))
    ordered = [classes.index(name) for name in order_classes_path(data, "mmit").read_text().splitlines() if name]
    values = np.asarray(table.scores)
    return {
        "sample mAP": 100 * metrics.sample_map(values, labels),
        "class mAP": 100 * metrics.class_map(values, labels),
        "class mAP, order of time": 100 * metrics.class_map(values[:, ordered], labels[:, ordered]),
    }


def clips_per_second(run: Path) -> float:
    """The training's median over its epochs."""
    return float(pd.read_csv(run / "metrics.csv")["clips_per_s"].median())


def main() -> None:
    """Run the demo and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where everything goes")
    options = parser.parse_args()
    started = time.monotonic()
    folder: Path = options.folder
    data, runs, fusions = folder / "data", folder / "runs", folder / "fusions"
    for old in (runs, fusions, folder / "submission"):
        shutil.rmtree(old, ignore_errors=True)
    tinkit("synth", "mmit", data)
    for member in MEMBERS:
        tinkit("train", member, "--data", data, "--runs", runs)
    for member in MEMBERS:
        for split in ("val", "test"):
            for views in VIEWS:
                tinkit("test", member, "--split", split, "--views", views, "--runs", runs)
    shared = ("--runs", runs, "--fusions", fusions)
    tinkit("ensemble", "demo", "--method", "mean-logits", "--name", "equal", *shared)
    tinkit("ensemble", "demo", "--name", "fitted", *shared)
    submission, ids = folder / "submission" / "mmit.csv", data / "annotations" / "testSet.csv"
    ledger = folder / "submissions.csv"
    tinkit("submit", fusions / "fitted", "--challenge", "demo", "--ids", ids, "--out", submission, "--ledger", ledger)
    tinkit("submit", "--check", submission, "--challenge", "demo", "--ids", ids)

    print("\nWhat follows reads the hidden answers, as the organisers would.")
    tinkit("submit", "--check", submission, "--challenge", "demo", "--ids", ids, "--answers", answers_path(data))
    rows: list[dict[str, Any]] = []
    for member in MEMBERS:
        for views in VIEWS:
            path = runs / member / "scores" / f"test-{views}-best.arrow"
            speed = clips_per_second(runs / member)
            rows.append({"model": member, "views": views} | test_metrics(path, data) | {"training clips/s": speed})
    for name, title in (("equal", "equal mean"), ("fitted", "fitted fusion")):
        values = test_metrics(fusions / name / "test.arrow", data)
        rows.append({"model": title, "views": "2x1"} | values | {"training clips/s": None})
    print()
    print_table("The test split, in percent", rows)
    (folder / "table.json").write_text(json.dumps(rows, indent=2) + "\n")
    tinkit("report", *MEMBERS, "fitted", "--out", folder / "report.html", *shared)
    minutes = (time.monotonic() - started) / 60
    print(f"submission: {submission} ({minutes:.1f} minutes)")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
