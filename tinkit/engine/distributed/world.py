"""The processes of one training or test, as torchrun starts them; without torchrun, a world of one."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import re
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from tinkit.engine.distributed.environment import environment_number
from tinkit.engine.distributed.shared_memory import shared_memory_warning
from tinkit.errors import SaidElsewhere, UsageError, UserError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PATIENCE = timedelta(minutes=30)  # for the slowest process; a dead one is noticed at once
_GLANCE = 0.02  # seconds between two looks at who has connected
_VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_SAID = "tinkit/said"
_LOST = "a lost peer"


class LostPeerError(UserError):
    """Another process of the same training has ended, so this one cannot continue either."""


@dataclass(frozen=True)
class World:
    """This process among ``size`` of them. Every method but the properties must be called by all, in the same order.

    ``group`` is a gloo group for numbers and objects of the CPU: agreeing on something never waits for a GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    group: dist.ProcessGroup | None = None

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def total(self, *values: float) -> tuple[float, ...]:
        """The sums of the values over all processes."""
        if self.group is None:
            return values
        sums = torch.tensor(values, dtype=torch.float64)
        with _peers():
            dist.all_reduce(sums, group=self.group)
        return tuple(sums.tolist())

    def first(self, action: Callable[[], T]) -> T:
        """What ``action`` gives, done by the main process first: it builds or fails once."""
        if self.group is None:
            return action()
        if not self.main:
            if not self.share(None):
                raise SaidElsewhere("the main process has failed")
            return action()
        try:
            result = action()
        except BaseException:
            self.share(value=False)
            raise
        self.share(value=True)
        return result

    def on_main(self, action: Callable[[], T]) -> T:
        """What ``action`` gives on the main process, the only one that does it, on all of them."""
        value: T = self.share(self.first(lambda: action() if self.main else None))
        return value

    def gather(self, value: Any) -> list[Any] | None:
        """Every process' value in the order of ranks, on the main process; None on the others."""
        if self.group is None:
            return [value]
        values: list[Any] | None = [None] * self.size if self.main else None
        with _peers():
            dist.gather_object(value, values, dst=0, group=self.group)
        return values

    def share(self, value: Any) -> Any:
        """The main process' value, on all of them."""
        if self.group is None:
            return value
        box = [value]
        with _peers():
            dist.broadcast_object_list(box, src=0, group=self.group)
        return box[0]

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Give the tensors, on this process' device, the main process' values."""
        if self.group is None:
            return
        with _peers():
            for tensor in tensors:
                dist.broadcast(tensor, src=0)


@contextmanager
def join_world() -> Iterator[World]:
    """Join the processes that torchrun started, by its environment variables; leave them in an order that never hangs.

    NCCL where there are GPUs (one a process), gloo otherwise. An error leaves at once, and the others notice. One that
    several processes meet, with the same words, comes out of one of them as it is and out of the others as
    :class:`~tinkit.errors.SaidElsewhere`; so does a lost peer where another error has been met.
    """
    if environment_number("WORLD_SIZE", 1, least=1) == 1:
        yield World()
        return
    rank, size, local_rank = _place()
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _end_with_parent()
    cuda = torch.cuda.is_available()
    if cuda:
        if local_rank >= torch.cuda.device_count():
            raise UsageError(f"more processes than the {torch.cuda.device_count()} GPUs of this machine")
        torch.cuda.set_device(local_rank)
        here = environment_number("LOCAL_WORLD_SIZE", 1, least=1)
        if local_rank == 0 and (warning := shared_memory_warning(here)) is not None:
            logger.warning("%s", warning)
    with _interruptible():
        store, group = _meet(rank, size, cuda=cuda)
    try:
        yield World(rank, size, local_rank, group)
    except (Exception, KeyboardInterrupt) as error:
        raise _said_once(error, store) from error.__cause__
    # Models wrapped for this world must be gone before it is taken down, or the process may abort at its exit.
    gc.collect()
    with _peers():
        dist.barrier(group=group)
    dist.destroy_process_group()


def _meet(rank: int, size: int, *, cuda: bool) -> tuple[dist.Store, dist.ProcessGroup]:
    """The store of these processes alone, and their group for what the CPU has."""
    try:
        everyones, _, _ = next(rendezvous("env://", timeout=_PATIENCE))
        store = _own_part(everyones, rank, size)
    except RuntimeError as error:
        raise _cannot_meet(error, rank, size) from error
    try:
        dist.init_process_group("nccl" if cuda else "gloo", store=store, rank=rank, world_size=size, timeout=_PATIENCE)
        group = dist.new_group(backend="gloo", timeout=_PATIENCE)
    except RuntimeError as error:
        raise _said_once(_cannot_meet(error, rank, size), store) from error
    return store, group


@contextmanager
def _interruptible() -> Iterator[None]:
    """In this block Ctrl-C ends the process at once, as SIGTERM does: Python's own handler would have to wait."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _cannot_meet(error: RuntimeError, rank: int, size: int) -> LostPeerError:
    """The error for processes that could not connect. One that ends meanwhile looks like one out of reach."""
    place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    return LostPeerError(
        f"process {rank} cannot meet the other {size - 1} at {place}: {_reason(error)}",
        fix="every machine must reach this address; if a process has ended, its own message says why: "
        "then start again, with --resume if there is a checkpoint",
    )


