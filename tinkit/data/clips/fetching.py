"""Batches on their way from the worker that makes them: frames in memory that both processes see, and then pinned."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data._utils import worker as torch_worker

from tinkit.data.clips.batch import Batch, collate
from tinkit.data.clips.shared import BatchMemory, mapped
from tinkit.data.clips.testing import TestClips
from tinkit.data.clips.training import TrainClips
from tinkit.workers import Alive, Carried, Work

_LOOK = 0.1  # seconds between two looks at whether batches are still wanted
_PATIENCE = 5.0  # seconds for the thread that pins memory to end


def begin_fetching(dataset: TrainClips | TestClips, workers: int, number: int) -> Work:
    """In a worker: what makes the batch of some keys. The frames are beside it, in an open file in memory."""
    torch.set_num_threads(1)
    # what data sets ask to know whether they run in a worker
    torch_worker._worker_info = torch_worker.WorkerInfo(id=number, num_workers=workers, seed=0, dataset=dataset)

    def fetch(keys: Sequence[Any], alive: Alive) -> Carried:
        items = []
        for item in dataset.each(keys):
            items.append(item)
            alive()
        with BatchMemory() as memory:
            batch = collate(items, memory.room)
        small = {name: value.numpy() if isinstance(value, Tensor) else value for name, value in batch.items()}
        small["frames"] = tuple(batch["frames"].movedim(-3, -1).shape)
        return Carried(small, memory.descriptor)

    return fetch


def received(carried: Carried) -> Batch:
    """The batch that a worker has made; its frames stay where that has put them."""
    try:
        frames = mapped(carried.descriptor, carried.value["frames"]).movedim(-1, -3)
    finally:
        os.close(carried.descriptor)
    batch = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in carried.value.items()
    }
    return cast(Batch, batch | {"frames": frames})


def pinned_ahead(batches: Iterator[Batch], depth: int, end: Callable[[], None]) -> Iterator[Batch]:
    """``batches`` with their tensors in pinned memory, copied there by a thread that is up to ``depth`` ahead.

    ``end`` makes ``batches`` end, from another thread.
    """
    full: queue.Queue[Any] = queue.Queue(depth)
    device, done = torch.cuda.current_device(), threading.Event()

    def put(item: Any) -> None:
        while not done.is_set():
            try:
                full.put(item, timeout=_LOOK)
            except queue.Full:
                continue
            return

    def run() -> None:
        try:
            torch.cuda.set_device(device)
            for batch in batches:
                put({name: value.pin_memory() if isinstance(value, Tensor) else value for name, value in batch.items()})
            put(None)
        except BaseException as error:  # whatever it is, it is raised where the batch is awaited
            put(error)

    thread = threading.Thread(target=run, name="pinning", daemon=True)
    thread.start()
    try:
        while (item := full.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        done.set()
        end()
        thread.join(_PATIENCE)
