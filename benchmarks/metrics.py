"""tinkit's metrics beside scikit-learn's, and beside themselves without the compiled library, in one run.

    python -m benchmarks.metrics [--rows 10000] [--classes 313] [--pairs 11] [--out FILE]

CPU time of calls that take turns, one thread. One to six labels a clip, as in Multi-Moments in Time. The values are
compared too: a difference above 1e-9 is an error.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from benchmarks.machine import machine
from benchmarks.pairs import Bound, Timer, cpu, paired, timed_row
from benchmarks.tables import Table
from tinkit.average_precision import compiled
from tinkit.metrics import class_map, micro_map, sample_map

CLOSE = 1e-9
OURS = {"sample_map": sample_map, "class_map": class_map, "micro_map": micro_map}
BOUND = {"sample_map": Bound(0.2), "class_map": Bound(1.0)}
"""What each may take of the time that sorting all rows takes."""


def main() -> None:
    parser = argparse.ArgumentParser(description="tinkit's metrics beside scikit-learn's")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=313)
    parser.add_argument("--pairs", type=int, default=11, help="of the rows beside sorting; three beside scikit-learn")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "metrics.csv")
    asked = parser.parse_args()
    scores, labels = drawn(asked.rows, asked.classes)
    case = f"{asked.rows}x{asked.classes}, 1 to 6 labels"
    table = Table("metrics", f"{machine('numpy', 'scikit-learn')}; 1 thread, CPU time", asked.out, None)
    if compiled.compared_ap(scores, labels) is None:
        raise SystemExit(f"not compiled: a C++ compiler is needed, and a matrix of {compiled.SMALL:,} numbers or more")
    for name, theirs in loops(scores, labels).items():
        ours = functools.partial(OURS[name], scores, labels)
        if not abs(ours() - theirs()) <= CLOSE:
            raise SystemExit(f"{name}: {ours()} is not scikit-learn's {theirs()}")
        table.add(timed_row(name, case, "scikit-learn", paired(cpu(ours), cpu(theirs), 2)))
        if name in BOUND:
            times = paired(cpu(ours), sorting(ours), asked.pairs // 2 * 2)
            table.add(timed_row(name, case, "the same, rows sorted", times, BOUND[name]))
    table.finish()


def drawn(rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and labels of which every clip has one to six."""
    random = np.random.default_rng(0)
    labels = np.zeros((rows, classes), np.uint8)
    for row in labels:
        row[random.choice(classes, random.integers(1, 7), replace=False)] = 1
    return random.normal(size=labels.shape).astype(np.float32), labels


def loops(scores: np.ndarray, labels: np.ndarray) -> dict[str, Callable[[], float]]:
    """scikit-learn's values: row by row, class by class, and of all at once."""
    present = np.flatnonzero(labels.any(axis=0))
    return {
        "sample_map": lambda: float(
            np.mean([average_precision_score(y, s) for y, s in zip(labels, scores, strict=True)])
        ),
        "class_map": lambda: float(np.mean([average_precision_score(labels[:, c], scores[:, c]) for c in present])),
        "micro_map": lambda: float(average_precision_score(labels.ravel(), scores.ravel())),
    }


def sorting(call: Callable[[], object]) -> Timer:
    """The same where rows are sorted, as where there is no compiler."""
    timed = cpu(call)

    def without() -> float:
        with _no_library():
            return timed()

    return without


@contextmanager
def _no_library() -> Iterator[None]:
    small, compiled.SMALL = compiled.SMALL, 1 << 62
    try:
        yield
    finally:
        compiled.SMALL = small


if __name__ == "__main__":
    main()
