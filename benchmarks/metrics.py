"""tinkit's metrics beside scikit-learn's loop, in one run; rows are appended to benchmarks/results/metrics.csv.

    python -m benchmarks.metrics [--rows 10000] [--classes 313] [--out FILE]

Both are the best of several runs (the loop: of two) on the same scores, one thread. The labels are few, as in
Multi-Moments in Time: one to four a clip.
"""

from __future__ import annotations

import argparse
import csv
import functools
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from benchmarks.machine import machine
from tinkit.metrics import class_map, micro_map, sample_map


def best_of(times: int, call: Callable[[], float]) -> tuple[float, float]:
    """Seconds of the fastest call, and its result."""
    seconds, result = [], 0.0
    for _ in range(times):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def main() -> None:
    parser = argparse.ArgumentParser(description="tinkit's metrics beside scikit-learn's loop")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=313)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "metrics.csv")
    asked = parser.parse_args()
    random = np.random.default_rng(0)
    scores = random.normal(size=(asked.rows, asked.classes)).astype(np.float32)
    labels = np.zeros(scores.shape, np.uint8)
    for row in range(asked.rows):
        labels[row, random.choice(asked.classes, random.integers(1, 5), replace=False)] = 1
    present = np.flatnonzero(labels.any(axis=0))
    loops: dict[str, Callable[[], float]] = {
        "sample_map": lambda: float(
            np.mean([average_precision_score(y, s) for y, s in zip(labels, scores, strict=True)])
        ),
        "class_map": lambda: float(np.mean([average_precision_score(labels[:, c], scores[:, c]) for c in present])),
        "micro_map": lambda: float(average_precision_score(labels.ravel(), scores.ravel())),
    }
    ours = {"sample_map": sample_map, "class_map": class_map, "micro_map": micro_map}
    rows = []
    for name, loop in loops.items():
        theirs_seconds, theirs = best_of(2, loop)
        seconds, value = best_of(7, functools.partial(ours[name], scores, labels))
        rows.append(
            {
                "date": date.today().isoformat(),
                "metric": name,
                "rows": asked.rows,
                "classes": asked.classes,
                "tinkit_ms": f"{1000 * seconds:.2f}",
                "scikit_learn_ms": f"{1000 * theirs_seconds:.2f}",
                "ratio": f"{theirs_seconds / seconds:.0f}",
                "difference": f"{abs(theirs - value):.1e}",
                "machine": machine("numpy", "scikit-learn"),
            }
        )
        print(", ".join(f"{key} {value}" for key, value in rows[-1].items() if key not in ("date", "machine")))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    new = not asked.out.exists()
    with asked.out.open("a", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        if new:
            writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
