"""Children that read changed files, watched: one that dies or falls silent is replaced, and its case is a fault."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fuzz.material import Files

SILENCE = 180.0  # seconds without an answer, on a machine that may be busy
_BATCH = 250  # cases of a child, over which memory may not grow
_WARM = 50  # cases until a child has what it keeps
GROWTH_MIB = 64.0


@dataclass
class Result:
    """What became of the cases of one kind. ``faults`` names each, with its seed.

    ``peak`` MiB were taken at most, of which ``loaded`` by a child before its first case.
    """

    kind: str
    cases: int = 0
    read: int = 0
    refused: int = 0
    crashed: int = 0
    hung: int = 0
    outside: int = 0
    slowest: float = 0.0
    peak: float = 0.0
    loaded: float = 0.0
    growth: float = 0.0
    faults: list[str] = field(default_factory=list)

    def add(self, answer: dict[str, Any]) -> None:
        """Count what a child has said of a case."""
        self.cases += 1
        said = answer["said"]
        self.read += said == "read"
        self.refused += said == "refused"
        self.crashed += said == "crashed"
        self.outside += said != "crashed" and bool(answer["fault"])
        self.slowest = max(self.slowest, answer["seconds"])
        self.peak = max(self.peak, answer["peak_kb"] / 1024)
        self.loaded = answer["loaded_kb"] / 1024
        if answer["fault"]:
            self.faults.append(f"{self.kind} seed {answer['seed']}: {said}: {answer['fault']}")

    def died(self, seed: int, how: str) -> None:
        """Count a case over which its child ended."""
        self.cases += 1
        hung = how.startswith(("it fell silent", "exit -24"))  # SIGXCPU
        self.hung += hung
        self.crashed += not hung
        self.faults.append(f"{self.kind} seed {seed}: the child ended: {how}")

    def figures(self) -> tuple[object, ...]:
        """As the table has them."""
        counts = (self.cases, self.read, self.refused, self.crashed, self.hung, self.outside)
        return *counts, round(self.slowest, 2), round(self.peak, 1), round(self.growth, 1)

    def words(self) -> str:
        """As a person reads them."""
        return (
            f"{self.cases} cases, {self.read} read, {self.refused} refused, {len(self.faults)} faults; slowest "
            f"{self.slowest:.2f} CPU s, peak {self.peak:.0f} MiB, growth {self.growth:.0f} MiB"
        )


class Child:
    """A child process, and its answers one at a time."""

    def __init__(self, folder: Path) -> None:
        words = [sys.executable, "-m", "benchmarks.fuzz.child", str(folder)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TINKIT_CACHE": str(folder / "root" / ".cache")}
        self._process = subprocess.Popen(
            words, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        self._said = b""  # and not yet asked for
        self._selector = selectors.DefaultSelector()
        assert self._process.stdout is not None
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def order(self, kind: str, first: int, last: int) -> None:
        """Have it read some cases."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps([kind, first, last])}\n".encode())

    def answer(self) -> dict[str, Any] | None:
        """What became of the next case; None where the child has died, or says nothing for too long."""
        assert self._process.stdout is not None
        while b"\n" not in self._said:
            if not self._selector.select(SILENCE):
                return None
            if not (more := os.read(self._process.stdout.fileno(), 1 << 16)):
                self._process.wait()  # its pipe closes a moment before it has ended
                return None
            self._said += more
        line, _, self._said = self._said.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def end(self) -> str:
        """End it; how it ended by itself, in words, if it did."""
        code = self._process.poll()
        self._process.kill()
        _, said = self._process.communicate()
        self._selector.close()
        return "it fell silent" if code is None else f"exit {code}: {said.decode(errors='replace')[-600:]}"


def prepare(folder: Path, media: Files) -> Path:
    """The folder of the children: what is changed, a root, and files beside it that nobody may read."""
    for name in ("media", "root", "outside"):
        (folder / name).mkdir(parents=True)
    for suffix, files in media.items():
        for number, data in enumerate(files):
            (folder / "media" / f"{number}.{suffix}").write_bytes(data)
    (folder / "outside" / "secret.mp4").write_bytes(media["mp4"][0])
    (folder / "outside" / "secret").write_bytes(media["jpg"][0])
    return folder


def run(folder: Path, kind: str, seeds: range) -> Result:
    """Have the cases ``seeds`` of a kind read, by one child after another."""
    result = Result(kind)
    at = seeds.start
    while at < seeds.stop:
        last = min(at + _BATCH, seeds.stop)
        child = Child(folder)
        child.order(kind, at, last)
        warm = None
        while at < last:
            answer = child.answer()
            if answer is None:
                result.died(at, child.end())
                at += 1
                break
            at += 1
            result.add(answer)
            warm = answer["kb"] if result.cases % _BATCH == _WARM else warm
            if warm is not None:
                result.growth = max(result.growth, (answer["kb"] - warm) / 1024)
        else:
            child.end()
    if result.growth > GROWTH_MIB:
        result.faults.append(f"{kind}: memory grew by {result.growth:.0f} MiB")
    return result
