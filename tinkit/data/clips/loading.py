"""Batches of clips: their order, each process' share, the worker processes.

What a batch holds is a function of (seed, epoch, step) and never of the number of workers or processes: a step is
always the same clips, of which each process takes an equal, consecutive part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import blake2b
from itertools import cycle, islice
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler

from tinkit.data.clips.datasets import TestClips, TrainClips
from tinkit.data.clips.fetching import begin_fetching, pinned_ahead, received
from tinkit.data.clips.item import ClipItem
from tinkit.data.decode.clip_reader import Note
from tinkit.errors import UsageError
from tinkit.workers import GIVE_UP, Wish, Workers

_NAMED = 3  # clips of a batch that are named


class Batch(TypedDict):
    """Clips stacked: ``frames`` uint8 (B, T, C, H, W) or, in testing, (B, V, T, C, H, W)."""

    frames: Tensor
    labels: Tensor
    """float32 (B, C) of 0 and 1, or int64 (B,)."""
    labelled: Tensor
    """bool (B,)"""
    index: Tensor
    """int64 (B,): rows of the manifest."""
    valid: Tensor
    """bool (B,)"""
    broken: Tensor
    """bool (B,): not valid because they could not be decoded."""
    reason: list[str]
    notes: list[list[Note]]
    """Of each clip, what is worth saying of it."""


def epoch_order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch sees ``n`` clips: a permutation, int64 (n,), a function of its arguments alone."""
    digest = blake2b(f"order\0{seed}\0{epoch}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little"))).permutation(n)


class Batches:
    """Batches in order, with a length. Iterating starts the workers; the last batch, an error or Ctrl-C ends them."""

    def __init__(
        self,
        dataset: TrainClips | TestClips,
        keys: Sampler[list[Any]],
        count: int,
        *,
        workers: int,
        prefetch: int,
        give_up: float,
        wish: Wish | None,
    ) -> None:
        self._dataset, self._keys, self._count = dataset, keys, count
        self._workers, self._prefetch, self._give_up, self._wish = workers, prefetch, give_up, wish

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        if not self._workers:
            for keys in self._keys:
                yield collate([self._dataset[key] for key in keys])
            return
        workers = Workers(
            self._workers,
            partial(begin_fetching, self._dataset, self._workers, collate),
            what="data worker",
            describe=self._clips,
            give_up=self._give_up,
            wish=self._wish,
        )
        try:
            batches = self._in_turn(workers)
            pinned = torch.cuda.is_available()
            yield from pinned_ahead(batches, self._prefetch, workers.kill) if pinned else batches
        finally:
            workers.close()

    def _in_turn(self, workers: Workers) -> Iterator[Batch]:
        """A batch from each worker in turn; each has up to ``prefetch`` of them to make."""
        keys, owed, turns = iter(self._keys), deque[int](), cycle(range(len(workers)))

        def give(most: int) -> None:
            for task, number in zip(islice(keys, most), turns, strict=False):
                workers.give(number, task)
                owed.append(number)

        give(len(workers) * self._prefetch)
        while owed:
            _, result = workers.take(owed.popleft())
            give(1)
            yield received(result)

    def _clips(self, keys: list[Any]) -> str:
        """The clips of a batch for people."""
        rows = [key[1] if isinstance(key, tuple) else key for key in keys]
        names = [repr(self._dataset.manifest.row(row).id) for row in rows[:_NAMED]]
        return ", ".join(names) + (f" and {len(rows) - _NAMED} more clips" if len(rows) > _NAMED else "")


