"""ResNet-50 for tests, this tinkit beside an earlier one, and TIN beside TSN; rows go to results/runtimes.csv.

    BEFORE=FOLDER python -m benchmarks.runtimes [--threads N] [--pairs 20] [--only ROW ...] [--out FILE]

1 clip or 8 of 8 x 224, in bfloat16 (autocast) and float32, as `tinkit test` runs them: BatchNorm merged, channels_last,
large buffers kept. ``FOLDER`` has the files of the tinkit to compare with (``git archive COMMIT | tar x -C FOLDER``).
Each tinkit has a process of its own (:mod:`benchmarks.runtimes_child`); all take turns, who goes first changes from
round to round, and what is compared is CPU time. Logits are compared first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import machine
from benchmarks.pairs import Bound, Row, Times, timed_row
from benchmarks.tables import Table, options

ROOT = Path(__file__).parent.parent
CHILD = Path(__file__).with_name("runtimes_child.py")
NETWORKS = ("tsn", "tin")
FASTER = {("tsn", "bfloat16"): 1 / 1.5, ("tin", "bfloat16"): 1 / 1.45}
OVER_TSN = {"bfloat16": 1.15, "float32": 1.03}
FAR = {"bfloat16": 2e-2, "float32": 1e-5}
"""Of the largest logit: how far the logits of both tinkits may be apart. bfloat16 rounds in other places."""


class Process:
    """A tinkit, in a process of its own."""

    def __init__(self, tinkit: Path, threads: int) -> None:
        environment = {**os.environ, "PYTHONPATH": str(tinkit), "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [sys.executable, str(CHILD), str(threads)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, line: str) -> str:
        """The answer to a line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"the process that was to be timed ended with {self._process.wait()}")
        return answer.strip()

    def milliseconds(self, network: str, precision: str, clips: int) -> float:
        """The CPU time of a forward pass."""
        return float(self.ask(f"{network} {precision} {clips}"))

    def logits(self, network: str, precision: str, clips: int) -> Tensor:
        """What a forward pass gives."""
        self.milliseconds(network, precision, clips)
        with tempfile.TemporaryDirectory() as folder:
            self.ask(f"out {folder}/logits.pt")
            found: Tensor = torch.load(f"{folder}/logits.pt", weights_only=True)
        return found

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def processes(before: Path, threads: int) -> Iterator[dict[str, Process]]:
    """This tinkit's process and the earlier one's."""
    found = {"now": Process(ROOT, threads), "before": Process(before, threads)}
    try:
        yield found
    finally:
        for process in found.values():
            process.end()


def rows(both: dict[str, Process], precision: str, clips: int, pairs: int) -> Iterator[Row]:
    """The rows of one precision and number of clips."""
    check_logits(both, precision, clips)
    ways = [(when, network) for network in NETWORKS for when in both]
    times: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    for pair in range(pairs):
        for when, network in ways if pair % 2 == 0 else reversed(ways):
            times[when, network].append(both[when].milliseconds(network, precision, clips))
    measured = {way: np.array(found) for way, found in times.items()}
    case = f"{clips} clip{'s' if clips > 1 else ''} of 8 x 224; {precision}"
    for network in NETWORKS:
        bound = Bound(round(FASTER.get((network, precision), 1.0), 3))
        against = Times(measured["now", network], measured["before", network])
        yield timed_row(network.upper(), case, "tinkit before", against, bound)
    over = Times(measured["now", "tin"], measured["now", "tsn"])
    yield timed_row("TIN", case, "TSN", over, Bound(OVER_TSN[precision]))


def check_logits(both: dict[str, Process], precision: str, clips: int) -> None:
    """Raise ``AssertionError`` unless both tinkits say the same up to rounding."""
    for network in NETWORKS:
        now, before = (process.logits(network, precision, clips).float() for process in both.values())
        apart = float((now - before).abs().max() / before.abs().max())
        print(f"{network} {precision}, {clips} clips: logits differ by {apart:.1e} of the largest", flush=True)
        assert apart <= FAR[precision], apart


GROUPS = {f"{clips}-{precision}": (clips, precision) for clips in (1, 8) for precision in FAR}


def main() -> None:
    before = os.environ.get("BEFORE")
    if before is None or not Path(before, "tinkit").is_dir():
        raise SystemExit(
            "BEFORE=FOLDER: the files of the tinkit to compare with (git archive COMMIT | tar x -C FOLDER)"
        )
    asked = options("runtimes", "this tinkit beside an earlier one", GROUPS, pairs=20)
    plural = "s" if asked.threads > 1 else ""
    setting = f"{machine('torch', 'timm')}; {asked.threads} thread{plural}; CPU time, processes in turns"
    table = Table("runtimes", setting, asked.out, asked.markdown)
    with processes(Path(before), asked.threads) as both:
        for group in asked.only:
            clips, precision = GROUPS[group]
            for row in rows(both, precision, clips, asked.pairs):
                table.add(row)
    table.finish()


if __name__ == "__main__":
    main()
