"""Read 10,000 mutated files; a row a kind goes into benchmarks/results/fuzz.csv.

    python -m benchmarks.fuzz [--only KIND...] [--share 0.1] [--seed 0] [--out FILE]

A case is a kind and a seed, and the same every time: `--only mp4 --seed 1234 --cases 1` repeats one.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from datetime import date
from pathlib import Path

from benchmarks.fuzz.material import fetched, make_media
from benchmarks.fuzz.parent import Result, prepare, run
from benchmarks.fuzz.targets import ROWS
from benchmarks.machine import machine

_COLUMNS = (
    "date", "machine", "material", "kind", "cases", "read", "refused", "crashed", "hung", "outside", "slowest_cpu_s",
    "peak_mib", "growth_mib",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="read mutated files")
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="KIND")
    parser.add_argument("--share", type=float, default=1.0, help="of the cases of every kind")
    parser.add_argument("--cases", type=int, help="of every kind, in place of its own number")
    parser.add_argument("--seed", type=int, default=0, help="the first seed of every kind")
    parser.add_argument("--cache", type=Path, default=Path("build") / "fuzz", help="for the real films")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results" / "fuzz.csv")
    asked = parser.parse_args()
    films = fetched(asked.cache)
    if not films:
        print("the real films could not be fetched; own encodings of photographs stand for them", file=sys.stderr)
    material = "real films" if films else "own encodings"
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = prepare(Path(temporary), make_media(films))
        for kind in asked.only:
            cases = asked.cases or max(1, round(ROWS[kind].cases * asked.share))
            result = run(folder, kind, range(asked.seed, asked.seed + cases))
            results.append(result)
            _store(result, asked.out, material)
            print(f"{kind}: {result.words()}", flush=True)
            for fault in result.faults:
                print(fault, flush=True)
    total = sum(len(result.faults) for result in results)
    print(f"{sum(result.cases for result in results)} files, {total} faults")
    return 1 if total else 0


def _store(result: Result, file: Path, material: str) -> None:
    """Put a row in place of that of the same kind on the same machine."""
    here = machine("av", "pillow", "pyarrow")
    old = list(csv.DictReader(file.open(newline=""))) if file.is_file() else []
    rows = {(row["machine"], row["material"], row["kind"]): row for row in old}
    values = (date.today().isoformat(), here, material, result.kind, *result.figures())
    rows[here, material, result.kind] = dict(zip(_COLUMNS, map(str, values), strict=True))
    with file.open("w", newline="") as target:
        writer = csv.DictWriter(target, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows.values())


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
