"""Batches of clips: their order, each process' share, the worker processes.

What a batch holds is a function of (seed, epoch, step) and never of the number of workers or processes: a step is
always the same clips, of which each process takes an equal, consecutive part.
"""

from __future__ import annotations

import logging
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from tinkit.data.clip_item import ClipItem
from tinkit.data.clips import TestClips, TrainClips
from tinkit.data.reader import Note
from tinkit.errors import UsageError, UserError

logger = logging.getLogger(__name__)

_WISHES = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP}
_SHARED_MEMORY = Path("/dev/shm")


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
        self, dataset: TrainClips | TestClips, keys: Sampler[list[Any]], count: int, *, workers: int, prefetch: int
    ) -> None:
        self._count = count
        self._loader: DataLoader[ClipItem] = DataLoader(
            dataset,
            batch_sampler=keys,
            num_workers=workers,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            prefetch_factor=prefetch if workers else None,
            # PyTorch draws the workers' seed, which nothing here uses; not from the generator that dropout draws from
            generator=torch.Generator(),
            worker_init_fn=_start_worker,
        )

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        try:
            # A wish to stop, which often reaches the whole group of processes, is the main process' affair: it ends its
            # workers when it is done. They inherit the mask, so that there is no moment in which one could reach them.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WISHES)
            try:
                batches = iter(self._loader)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            yield from batches
        except RuntimeError as error:
            if (failure := worker_failure(error)) is None:
                raise
            raise failure from error


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
) -> Batches:
    """This process' share of the steps of ``epoch`` from ``start_step`` on; what was skipped is not decoded.

    ``epochs`` joins that many epochs to one iteration, so that the workers stay and already read the next epoch while
    the last steps of this one are trained. ``batch`` is the clips of a step over all ``world`` processes; clips that do
    not fill a last step are left out. With ``micro``, a share comes in pieces of that many clips (for accumulation), in
    order.
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
    _check_shared_memory(dataset.item_bytes * piece, workers, prefetch)
    return Batches(dataset, keys, len(keys), workers=workers, prefetch=prefetch)


def test_loader(
    dataset: TestClips,
    *,
    batch: int,
    workers: int = 0,
    indices: Sequence[int] | NDArray[np.int64] | None = None,
    prefetch: int = 2,
) -> Batches:
    """The clips of ``indices`` (rows of the manifest; all of them unless given), in that order, ``batch`` at a time."""
    rows = range(len(dataset)) if indices is None else indices
    keys = _TestKeys(rows, batch)
    _check_shared_memory(dataset.item_bytes * batch, workers, prefetch)
    return Batches(dataset, keys, len(keys), workers=workers, prefetch=prefetch)


def collate(items: Sequence[ClipItem]) -> Batch:
    """Stack clips to a batch; frames keep their channels_last memory."""
    frames = torch.stack([item["frames"].movedim(-3, -1) for item in items]).movedim(-1, -3)
    return {
        "frames": frames,
        "labels": torch.stack([item["labels"] for item in items]),
        "labelled": torch.tensor([item["labelled"] for item in items]),
        "index": torch.tensor([item["index"] for item in items]),
        "valid": torch.tensor([item["valid"] for item in items]),
        "broken": torch.tensor([item["broken"] for item in items]),
        "reason": [item["reason"] for item in items],
        "notes": [item.get("notes", []) for item in items],
    }


def worker_failure(error: RuntimeError) -> UserError | None:
    """What a user can do about a dead worker process, if that is what ``error`` says; None otherwise.

    PyTorch raises such an error wherever the main process is at that moment, not only in the loader.
    """
    text = str(error)
    if "shared memory" in text or "Bus error" in text:
        return UserError(
            "a data worker ran out of shared memory",
            fix="give the machine or container more of it (docker: --shm-size=8g), or use fewer data workers",
        )
    if "DataLoader worker" in text and ("killed by signal" in text or "exited unexpectedly" in text):
        return UserError(
            "a data worker was killed, most likely by the system because memory ran out",
            fix="use fewer data workers, a smaller batch or a machine with more memory; then resume",
        )
    return None


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


def _check_shared_memory(batch_bytes: int, workers: int, prefetch: int) -> None:
    """Say beforehand that batches on their way from the workers may not fit into /dev/shm."""
    if not workers or not _SHARED_MEMORY.is_dir():
        return
    free, needed = shutil.disk_usage(_SHARED_MEMORY).free, batch_bytes * workers * prefetch
    if needed > free:
        logger.warning(
            "%s has %d MiB free; %d data workers may need %d MiB: give it more (docker: --shm-size) or use fewer",
            *(_SHARED_MEMORY, free >> 20, workers, needed >> 20),
        )


def _start_worker(_: int) -> None:
    """Say nothing of a connection that breaks because the main process leaves while it fetches a batch."""
    print_traceback = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, EOFError | ConnectionError):
            print_traceback(kind, error, trace)

    sys.excepthook = hook
