"""Batches of clips: their order, each process' share, the worker processes.

What a batch holds is a function of (seed, epoch, step) and never of the number of workers or processes: a step is
always the same clips, of which each process takes an equal, consecutive part.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import cycle, islice
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from tinkit.data.clips.batch import Batch, collate
from tinkit.data.clips.fetching import begin_fetching, pinned_ahead, received
from tinkit.data.clips.testing import TestClips
from tinkit.data.clips.training import TrainClips, TrainKey
from tinkit.errors import UsageError, UserError
from tinkit.workers import GIVE_UP, Wish, Workers
from tinkit.workers.memory import free_memory

_NAMED = 3  # clips of a batch that are named
PREFETCH = 2
"""Batches that a worker has to make, or has made, beyond the one that is waited for."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Share:
    """Which part of every step a process takes: that of ``rank`` (from 0) among ``world`` equal ones."""

    rank: int = 0
    world: int = 1


@dataclass(frozen=True)
class LoaderWorkers:
    """The processes that make batches; with a ``count`` of 0 this one makes them.

    A worker is given up when it shows no sign of life for ``give_up`` seconds (each clip is one). After a signal to
    stop (``wish``) no batch is waited for any longer: :class:`~tinkit.errors.Interrupted` is raised.
    """

    count: int = 0
    give_up: float = GIVE_UP
    wish: Wish | None = None


IN_THIS_PROCESS = LoaderWorkers()
WHOLE = Share()


def epoch_order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch sees ``n`` clips: a permutation, int64 (n,), a function of its arguments alone."""
    digest = blake2b(f"order\0{seed}\0{epoch}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little"))).permutation(n)


@dataclass(frozen=True)
class Plan:
    """How many workers make batches, and how many batches each has made, or makes, beyond the one in use."""

    workers: int
    ahead: int = PREFETCH


def fitting(workers: int, batch: int, free: int | None) -> Plan:
    """The plan of ``workers`` for batches of ``batch`` bytes where ``free`` bytes of memory are left (None: unknown).

    Batches that do not fit are made one at a time, then by fewer workers: which clips a batch holds does not depend on
    it. Raises :class:`~tinkit.errors.UserError` where not even one fits beside the one in use.
    """
    wanted = Plan(workers)
    if free is None or workers * wanted.ahead * batch <= free:
        return wanted
    fewer = Plan(min(workers, free // batch - 1), 1)
    if fewer.workers < 1:
        raise UserError(
            f"batches of {batch / 1e6:,.0f} MB do not fit: {free / 1e6:,.0f} MB of memory are free",
            fix="a smaller optim.batch (in tests: test.batch), more processes, or more memory for the container",
        )
    logger.warning(
        "%d data workers with %d batches of %.0f MB each do not fit into %.0f MB of free memory: %d work, a batch each",
        *(workers, wanted.ahead, batch / 1e6, free / 1e6, fewer.workers),
    )
    return fewer


class Batches:
    """Batches in order, with a length. Iterating starts the workers; the last batch, an error or Ctrl-C ends them."""

    def __init__(self, dataset: TrainClips | TestClips, keys: _Keys, workers: LoaderWorkers, largest: int) -> None:
        self._dataset, self._keys, self._workers = dataset, keys, workers
        self._largest = largest  # clips of a batch at most

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Batch]:
        asked = self._workers
        if not asked.count:
            for keys in self._keys:
                yield collate(list(self._dataset.each(keys)))
            return
        plan = fitting(asked.count, self._largest * self._dataset.item_bytes, free_memory())
        workers = Workers(
            plan.workers,
            partial(begin_fetching, self._dataset, plan.workers),
            what="data worker",
            describe=self._clips,
            give_up=asked.give_up,
            wish=asked.wish,
        )
        try:
            batches = self._in_turn(workers, plan.ahead)
            pinned = torch.cuda.is_available()
            yield from pinned_ahead(batches, PREFETCH, workers.kill) if pinned else batches
        finally:
            workers.close()

    def _in_turn(self, workers: Workers, ahead: int) -> Iterator[Batch]:
        """A batch from each worker in turn, each of which makes up to ``ahead``."""
        keys, owed, turns = iter(self._keys), deque[int](), cycle(range(len(workers)))

        def give(most: int) -> None:
            for task, number in zip(islice(keys, most), turns, strict=False):
                workers.give(number, task)
                owed.append(number)

        give(len(workers) * ahead)
        while owed:
            _, result = workers.take(owed.popleft())
            give(1)
            yield received(result)

    def _clips(self, keys: list[Any]) -> str:
        """The clips of a batch, in words."""
        rows = [key[1] if isinstance(key, tuple) else key for key in keys]
        names = [repr(self._dataset.manifest.row(row).id) for row in rows[:_NAMED]]
        return ", ".join(names) + (f" and {len(rows) - _NAMED} more clips" if len(rows) > _NAMED else "")


def train_loader(
    dataset: TrainClips,
    *,
    batch: int,
    epoch: int,
    start_step: int = 0,
    share: Share = WHOLE,
    workers: LoaderWorkers = IN_THIS_PROCESS,
) -> Batches:
    """This process' ``share`` of the steps of ``epoch`` from ``start_step`` on; what was skipped is not decoded.

    ``batch`` is the cuttings of a step over all processes, ``clip.repeats`` of each of its clips; clips that do not
    fill a last step are left out. Raises :class:`~tinkit.errors.UsageError` for a batch that does not divide, or not
    into whole clips, and for fewer clips than a step takes.
    """
    repeats = dataset.clip.repeats
    if batch % share.world:
        raise UsageError(f"a batch of {batch} clips does not divide among {share.world} processes")
    if batch % repeats:
        raise UsageError(f"a batch of {batch} does not divide into clips of {repeats} cuttings each (clip.repeats)")
    if len(dataset) < batch // repeats:
        raise UsageError(
            f"the split has {len(dataset)} clips, a step takes {batch // repeats}",
            fix="a smaller optim.batch, or more clips",
        )
    return Batches(dataset, _TrainKeys(dataset, batch, epoch, start_step, share), workers, batch // share.world)


def test_loader(
    dataset: TestClips,
    *,
    batch: int,
    indices: Sequence[int] | NDArray[np.int64] | None = None,
    workers: LoaderWorkers = IN_THIS_PROCESS,
) -> Batches:
    """The clips of ``indices`` (rows of the manifest; all of them unless given), in that order, ``batch`` at a time."""
    return Batches(dataset, _TestKeys(range(len(dataset)) if indices is None else indices, batch), workers, batch)


class _Keys(Protocol):
    """What the data set is asked for, a list a batch."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[list[Any]]: ...


