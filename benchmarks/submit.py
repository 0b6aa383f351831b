"""A submission written and checked, beside pandas, in benchmarks/results/submit.csv; and one of a million rows.

    python -m benchmarks.submit [--rows 10000] [--classes 313] [--pairs 5] [--million 1000000] [--out FILE]

The file is Multi-Moments in Time's: every class's probability to the last digit. The peer is what one writes in a
notebook: `expit`, a frame, `to_csv`; `read_csv`, and whether ids and values are right. Both are timed in turns, in CPU
time of the process. The million is run once, each step in a process of its own, whose own memory (without the pages of
mapped files) is looked at every 20 ms.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from benchmarks.machine import machine
from benchmarks.memory import seconds_and_peak
from benchmarks.pairs import Timer, Times, cpu, interval
from tinkit.scores import ScoreInfo, ScoreTable, write_scores
from tinkit.submission import Options, judge_submission, make_submission

COLUMNS = (
    "date", "machine", "what", "rows", "classes", "pairs", "ratio_to_pandas", "low", "high", "cpu_s", "pandas_cpu_s",
    "peak_mib",
)  # fmt: skip


def make_scores(folder: Path, rows: int, classes: int) -> None:
    """Logits of ``rows`` test clips, and the list of them."""
    random = np.random.default_rng(0)
    scores = np.empty((rows, classes), np.float32)
    for start in range(0, rows, 10_000):
        scores[start : start + 10_000] = 3 * random.normal(size=(min(10_000, rows - start), classes))
    ids = [f"action {row % 300}/clip_{row:08d}.mp4" for row in range(rows)]
    info = ScoreInfo("logits", "multi-label", tuple(f"class {i}" for i in range(classes)), "bench", "1", "test")
    write_scores(folder / "scores.arrow", ScoreTable(info, ids, scores, np.ones(rows, bool), [None] * rows, ids))
    (folder / "ids.txt").write_text("".join(f"{name}\n" for name in ids))


def write(folder: Path) -> None:
    """What `tinkit submit` does."""
    options = Options(ids=folder / "ids.txt", force=True)
    make_submission(str(folder / "scores.arrow"), "mmit", folder / "ours" / "a.csv", options)


def check(folder: Path, classes: int) -> None:
    """What `tinkit submit --check` does."""
    report, _ = judge_submission(folder / "ours" / "a.csv", "mmit", ids=folder / "ids.txt", num_classes=classes)
    assert report.ok, report.problems


def pandas_write(folder: Path) -> None:
    """The notebook's way to write."""
    from tinkit.scores import read_scores

    table = read_scores(folder / "scores.arrow")
    frame = pd.DataFrame(expit(table.scores.astype(np.float64)), index=pd.Index(list(table.ids), name="filename"))
    frame.columns = [f"score_{index}" for index in range(frame.shape[1])]
    frame.to_csv(folder / "theirs.csv")


def pandas_check(folder: Path) -> None:
    """The notebook's way to check."""
    frame = pd.read_csv(folder / "theirs.csv", index_col=0)
    values = frame.to_numpy()
    assert list(frame.index) == (folder / "ids.txt").read_text().splitlines()
    assert ((values >= 0) & (values <= 1)).all()


def in_turns(first: Timer, second: Timer, pairs: int) -> Times:
    """Both in turns, after each was run once."""
    sides, times = (first, second), np.empty((2, pairs))
    first(), second()
    for pair in range(pairs):
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            times[side, pair] = sides[side]()
    return Times(times[0], times[1])


def store(rows: list[dict[str, str]], out: Path) -> None:
    """Replace the rows of this machine and size, keep all others, and show the new ones."""
    known: dict[tuple[str, ...], dict[str, str]] = {}
    if out.is_file():
        with out.open(newline="") as handle:
            known = {tuple(row[name] for name in COLUMNS[1:5]): row for row in csv.DictReader(handle)}
    known |= {tuple(row[name] for name in COLUMNS[1:5]): row for row in rows}
    with out.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(known.values())
    for row in rows:
        print(", ".join(f"{key} {value}" for key, value in row.items() if value and key not in ("date", "machine")))


def compared(folder: Path, rows: int, classes: int, pairs: int) -> list[dict[str, str]]:
    """Both steps beside pandas."""
    make_scores(folder, rows, classes)
    steps = {
        "write": (lambda: write(folder), lambda: pandas_write(folder)),
        "check": (lambda: check(folder, classes), lambda: pandas_check(folder)),
    }
    found = []
    for what, (ours, theirs) in steps.items():
        times = in_turns(cpu(ours), cpu(theirs), pairs)
        ratio = interval(times.first / times.second)
        numbers = (ratio.median, ratio.low, ratio.high, np.median(times.first) / 1000, np.median(times.second) / 1000)
        cells = (date.today().isoformat(), machine("numpy", "pyarrow", "pandas"), what, str(rows), str(classes))
        found.append(dict(zip(COLUMNS, (*cells, str(pairs), *(f"{n:.3f}" for n in numbers), ""), strict=True)))
    return found


def million(folder: Path, rows: int, classes: int) -> list[dict[str, str]]:
    """Both steps once, of many rows."""
    seconds_and_peak(lambda: make_scores(folder, rows, classes))
    found = []
    for what, call in (("write", lambda: write(folder)), ("check", lambda: check(folder, classes))):
        seconds, peak = seconds_and_peak(call)
        cells = (date.today().isoformat(), machine("numpy", "pyarrow", "pandas"), what, str(rows), str(classes))
        found.append(dict(zip(COLUMNS, (*cells, "1", "", "", "", f"{seconds:.1f}", "", f"{peak:.0f}"), strict=True)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="a submission written and checked, beside pandas")
    parser.add_argument("--rows", type=int, default=10_000, help="beside pandas (10000)")
    parser.add_argument("--classes", type=int, default=313)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--million", type=int, default=1_000_000, help="rows of the single run; 0 for none")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "submit.csv")
    asked = parser.parse_args()
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        if asked.million:
            store(million(Path(folder), asked.million, asked.classes), asked.out)
        store(compared(Path(folder), asked.rows, asked.classes, asked.pairs), asked.out)


if __name__ == "__main__":
    main()