def _place() -> tuple[int, int, int]:
    """Rank, number of processes and local rank, from torchrun's environment variables."""
    missing = [name for name in _VARIABLES if not os.environ.get(name)]
    if missing:
        raise UserError(
            f"WORLD_SIZE = {os.environ['WORLD_SIZE']} is set in the environment, and {', '.join(missing)} not",
            expected="all of torchrun's variables, or none",
            fix="unset WORLD_SIZE; for several processes use --gpus N or torchrun",
        )
    environment_number("MASTER_PORT", 0, least=1, most=65535)
    size = environment_number("WORLD_SIZE", 1, least=1)
    rank = environment_number("RANK", 0, most=size - 1)
    return rank, size, environment_number("LOCAL_RANK", 0, most=size - 1)


def _own_part(store: dist.Store, rank: int, size: int) -> dist.Store:
    """The part of ``store`` that belongs to the processes of this start alone.

    torchrun keeps its store when it starts processes again, with all that the dead ones wrote: read too early, their
    addresses are dead for ever. So each process shows the main one a new token, until the main one answers that very
    token with the name of a new part. By then no process of the earlier start is left.
    """
    store, own = dist.PrefixStore("tinkit", store), uuid.uuid4().hex
    if rank:
        store.set(f"here/{rank}", own)
        part = store.get(own).decode()
        store.set(f"{part}/{rank}", "")
        return dist.PrefixStore(part, store)
    awaited, deadline = set(range(1, size)), time.monotonic() + _PATIENCE.total_seconds()
    while awaited:
        for other in awaited:
            if store.check([f"here/{other}"]):
                store.set(store.get(f"here/{other}").decode(), own)
        time.sleep(_GLANCE)
        awaited = {other for other in awaited if not store.check([f"{own}/{other}"])}
        if time.monotonic() > deadline:
            late = f"the processes {sorted(awaited)} of {size} have not connected"
            raise UserError(late, fix="see their own messages")
    return dist.PrefixStore(own, store)


def _end_with_parent() -> None:
    """Let the system send SIGTERM when the launcher is killed; else its processes would train on, alone. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1: PR_SET_PDEATHSIG


def _said_once(error: BaseException, store: dist.Store) -> BaseException:
    """``error``, or what to raise instead, because another process reports it, or the reason for the lost peer."""
    # The launcher ends all processes when one has ended; that must not cut this one's message short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = getattr(error, "exit_code", 130 if isinstance(error, KeyboardInterrupt) else 1)
    lost = isinstance(error, LostPeerError)
    try:
        if isinstance(error, SaidElsewhere):
            return error
        if lost and store.check([_SAID]):
            return _elsewhere(int(store.get(_SAID)))
        if not lost:
            store.set(_SAID, str(code))
        words = _LOST if lost else f"{type(error).__name__}: {error}"
        return error if store.add(f"{_SAID}/{words}", 1) == 1 else _elsewhere(code)
    except RuntimeError:  # the process that held the store has gone
        return error


def _elsewhere(code: int) -> SaidElsewhere:
    error = SaidElsewhere("another process says why")
    error.exit_code = code
    return error


@contextmanager
def _peers() -> Iterator[None]:
    """A lost connection as an error that says what happened."""
    try:
        yield
    except RuntimeError as error:
        raise lost_peer(error) or error from error


def lost_peer(error: RuntimeError) -> LostPeerError | None:
    """What to say if ``error`` is that of a broken connection to another process; None if it is another error."""
    text = str(error)
    if not isinstance(error, dist.DistError) and "gloo" not in text.lower() and "NCCL" not in text:
        return None
    return LostPeerError(
        f"another process of this run has ended ({_reason(error)})",
        fix="its own message says why; then resume from the last checkpoint with --resume",
    )


def _reason(error: RuntimeError) -> str:
    """The first sentence of an error of torch.distributed, without the places in its sources and the addresses."""
    line, _, _ = re.sub(r"\[[^\]]*\]\s*", "", str(error)).partition("\n")
    return line.split(". ")[0][:160].strip(" .:") or type(error).__name__
