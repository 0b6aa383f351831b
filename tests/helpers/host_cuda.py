"""The CUDA kernels built for the host: a launcher of :class:`~tinkit.ops.cuda_operators.CudaOperators` on the CPU."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch

from tinkit.ops.cuda_kernels import Access, Arguments, compile_options, cuda_source

ORDERS = {"forward": 0, "reversed": 1, "mixed": 2}
PLAIN = ("-O0",)
FAST = ("-O2",)
WATCHED = ("-O0", "-DTINKIT_WATCH")
SANITIZED = ("-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


class Counts(NamedTuple):
    """What the kernels did since the last count; bytes of global memory."""

    read: int
    written: int
    races: int
    unaligned: int


class HostKernels:
    """Kernels that run as loops on the host, over threads in one of ``ORDERS``; ``wide``: those of 64-bit indices."""

    def __init__(self, library: ctypes.CDLL, *, order: str = "forward", wide: bool = False) -> None:
        self._library, self._order, self._wide = library, ORDERS[order], wide
        self.launched: list[str] = []

    def launch(self, name: str, access: Access, blocks: int, arguments: Arguments, device: torch.device) -> None:
        kernel = access._replace(wide=access.wide or self._wide).kernel(name)
        self.launched.append(kernel)
        self._library.tinkit_host_order(self._order)
        getattr(self._library, kernel)(ctypes.c_uint(blocks), ctypes.byref(arguments))

    def counts(self) -> Counts:
        found = (ctypes.c_longlong * 4)()
        self._library.tinkit_host_counts(found)
        return Counts(*found)


@functools.cache
def build(flags: tuple[str, ...], source: Path | None = None) -> Path | None:
    """A shared library of all kernels for the host; None where there is no compiler. It stays until the process ends.

    ``source`` takes the place of kernels/cuda/kernels.cu.
    """
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        return None
    source = source or cuda_source()
    target = Path(tempfile.mkdtemp(dir=_folder().name), "host.so")
    warnings = ["-Wall", "-Wextra", "-Werror"]
    command = [compiler, "-std=c++17", *flags, *warnings, "-shared", "-fPIC", "-DTINKIT_HOST", "-x", "c++"]
    subprocess.run([*command, *compile_options(source, None), str(source), "-o", str(target)], check=True)
    return target


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tinkit-host-")
