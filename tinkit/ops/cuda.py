"""The kernels for CUDA devices in this process: whether they can be had, and their registration."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass, field

import torch

from tinkit.native.cache import KernelError, say_once
from tinkit.native.library import wanted
from tinkit.ops.cuda_kernels import Launcher, open_kernels
from tinkit.ops.cuda_operators import OPERATORS, CudaOperators

_one_at_a_time = threading.Lock()  # of a process' threads: loading twice would register twice


@dataclass(frozen=True)
class Cuda:
    """What became of the kernels for CUDA devices in this process.

    ``compiler`` is who compiles them when they are first needed; ``problem`` why they are not registered, None if they
    are. ``library`` holds what is registered.
    """

    compiler: str | None = None
    problem: str | None = None
    library: torch.library.Library | None = field(default=None, repr=False)

    @property
    def loaded(self) -> bool:
        """Whether the kernels are registered."""
        return self.problem is None


def load() -> bool:
    """Register the kernels for CUDA devices if there is one and they can be had; the first call decides.

    Compiles one of them as a trial, in about a second, or finds it in the cache. What keeps them from being used is
    said once.
    """
    return state().loaded


def state() -> Cuda:
    """What :func:`load` has come to; decides it if nothing has been loaded yet."""
    with _one_at_a_time:
        return _decided()


@functools.cache
def _decided() -> Cuda:
    if not wanted():
        return Cuda(problem="turned off by TINKIT_NATIVE=0")
    try:
        kernels = open_kernels()
    except KernelError as error:
        say_once(f"the operators run as plain PyTorch on the GPU, several times slower: {error.problem}")
        return Cuda(problem=error.problem)
    if kernels is None:
        return Cuda(problem="there is no CUDA device")
    return Cuda(compiler=kernels.compiler, library=register(kernels))


def register(launcher: Launcher, key: str = "CUDA") -> torch.library.Library:
    """Register the operators over ``launcher`` for a dispatch key, for as long as the result is kept."""
    library = torch.library.Library("tinkit", "IMPL")
    operators = CudaOperators(launcher)
    for name in OPERATORS:
        library.impl(name, getattr(operators, name), key)
    return library
