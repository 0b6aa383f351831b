"""The instruction sets that the native kernels are made for, each in turn where this processor has it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

LEVELS = ("baseline", "AVX2", "AVX-512", "AVX512-BF16")


@contextmanager
def using_level(library: ctypes.CDLL | None, name: str, without: str = "no native kernels here") -> Iterator[str]:
    """In this block ``library`` uses the instruction set ``name``; the test is skipped where one of them is missing.

    ``without`` is the reason where there is no library.
    """
    if library is None:
        pytest.skip(without)
    if not library.tinkit_use_level(name.encode()):
        pytest.skip(f"this processor has no {name}")
    try:
        yield name
    finally:
        library.tinkit_use_level(None)
