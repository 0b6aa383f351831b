"""Every CUDA kernel compiled for every architecture that tinkit supports, and what each would use of a GPU.

No GPU is needed: nvcc compiles, or NVRTC where it is found, and both tell in the same words what the assembler gave
each kernel. A spill (registers that had to go to memory) is a fault: the kernels move bytes, and those would be more.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tinkit.native.cache import KernelError
from tinkit.native.compiler import run_compiler
from tinkit.ops.cuda_kernels import compile_options, cuda_source
from tinkit.ops.nvrtc import find_nvrtc

_LIMIT = 600.0  # seconds for one run of nvcc
ARCHITECTURES = (75, 80, 90, 100, 120)
"""Compute capabilities times ten: Turing, Ampere, Hopper and the two Blackwells."""

_ENTRY = re.compile(r"Compiling entry function '([^']+)' for 'sm_(\d+)")
_SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


@dataclass(frozen=True)
class KernelUse:
    """What one kernel uses on one architecture: registers and bytes of stack, spills and shared memory, a thread's
    own but for ``shared``, which is a block's."""

    kernel: str
    architecture: int
    registers: int
    stack: int
    spill_stores: int
    spill_loads: int
    shared: int

    @property
    def spills(self) -> bool:
        """Whether registers go to memory."""
        return self.spill_stores + self.spill_loads > 0


@dataclass(frozen=True)
class Checked:
    """What :func:`check_kernels` found: by which compiler, and every kernel on every architecture."""

    compiler: str
    kernels: list[KernelUse]


def check_kernels() -> Checked | None:
    """Compile all CUDA kernels for all of :data:`ARCHITECTURES`; None where there is neither nvcc nor NVRTC.

    Raises :class:`~tinkit.native.cache.KernelError` for what does not compile.
    """
    source, nvcc, nvrtc = cuda_source(), find_nvcc(), None
    if nvcc is None and (nvrtc := find_nvrtc()) is None:
        return None

    def compiled(architecture: int) -> list[KernelUse]:
        if nvcc is not None:
            return read_log(nvcc_log(nvcc, source, architecture))
        assert nvrtc is not None
        options = [*compile_options(source, None), "--ptxas-options=-v"]
        return read_log(nvrtc.compile(source, f"sm_{architecture}", options).log)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [use for uses in pool.map(compiled, ARCHITECTURES) for use in uses]
    name = nvcc if nvrtc is None else f"NVRTC {nvrtc.version}"
    return Checked(str(name), sorted(found, key=lambda use: (use.kernel, use.architecture)))


def find_nvcc() -> str | None:
    """nvcc from the path, ``$CUDA_HOME`` or where NVIDIA's installer puts it; None where there is none."""
    homes = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH")]
    places = [str(Path(home, "bin")) for home in (*homes, "/usr/local/cuda") if home]
    return shutil.which("nvcc") or shutil.which("nvcc", path=os.pathsep.join(places))


def nvcc_log(nvcc: str, source: Path, architecture: int) -> str:
    """What nvcc says while it compiles ``source`` to a cubin, ptxas' lines among it.

    Raises :class:`~tinkit.native.cache.KernelError` if it does not compile.
    """
    with tempfile.TemporaryDirectory(prefix="tinkit-") as folder:
        words = ["-std=c++17", f"-arch=sm_{architecture}", "-Xptxas", "-v", *compile_options(source, None)]
        command = [nvcc, *words, str(source), "-cubin", "-o", str(Path(folder, "kernels.cubin"))]
        try:
            return run_compiler(command, limit=_LIMIT)
        except KernelError as error:
            problem = f"{nvcc} cannot compile {source.name} for sm_{architecture}: {error.problem}"
            raise KernelError(problem, output=error.output) from error


def read_log(log: str) -> list[KernelUse]:
    """The kernels in what ptxas said under ``-v``, in its order.

    Raises :class:`~tinkit.native.cache.KernelError` if a kernel's numbers are not in it: an assembler that speaks
    another way must not pass for one without spills.
    """
    found = []
    entries = list(_ENTRY.finditer(log))
    for entry, end in zip(entries, [*(entry.start() for entry in entries[1:]), len(log)], strict=False):
        text = log[entry.end() : end]
        # A line for the kernel, and one for each function that it calls and that was not put into it.
        memory, used, shared = _SPILLS.findall(text), _USED.search(text), _SHARED.search(text)
        if not memory or used is None:
            raise KernelError(f"ptxas did not say what {entry[1]} uses on sm_{entry[2]}", output=log)
        stack, stores, loads = (sum(map(int, numbers)) for numbers in zip(*memory, strict=True))
        size = 0 if shared is None else int(shared[1])
        found.append(KernelUse(entry[1], int(entry[2]), int(used[1]), stack, stores, loads, size))
    if not found:
        raise KernelError("ptxas named no kernel", output=log)
    return found
