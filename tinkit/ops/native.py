"""The CPU kernels of ``kernels/cpu``: compiled at first use by the compiler at hand, kept in the cache, loaded once.

The library is kept under a hash of its sources, the flags, PyTorch's version and the machine's kind, and one of the
compiler. ``TINKIT_NATIVE=0`` leaves it out; without a compiler one that was built ahead of time is used. Whatever goes
wrong is said once, and the operators run as plain PyTorch.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import platform
import shlex
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from tinkit.errors import UserError
from tinkit.files.shipped import shipped
from tinkit.native.cache import Kept, KernelError, digest, find, keep, say_once
from tinkit.native.library import COMPILERS, LIMIT, Compiler, compiled, compilers, loaded, wanted

logger = logging.getLogger(__name__)

# 2.11 is the oldest PyTorch whose stable ABI has what the library calls.
_FLAGS = ("-std=c++20", "-O3", "-fPIC", "-shared", "-DTORCH_TARGET_VERSION=0x020b000000000000")
_SOURCE = Path("cpu", "library.cpp")
_LIMIT = LIMIT
_INSTALL = "install a C++20 compiler (g++ or clang++), or name it in CXX; `tinkit kernels build` tries again"

_one_at_a_time = threading.Lock()  # of a process' threads: loading twice would register twice


@dataclass(frozen=True)
class Native:
    """What became of the native library in this process.

    ``file`` where it is kept (None: nowhere); ``level`` the instruction set that it chose; ``compiler`` who made it,
    ``seconds`` what that took, both only if this process did; ``problem`` why it is not loaded, None if it is.
    ``output`` is what a compiler said that failed; ``library`` the library, for what is not an operator of PyTorch's.
    """

    file: Path | None = None
    level: str | None = None
    compiler: str | None = None
    seconds: float | None = None
    problem: str | None = None
    output: str = ""
    library: ctypes.CDLL | None = None

    @property
    def loaded(self) -> bool:
        """Whether the CPU kernels are registered."""
        return self.problem is None


def load() -> bool:
    """Load the CPU kernels if that can be done, compiling them first where they are not in the cache; some seconds.

    True when they are registered. The first call of a process decides; those that follow, from any thread, cost nothing
    and say the same. Never raises for what a machine lacks: one line says so, once.
    """
    return state().loaded


def state() -> Native:
    """What :func:`load` has come to; decides it if nothing has been loaded yet."""
    with _one_at_a_time:
        return _decided()


@functools.cache
def _decided() -> Native:
    if not wanted():
        return Native(problem="turned off by TINKIT_NATIVE=0")
    try:
        result = open_library(shipped("kernels"))
    except UserError as error:
        result = Native(problem=error.problem)
    if not result.loaded:
        say_once(f"the operators run as plain PyTorch, several times slower: {result.problem}; {_INSTALL}")
    return result


def open_library(kernels: Path) -> Native:
    """Load the library made of ``kernels``/cpu/library.cpp, from the cache or compiled now. To be called once.

    The result's ``problem`` says what a machine lacks.
    """
    if os.name != "posix":
        return Native(problem=f"native kernels are not built on {platform.system()}")
    if not (kernels / _SOURCE).is_file():
        return Native(problem=f"{kernels / _SOURCE} is not there")
    key = _key(kernels)
    failed: KernelError | None = None
    for compiler in compilers():
        try:
            return _compiled(kernels, f"{key}-{compiler.key}", compiler)
        except KernelError as error:
            failed = failed or error
    if failed is not None:
        return Native(problem=failed.problem, output=failed.output)
    ready = find(key, ".so")
    if ready is None:
        return Native(problem=f"no C++ compiler was found ($CXX, {', '.join(COMPILERS)})")
    try:
        library = loaded(ready)
        return Native(file=ready.file, level=_level(library), library=library)
    except OSError as error:
        return Native(problem=f"{ready.file} cannot be loaded: {error}")


def _key(kernels: Path) -> str:
    """Names what a library is made from and for, but not by which compiler."""
    files = sorted(path for path in (*kernels.glob("*.h"), *(kernels / "cpu").rglob("*")) if path.is_file())
    sources = [part for file in files for part in (file.relative_to(kernels).as_posix(), file.read_bytes())]
    # A home directory is shared by machines of several kinds, of which one cannot load what another has made.
    kind = (platform.system(), platform.machine(), *platform.libc_ver())
    return f"cpu-{digest(torch.__version__, *_FLAGS, *kind, *sources)}"


def _compiled(kernels: Path, key: str, compiler: Compiler) -> Native:
    """The library of ``key``, loaded; a kept one that cannot be loaded here is made again, once."""
    seconds: list[float] = []

    def build() -> bytes:
        started = time.monotonic()
        data = _compile(kernels, compiler)
        seconds.append(time.monotonic() - started)
        if not key.startswith(_key(kernels)):
            raise KernelError(f"{kernels} changed while it was compiled")
        return data

    kept = keep(key, ".so", build)
    try:
        library = loaded(kept)
    except OSError as error:
        problem = KernelError(f"what {compiler.command[0]} made cannot be loaded: {error}")
        if kept.made or kept.file is None:
            raise problem from error
        with suppress(OSError):
            kept.file.unlink()
        kept = Kept(build(), None, made=True) if kept.file.exists() else keep(key, ".so", build)
        try:
            library = loaded(kept)
        except OSError:
            raise problem from error
    made_by = f"{shlex.join(compiler.command)} {compiler.version.splitlines()[0]}" if seconds else None
    return Native(
        file=kept.file,
        level=_level(library),
        compiler=made_by,
        seconds=seconds[0] if seconds else None,
        library=library,
    )


def _compile(kernels: Path, compiler: Compiler) -> bytes:
    """The shared library, as bytes. Raises :class:`~tinkit.native.cache.KernelError`."""
    logger.info("compiling %s with %s", kernels / _SOURCE, shlex.join(compiler.command))
    home = Path(torch.__file__).parent
    options = [*_FLAGS, "-I", str(kernels), "-isystem", str(home / "include")]
    return compiled(kernels / _SOURCE, compiler, options, ["-L", str(home / "lib"), "-ltorch_cpu"], limit=_LIMIT)


def _level(library: ctypes.CDLL) -> str | None:
    """The instruction set that the library has chosen, if it tells."""
    if not hasattr(library, "tinkit_level"):
        return None
    library.tinkit_level.restype = ctypes.c_char_p
    return str(library.tinkit_level().decode())
