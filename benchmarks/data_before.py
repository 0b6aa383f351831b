"""Training clips as an earlier commit read them, beside this tree; writes benchmarks/results/data_before.csv.

    python -m benchmarks.data_before [--before COMMIT] [--rounds 11] [--clips 8] [--out FILE]

Each tree has a process of its own, with one thread; they take turns, an epoch each, in another order every second
round. A row has medians, in ms of CPU time a clip, and the ratio's median over the rounds with its 95% interval. This
tree reads a set that was prepared; the earlier one knew no such thing.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from io import BytesIO
from pathlib import Path

from benchmarks.data import machine_and_load, median_interval
from benchmarks.data_clips import CASES, Case, make_clips, manifest_of
from benchmarks.data_peers import SEGMENTS, SIZE
from benchmarks.fuzz.surveyed import survey_here

_BEFORE = "8e1b1f8"
"""The last commit before the native resize."""
_BOUNDS = {"jpg 340x256": 1.9, "jpg 176x100": 3.0, "mp4 one GOP": 1.18, "mp4 12-frame GOP": 1.18, "webm VP9": 1.2}
_ROOT = Path(__file__).parents[1]


def main() -> None:
    asked = _arguments()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        earlier = Path(folder) / "tree"
        archive = subprocess.run(["git", "archive", asked.before], cwd=_ROOT, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=BytesIO(archive)) as tree:
            tree.extractall(earlier, filter="data")
        for number, case in enumerate(CASES):
            root = Path(folder) / str(number)
            make_clips(case, root, asked.clips)
            row = {"date": date.today().isoformat(), **_compare(case, root, earlier, asked)}
            rows.append(row | {"before": asked.before, "machine": machine_and_load()})
            print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    with asked.out.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _compare(case: Case, root: Path, earlier: Path, asked: argparse.Namespace) -> dict[str, str]:
    before: list[float] = []
    now: list[float] = []
    other = root.with_name(f"{root.name}-before")
    shutil.copytree(root, other, ignore=shutil.ignore_patterns(".tinkit"))
    survey_here(manifest_of(case, root))
    with ExitStack() as stack:
        ways = [(before, stack.enter_context(_reader(earlier, case, other)))]
        ways.append((now, stack.enter_context(_reader(_ROOT, case, root))))
        for epoch in range(asked.rounds + 1):
            for times, process in ways if epoch % 2 else reversed(ways):
                seconds = _epoch(process, epoch)
                if epoch:
                    times.append(1000 * seconds / asked.clips)
    ratios = [one / another for one, another in zip(before, now, strict=True)]
    low, high = median_interval(ratios)
    return {
        "case": case.name,
        "rounds": str(asked.rounds),
        "before_ms": f"{statistics.median(before):.2f}",
        "now_ms": f"{statistics.median(now):.2f}",
        "before_over_now": f"{statistics.median(ratios):.2f}",
        "low": f"{low:.2f}",
        "high": f"{high:.2f}",
        "bound": f"at least {_BOUNDS[case.name]:g}",
    }


@contextmanager
def _reader(tree: Path, case: Case, root: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that reads the clips below ``root`` with the tinkit of ``tree``."""
    media = "video" if case.is_video else "frames"
    command = [
        sys.executable,
        str(Path(__file__).with_name("data_turn.py")),
        str(root),
        media,
        str(SEGMENTS),
        str(SIZE),
    ]
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=tree, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield process
        if process.stdin is not None:
            process.stdin.close()


def _epoch(process: subprocess.Popen[str], epoch: int) -> float:
    """CPU seconds of an epoch."""
    assert process.stdin is not None
    assert process.stdout is not None
    print(epoch, file=process.stdin, flush=True)
    return float(process.stdout.readline())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="training clips as an earlier commit read them, beside this tree")
    parser.add_argument("--before", default=_BEFORE)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "data_before.csv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
