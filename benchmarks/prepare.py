"""What `tinkit data prepare` costs; rows of benchmarks/results/prepare.csv.

    python -m benchmarks.prepare [--only ROW...] [--times N] [--folder DIR] [--out FILE]

Each case is a command of its own; its processor time is that of all its processes. Per file: the difference between a
large and a small set, by the difference of their counts, so that the start of Python is left out. Files are hard links
to some 340x256 videos of 90 frames (x264, a group of pictures of 250); the disk's cache is warm.

The speed-up is in wall time, which a shared machine disturbs: it is the best of several turns, beside what two
processes that only compute, timed in the same turns, gain over one.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from benchmarks.data_clips import CASES, make_clips
from benchmarks.machine import machine
from benchmarks.prepare_scripts import BARE, COMPUTE, MEASURE, OPENING

_SMALL, _LARGE = 200, 1200
_KILLED = 8000
_MILLION = 1_000_000
_LINKS = 20_000  # to one file
_COLUMNS = ("date", "machine", "what", "value", "unit", "bound", "held", "how")

_STEPS = 25_000_000


@dataclass(frozen=True)
class Use:
    """What a command took: seconds, processor seconds, MiB of its largest process."""

    wall: float
    cpu: float
    mib: float


@dataclass(frozen=True)
class Figure:
    """A row: ``held`` says whether ``value`` keeps to ``bound``, None where there is none."""

    what: str
    value: float
    unit: str
    bound: str = ""
    held: bool | None = None
    how: str = ""


def measured(root: Path, *options: str) -> Use:
    """`tinkit data prepare` on the list below ``root``, from nothing."""
    shutil.rmtree(root / ".tinkit", ignore_errors=True)
    command = ["-m", "tinkit", "data", "prepare", "pyslowfast", "--data", str(root), "--split", "train"]
    return use_of(*command, *options)


def use_of(*arguments: str) -> Use:
    """What Python takes, run with these arguments."""
    words = [sys.executable, "-c", MEASURE, sys.executable, *arguments]
    found = json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)
    if found["code"]:
        raise SystemExit(f"failed: {' '.join(arguments)[:200]}")
    return Use(found["wall"], found["cpu"], found["mib"])


def linked(films: Path, root: Path, count: int) -> Path:
    """A list of ``count`` files, each a link to one of some films, a thousand to a folder."""
    sources = sorted((films / "media").iterdir())
    copies: list[Path] = []
    lines = []
    for number in range(count):
        folder = root / f"{number // 1000:04d}"
        if number % 1000 == 0:
            folder.mkdir(parents=True)
        if number % (_LINKS * len(sources)) == 0:  # a file may have so many names only
            copies = [Path(shutil.copy(source, root / f"copy{number}-{source.name}")) for source in sources]
        os.link(copies[number % len(copies)], folder / f"{number:07d}.mp4")
        lines.append(f"{folder.name}/{number:07d}.mp4 {number % 174}\n")
    (root / "train.csv").write_text("".join(lines))
    shutil.copy(films / "category.txt", root / "classes.txt")
    return root


def computing(processes: int) -> float:
    """Seconds that ``processes`` take to compute so much together."""
    begun = time.perf_counter()
    words = [sys.executable, "-c", COMPUTE, str(_STEPS // processes)]
    for process in [subprocess.Popen(words) for _ in range(processes)]:
        process.wait()
    return time.perf_counter() - begun


def per_file(films: Path, folder: Path, times: int) -> Iterator[Figure]:
    """Processor time a file, and what twice as many files add to memory."""
    small, large = (linked(films, folder / name, count) for name, count in (("small", _SMALL), ("large", _LARGE)))
    costs, growth, bare = [], [], []
    for _ in range(times):
        none, all_ = (use_of("-c", BARE, str(root)).cpu for root in (small, large))
        bare.append(1000 * (all_ - none) / (_LARGE - _SMALL))
        one, other = (measured(root, "--workers", "1") for root in (small, large))
        costs.append(1000 * (other.cpu - one.cpu) / (_LARGE - _SMALL))
        growth.append(other.mib - one.mib)
    cost = statistics.median(costs)
    how = f"median of {times}, least {min(costs):.2f}, most {max(costs):.2f}; 340x256, 90 frames"
    yield Figure("prepare, a file", round(cost, 2), "CPU ms", "at most 3.5", cost <= 3.5, how)
    over = statistics.median(one / other for one, other in zip(costs, bare, strict=True))
    how = f"{statistics.median(bare):.2f} CPU ms a file: PyAV opens it, counts its packets, decodes the first frame"
    yield Figure("prepare over bare PyAV", round(over, 2), "x", how=how)
    grown = statistics.median(growth)
    how = f"largest process, {_LARGE} files over {_SMALL}, median of {times}"
    yield Figure("prepare, memory added", round(grown, 1), "MiB", "at most 5", grown <= 5, how)


def speed_up(films: Path, folder: Path, times: int) -> Iterator[Figure]:
    """Two processes over one, in wall time, beside what computing alone gains."""
    small, large = (linked(films, folder / name, count) for name, count in (("few", _SMALL), ("many", _LARGE)))
    walls: dict[int, list[float]] = {1: [], 2: []}
    pure: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(times):
        for workers in (1, 2):
            pure[workers].append(computing(workers))
            one, other = (measured(root, "--workers", str(workers)) for root in (small, large))
            walls[workers].append(other.wall - one.wall)
    gain, possible = (min(side[1]) / min(side[2]) for side in (walls, pure))
    how = f"best of {times} turns each; {gain / possible:.2f} of what computing alone gains"
    yield Figure("prepare, 2 processes over 1", round(gain, 2), "x", "at least 1.8", gain >= 1.8, how)
    yield Figure("computing alone, 2 processes over 1", round(possible, 2), "x", how=f"best of {times}, the same turns")


def killed(films: Path, folder: Path, times: int) -> Iterator[Figure]:
    """What is opened again after the whole process group is killed."""
    root = linked(films, folder / "killed", _KILLED)
    shares = []
    for turn in range(times):
        shutil.rmtree(root / ".tinkit", ignore_errors=True)
        process = subprocess.Popen([sys.executable, "-m", "benchmarks.prepare", "--survey", str(root)],
                                   stdout=subprocess.PIPE, text=True, start_new_session=True)  # fmt: skip
        assert process.stdout is not None
        received = 0
        for line in process.stdout:
            received = int(line)
            if received > _KILLED * (turn + 1) / (times + 1):
                os.killpg(process.pid, signal.SIGKILL)
                break
        process.wait()
        received = max([received, *(int(line) for line in process.stdout)])
        shares.append(100 * (received + 2 * _IN_HAND - _kept(root)) / _KILLED)
    worst = max(shares)
    how = f"worst of {times}, of {_KILLED} files; those included that two processes had in hand"
    yield Figure("prepare, lost by a kill", round(worst, 2), "% of files", "under 1", worst < 1, how)


_IN_HAND = 16  # files that a process works on at a time


def _survey(root: Path) -> None:
    """Open the clips below ``root`` with two processes, and print how many are done as it goes."""
    from tinkit.data.config.dataset import DataConfig
    from tinkit.data.manifest.manifest import open_manifest
    from tinkit.data.probe.clip import ClipProbe, HowToProbe
    from tinkit.data.probe.survey import survey
    from tinkit.spread.processes import processes
    from tinkit.spread.spread import Spread

    manifest = open_manifest(DataConfig(dataset="pyslowfast", root=root), "train")
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        print(done, flush=True)

    how = HowToProbe(str(root), "video", "")
    survey(manifest, how, lambda work: Spread(processes(2), work, 2, lambda path: ClipProbe(path, "unreadable")),
           on_probed=count)  # fmt: skip


def _kept(root: Path) -> int:
    from tinkit.data.config.dataset import DataConfig
    from tinkit.data.manifest.manifest import open_manifest
    from tinkit.data.probe.survey import read_probes

    manifest = open_manifest(DataConfig(dataset="pyslowfast", root=root), "train")
    return len(read_probes(manifest))


def million(films: Path, folder: Path, times: int) -> Iterator[Figure]:
    """A manifest of a million files: built without opening them, and opened."""
    root = linked(films, folder / "million", _MILLION)
    uses = [measured(root, "--no-probe") for _ in range(times)]
    cpu, mib = (statistics.median(getattr(use, name) for use in uses) for name in ("cpu", "mib"))
    how = f"a million files, median of {times}"
    yield Figure("prepare --no-probe", round(cpu, 2), "CPU s", "at most 6", cpu <= 6, how)
    yield Figure("prepare --no-probe, memory", round(mib), "MiB", "at most 450", mib <= 450, how)
    words = [sys.executable, "-c", OPENING, str(root), str(_MILLION)]
    opened = float(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)
    yield Figure("open the manifest", round(opened, 4), "CPU s", "at most 0.02", opened <= 0.02, "median of 9")


ROWS: dict[str, Callable[[Path, Path, int], Iterator[Figure]]] = {
    "file": per_file,
    "speed": speed_up,
    "kill": killed,
    "million": million,
}


def store(figures: list[Figure], file: Path) -> None:
    """Put rows into the csv, in place of those of the same name on the same machine."""
    here = machine("av", "pyarrow")
    old = list(csv.DictReader(file.open(newline=""))) if file.is_file() else []
    rows = {(row["machine"], row["what"]): row for row in old}
    for one in figures:
        held = "" if one.held is None else "yes" if one.held else "no"
        values = (date.today().isoformat(), here, one.what, str(one.value), one.unit, one.bound, held, one.how)
        rows[here, one.what] = dict(zip(_COLUMNS, values, strict=True))
    with file.open("w", newline="") as target:
        writer = csv.DictWriter(target, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows.values())


def main() -> None:
    parser = argparse.ArgumentParser(description="what data prepare costs")
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="for the files; a million links")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "prepare.csv")
    parser.add_argument("--survey", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.survey is not None:
        return _survey(asked.survey)
    with tempfile.TemporaryDirectory(dir=asked.folder) as temporary:
        films = Path(temporary) / "films"
        make_clips(CASES[2], films, 4)
        for name in asked.only:
            for figure in ROWS[name](films, Path(temporary), asked.times):
                held = {None: "", True: "held", False: "MISSED"}[figure.held]
                print(figure.what, figure.value, figure.unit, figure.bound, held, figure.how, flush=True)
                store([figure], asked.out)
    return None


if __name__ == "__main__":
    main()
