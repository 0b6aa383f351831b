"""The kernel cache runs nobody else's code: a library of a stranger's is put there in every way, and must not run."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.faults.outcome import Outcome

_STRANGER = 54321
_SOURCE = """#include <cstdio>
__attribute__((constructor)) static void loaded() { std::puts("%s runs"); std::fflush(stdout); }
"""
_CHILD = """
import sys
from pathlib import Path
from tinkit.ops import native
print(native.open_library(Path(sys.argv[1])).problem)
"""


def run(folder: Path, seed: int) -> Iterator[Outcome]:
    """Try every fault at every place, in an order drawn from ``seed``."""
    if shutil.which("c++") is None:
        return
    ours = _library(folder, "ours")
    planted = _plant(folder / "cache", ours, _library(folder, "foreign"))
    if "foreign runs" not in _load(ours, folder / "cache"):
        yield Outcome("a stranger's library", "none", False, note="the trials are void: it is not found")
    cases = [(fault, place) for fault in _FAULTS for place in _PLACES if (place == "file") or fault not in _FILES_ONLY]
    random.Random(seed).shuffle(cases)
    for number, (fault, place) in enumerate(cases):
        if (place, fault) == ("file", "sticky") or (os.geteuid() != 0 and "another's" in fault):
            continue  # only root can give a file away
        cache = folder / f"case{number}" / "cache"
        shutil.copytree(folder / "cache", cache)
        yield _try(cache, fault, place, ours, cache / "kernels" / planted)


def _try(cache: Path, fault: str, place: str, kernels: Path, planted: Path) -> Outcome:
    where = {"file": planted, "kernels": planted.parent, "cache": cache, "above": cache.parent}[place]
    _FAULTS[fault](where)
    said = _load(kernels, cache)
    allowed = fault == "sticky" and place in ("cache", "above") and os.geteuid() == 0  # as /tmp is
    notes = ["it runs"] * ("foreign runs" in said and not allowed) + ["nothing runs"] * ("runs" not in said)
    notes += ["nothing is said"] * ("not taken from" not in said and not allowed)
    return Outcome("a stranger's library", f"{place}: {fault}", not notes, note="; ".join(notes))


def _plant(cache: Path, ours: Path, foreign: Path) -> str:
    """Put the foreign library under the name of ours, with its own hash; the name."""
    _load(foreign, cache)
    (theirs,) = (cache / "kernels").glob("*.so")
    data, ending = theirs.read_bytes(), theirs.stem.rpartition("-")[2]
    theirs.unlink()
    _load(ours, cache)
    (mine,) = (cache / "kernels").glob("*.so")
    mine.unlink()
    planted = mine.with_name(f"{mine.stem.rpartition('-')[0]}-{ending}.so")
    planted.write_bytes(data)
    return planted.name


def _library(folder: Path, name: str) -> Path:
    kernels = folder / name
    (kernels / "cpu").mkdir(parents=True)
    (kernels / "cpu" / "library.cpp").write_text(_SOURCE % name)
    return kernels


def _load(kernels: Path, cache: Path) -> str:
    """What a fresh process prints that loads the library."""
    environment = os.environ | {"TINKIT_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(kernels)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def _give_away(path: Path) -> None:
    os.chown(path, _STRANGER, -1, follow_symlinks=False)


def _linked(path: Path) -> None:
    """Move what is there elsewhere, as the stranger's, and put a link of his in its place."""
    other = path.with_name(f"{path.name}.elsewhere")
    path.rename(other)
    path.symlink_to(other)
    _give_away(path)


_FAULTS: dict[str, Callable[[Path], object]] = {
    "another's": _give_away,
    "another's link": _linked,
    "writable by the group": lambda path: path.chmod(0o775),
    "writable by all": lambda path: path.chmod(0o757),
    "sticky": lambda path: path.chmod(0o1777),
    "a second name": lambda path: os.link(path, path.with_name("other")),
    "a FIFO": lambda path: (path.unlink(), os.mkfifo(path)),
    "a socket": lambda path: (path.unlink(), os.mknod(path, stat.S_IFSOCK | 0o600)),
}
_PLACES = ("file", "kernels", "cache", "above")
_FILES_ONLY = ("a second name", "a FIFO", "a socket")
