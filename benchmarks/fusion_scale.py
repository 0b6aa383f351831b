"""Fusions of many clips, in benchmarks/results/fusion_scale.csv: CPU time beside NumPy's, and the memory they take.

    python -m benchmarks.fusion_scale [--rows 200000 1000000] [--classes 313] [--members 6] [--pairs 3] [--out FILE]

The peer is a weighted sum of the same memory-mapped scores in the same blocks, with float64 weights, into an array:
nothing is checked, aligned, hashed or written. Both are timed in turns, in CPU time of the process. `parts` are the
pieces of work that a fusion adds to it, each over the same peer. Memory is the process's own (RssAnon, without the
pages of files), looked at every 20 ms in a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine
from benchmarks.memory import seconds_and_peak
from benchmarks.pairs import cpu, interval
from tinkit.files.block_sums import BlockSums
from tinkit.fusion import fuse
from tinkit.fusion.combine import BLOCK
from tinkit.fusion.resolve import resolve_members
from tinkit.fusion.spec import EnsembleSpec
from tinkit.scores import ScoreInfo, ScoreTable, check_scores, read_scores, write_scores

COLUMNS = (
    "date", "machine", "what", "rows", "classes", "members", "pairs", "ratio_to_numpy", "low", "high", "cpu_s",
    "cpu_us_a_row", "peak_mib",
)  # fmt: skip
WEIGHTS = (0.3, 0.25, 0.2, 0.1, 0.1, 0.05)


def make_member(path: Path, number: int, rows: int, classes: int) -> None:
    """Logits of one member, which know a little of each clip's label; one source has five clips."""
    truth = np.random.default_rng(0).integers(classes, size=rows)
    random = np.random.default_rng([1, number])
    scores = np.empty((rows, classes), np.float32)
    for start in range(0, rows, 10_000):
        part = scores[start : start + 10_000]
        random.standard_normal(dtype=np.float32, out=part)
        part[np.arange(len(part)), truth[start : start + len(part)]] += 1 + 0.2 * number
    names = tuple(f"class {i}" for i in range(classes))
    split = path.stem.rpartition("-")[2]
    facts = {"run": f"member{number}", "trained_on": ("train",), "hashes": {"checkpoint": str(number)}}
    info = ScoreInfo("logits", "single-label", names, "bench", "1", split, **facts)
    labels = [(int(label),) for label in truth] if split == "val" else [None] * rows
    ids = [f"clip_{row:08d}.mp4" for row in range(rows)]
    sources = [f"video {row // 5}" for row in range(rows)]
    write_scores(path, ScoreTable(info, ids, scores, np.ones(rows, bool), labels, sources))


def files_of(folder: Path, split: str, members: int) -> list[Path]:
    """The members' score files of ``split``."""
    return [folder / f"member{number}-{split}.arrow" for number in range(members)]


def ensemble(folder: Path, members: int, *, fitted: bool) -> None:
    """What `tinkit ensemble` does: weights by hand on a split without labels, or `stack` fitted on one with labels."""
    split = "val" if fitted else "test"
    given = [{"scores": {split: path}} for path in files_of(folder, split, members)]
    if not fitted:
        given = [one | {"weight": weight} for one, weight in zip(given, WEIGHTS, strict=False)]
    how = {"fit": "val", "apply": (), "method": "stack"} if fitted else {"fit": "none", "method": "by-hand"}
    spec = EnsembleSpec.model_validate({"members": given, **how})
    fuse(spec, resolve_members(spec.members, spec.splits, folder), folder / "fused", force=True)


def plain_sum(maps: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The weighted sum that one writes with NumPy."""
    out = np.empty(maps[0].shape, np.float32)
    weights = np.array(WEIGHTS[: len(maps)])
    step = max(1, BLOCK // out.shape[1])
    for start in range(0, len(out), step):
        part = slice(start, start + step)
        out[part] = sum(weight * own[part] for weight, own in zip(weights, maps, strict=True))
    return out


def pieces(folder: Path, members: int) -> dict[str, Callable[[], object]]:
    """The work that a fusion adds to the sum, piece by piece."""
    paths = files_of(folder, "test", members)
    tables = [read_scores(path) for path in paths]

    def sum_inputs() -> None:
        for table in tables:
            BlockSums().update(table.scores.data)

    def hash_inputs() -> None:
        for table in tables:
            hashlib.sha256(table.scores).digest()

    def write() -> None:
        write_scores(folder / "piece.arrow", tables[0])

    return {
        "part: the sums of the inputs' blocks": sum_inputs,
        "beside: SHA-256 of the inputs, once": hash_inputs,
        "part: reading ids, labels and sources": lambda: [read_scores(path) for path in paths],
        "part: whether the inputs are finite": lambda: [check_scores(table) for table in tables],
        "part: writing the result with its checksum": write,
    }


@dataclass
class Results:
    """The rows of this run, each said as it comes."""

    rows: int
    classes: int
    members: int
    kept: list[dict[str, object]] = field(default_factory=list)

    def add(self, what: str, seconds: float, peak: float | None, ratios: NDArray[np.float64] | None = None) -> None:
        """Keep and say a row."""
        pairs, found = (1, ("", "", "")) if ratios is None else (len(ratios), (f"{x:.2f}" for x in interval(ratios)))
        values = (
            date.today().isoformat(), machine("numpy", "pyarrow"), what, self.rows, self.classes, self.members, pairs,
            *found, f"{seconds:.3f}", f"{1e6 * seconds / self.rows:.2f}", "" if peak is None else f"{peak:.0f}",
        )  # fmt: skip
        self.kept.append(dict(zip(COLUMNS, values, strict=True)))
        print("  ".join(map(str, values[2:])), flush=True)


def measure(results: Results, pairs: int, folder: Path) -> None:
    """All rows of one size. The files of one split are removed before those of the next are made."""
    rows, classes, members = results.rows, results.classes, results.members
    for number, path in enumerate(paths := files_of(folder, "test", members)):
        make_member(path, number, rows, classes)
    results.add("fixed weights", *seconds_and_peak(partial(ensemble, folder, members, fitted=False)))
    maps = [read_scores(path).scores for path in paths]
    plain = cpu(lambda: plain_sum(maps))
    plain()  # the pages are in memory
    work = {"fixed weights": partial(ensemble, folder, members, fitted=False)} | pieces(folder, members)
    for what, call in work.items():
        mine = cpu(call)
        first, second = np.array([(mine(), plain()) for _ in range(pairs)]).T
        results.add(f"{what}, over NumPy's sum", float(np.median(first)) / 1000, None, first / second)
    for path in (*paths, folder / "piece.arrow"):
        path.unlink()
    for number, path in enumerate(files_of(folder, "val", members)):
        make_member(path, number, rows, classes)
    results.add(
        "stack fitted, confirmed on all rows", *seconds_and_peak(partial(ensemble, folder, members, fitted=True))
    )


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000, 1_000_000])
    parser.add_argument("--classes", type=int, default=313)
    parser.add_argument("--members", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "fusion_scale.csv")
    asked = parser.parse_args()
    kept: list[dict[str, object]] = []
    for rows in asked.rows:
        results = Results(rows, asked.classes, asked.members)
        with tempfile.TemporaryDirectory() as folder:
            measure(results, asked.pairs, Path(folder))
        kept += results.kept
    with asked.out.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)


if __name__ == "__main__":
    main()