class _TrainKeys:
    """The keys (epoch, index), or (epoch, index, repeat), of one process' share of each step from ``start`` on."""

    def __init__(self, dataset: TrainClips, batch: int, epoch: int, start: int, share: Share) -> None:
        self._size, self._seed, self._batch, self._epoch, self._start = len(dataset), dataset.seed, batch, epoch, start
        self._repeats = dataset.clip.repeats
        self._steps = self._size // (batch // self._repeats)
        self._part = batch // share.world
        self._offset = share.rank * self._part

    def __len__(self) -> int:
        return max(0, self._steps - self._start)

    def __iter__(self) -> Iterator[list[TrainKey]]:
        order = epoch_order(self._size, self._seed, self._epoch)
        for step in range(self._start, self._steps):
            first = step * self._batch + self._offset
            slots = [divmod(slot, self._repeats) for slot in range(first, first + self._part)]
            if self._repeats == 1:
                yield [(self._epoch, int(order[clip])) for clip, _ in slots]
            else:
                yield [(self._epoch, int(order[clip]), repeat) for clip, repeat in slots]


class _TestKeys:
    """Consecutive pieces of a sequence of rows."""

    def __init__(self, rows: Sequence[int] | NDArray[np.int64], batch: int) -> None:
        self._rows, self._batch = rows, batch

    def __len__(self) -> int:
        return -(-len(self._rows) // self._batch)

    def __iter__(self) -> Iterator[list[int]]:
        for begin in range(0, len(self._rows), self._batch):
            yield [int(row) for row in self._rows[begin : begin + self._batch]]
