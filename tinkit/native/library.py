"""The C++ compilers at hand, and compiled libraries loaded from checked bytes."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tinkit.native.cache import Kept, KernelError, digest
from tinkit.native.compiler import run_compiler

COMPILERS = ("c++", "g++", "clang++")
"""The commands to try after ``$CXX``."""
LIMIT = 600.0
"""Seconds for one run of the compiler."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler: its command and what it says of its version."""

    command: tuple[str, ...]
    version: str

    @property
    def key(self) -> str:
        """Differs between compilers, their versions and the options they were named with; not with a mere name."""
        return digest(self.version, *self.command[1:])[:8]


def wanted() -> bool:
    """Whether native kernels may be used: not where ``TINKIT_NATIVE`` is 0."""
    return os.environ.get("TINKIT_NATIVE") != "0"


def compilers() -> Iterator[Compiler]:
    """The C++ compilers at hand, ``$CXX`` first, each once; they are asked for their version as one gets to them."""
    seen = set()
    for command in (os.environ.get("CXX", ""), *COMPILERS):
        try:
            words = shlex.split(command)
        except ValueError:
            continue
        if not words or shutil.which(words[0]) is None:
            continue
        try:
            said = run_compiler([*words, "--version"], limit=60).partition(" ")[2]  # first its name in the call
        except KernelError:
            continue
        if said and said not in seen:
            seen.add(said)
            yield Compiler(tuple(words), said)


def compiled(
    source: Path, compiler: Compiler, options: Sequence[str], libraries: Sequence[str] = (), *, limit: float = LIMIT
) -> bytes:
    """The shared library that ``compiler`` makes of ``source``, as bytes. Raises KernelError.

    ``libraries`` stand behind the source: a linker leaves out those that nothing before them needs.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="tinkit-") as folder:
            target = Path(folder, "library.so")
            command = [*compiler.command, *options, str(source), *libraries, "-o", str(target)]
            run_compiler(command, limit=limit)
            return target.read_bytes()
    except OSError as problem:
        raise KernelError(f"nothing can be compiled in a temporary folder: {problem}") from problem


def loaded(kept: Kept) -> ctypes.CDLL:
    """The library, whose static objects run.

    The checked bytes are loaded, from a file in memory or a private folder: whatever happens to the file
    in the cache, and where that may hold no programs (noexec). Raises OSError if it is none for this machine.
    """
    if hasattr(os, "memfd_create"):
        with suppress(OSError):  # some systems have no such files, or run none
            # left open: a library's file is known by its name, and the next one must have another
            descriptor = os.memfd_create("tinkit-kernels", os.MFD_CLOEXEC)
            with os.fdopen(os.dup(descriptor), "wb") as handle:
                handle.write(kept.data)
            return ctypes.CDLL(f"/proc/self/fd/{descriptor}")
    with tempfile.TemporaryDirectory(prefix="tinkit-") as folder:
        file = Path(folder, "library.so")
        file.write_bytes(kept.data)
        return ctypes.CDLL(str(file))