def train_loader(
    dataset: TrainClips,
    *,
    batch: int,
    epoch: int,
    start_step: int = 0,
    epochs: int = 1,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    micro: int | None = None,
    prefetch: int = 2,
    give_up: float = GIVE_UP,
    wish: Wish | None = None,
) -> Batches:
    """This process' share of the steps of ``epoch`` from ``start_step`` on; what was skipped is not decoded.

    ``epochs`` joins that many epochs to one iteration, so that the workers stay and already read the next epoch while
    the last steps of this one are trained. ``batch`` is the clips of a step over all ``world`` processes; clips that do
    not fill a last step are left out. With ``micro``, a share comes in pieces of that many clips (for accumulation), in
    order. A worker is given up when it shows no sign of life for ``give_up`` seconds (each clip is one), and after a
    signal to stop (``wish``) no batch is waited for any longer: :class:`~tinkit.errors.Interrupted` is raised.
    Raises :class:`~tinkit.errors.UsageError` for numbers that do not divide and for fewer clips than ``batch``.
    """
    if batch % world:
        raise UsageError(f"a batch of {batch} clips does not divide among {world} processes")
    share = batch // world
    piece = share if micro is None else micro
    if share % piece:
        raise UsageError(f"a share of {share} clips does not divide into pieces of {piece}")
    if len(dataset) < batch:
        raise UsageError(
            f"the split has {len(dataset)} clips, a step takes {batch}", fix="a smaller optim.batch, or more clips"
        )
    keys = _TrainKeys(dataset, batch, range(epoch, epoch + epochs), start_step, rank * share, share, piece)
    return Batches(dataset, keys, len(keys), workers=workers, prefetch=prefetch, give_up=give_up, wish=wish)


def test_loader(
    dataset: TestClips,
    *,
    batch: int,
    workers: int = 0,
    indices: Sequence[int] | NDArray[np.int64] | None = None,
    prefetch: int = 2,
    give_up: float = GIVE_UP,
    wish: Wish | None = None,
) -> Batches:
    """The clips of ``indices`` (rows of the manifest; all of them unless given), in that order, ``batch`` at a time.

    ``give_up`` and ``wish`` are as in :func:`train_loader`.
    """
    rows = range(len(dataset)) if indices is None else indices
    keys = _TestKeys(rows, batch)
    return Batches(dataset, keys, len(keys), workers=workers, prefetch=prefetch, give_up=give_up, wish=wish)


def collate(items: Sequence[ClipItem], room: Callable[[tuple[int, ...]], Tensor] | None = None) -> Batch:
    """Stack clips to a batch; frames keep their channels_last memory. ``room`` makes the tensor they are put into."""
    parts = [item["frames"].movedim(-3, -1) for item in items]
    frames = torch.stack(parts, out=None if room is None else room((len(parts), *parts[0].shape)))
    return {
        "frames": frames.movedim(-1, -3),
        "labels": torch.stack([item["labels"] for item in items]),
        "labelled": torch.tensor([item["labelled"] for item in items]),
        "index": torch.tensor([item["index"] for item in items]),
        "valid": torch.tensor([item["valid"] for item in items]),
        "broken": torch.tensor([item["broken"] for item in items]),
        "reason": [item["reason"] for item in items],
        "notes": [item.get("notes", []) for item in items],
    }


class _TrainKeys(Sampler[list[tuple[int, int]]]):
    """The keys (epoch, index) of each piece of one process' shares; the first epoch begins at step ``start``."""

    def __init__(
        self, dataset: TrainClips, batch: int, epochs: range, start: int, offset: int, share: int, piece: int
    ) -> None:
        self._size, self._seed, self._batch, self._epochs = len(dataset), dataset.seed, batch, epochs
        self._start, self._offset, self._share, self._piece = start, offset, share, piece
        self._steps = self._size // batch

    def __len__(self) -> int:
        return max(0, self._steps * len(self._epochs) - self._start) * (self._share // self._piece)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for number in range(self._start, self._steps * len(self._epochs)):
            epoch, step = self._epochs[number // self._steps], number % self._steps
            if step == 0 or number == self._start:
                order = epoch_order(self._size, self._seed, epoch)
            first = step * self._batch + self._offset
            for begin in range(first, first + self._share, self._piece):
                yield [(epoch, index) for index in order[begin : begin + self._piece].tolist()]


class _TestKeys(Sampler[list[int]]):
    """Consecutive pieces of a sequence of rows."""

    def __init__(self, rows: Sequence[int] | NDArray[np.int64], batch: int) -> None:
        self._rows, self._batch = rows, batch

    def __len__(self) -> int:
        return -(-len(self._rows) // self._batch)

    def __iter__(self) -> Iterator[list[int]]:
        for begin in range(0, len(self._rows), self._batch):
            yield [int(row) for row in self._rows[begin : begin + self._batch]]
