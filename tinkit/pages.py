"""Large CPU buffers kept by the process, so that a layer's output is not given back to the system and asked for anew.

By default the C library maps every buffer above some size by itself and unmaps it when it is freed: each forward pass
then pays a page fault for every 4 KiB it writes. Kept buffers cost resident memory instead, as much as the most that
was in use at once. Where Linux gives out huge pages (2 MiB) to those that ask, PyTorch is told to ask for its large
tensors: then a forward pass also misses fewer translations of addresses.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# mallopt(3), glibc's numbers
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8
_PROBE = 64 << 20  # bytes: the size of a feature map, and more than glibc's own rule ever keeps
_HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # PyTorch's name; it looks once, before its first large tensor
_KERNEL_RULE = Path("/sys/kernel/mm/transparent_hugepage/enabled")  # "always [madvise] never": the brackets choose


@dataclass(frozen=True)
class Faults:
    """Page faults while ``_PROBE`` bytes that were in use before are filled again; None: cannot be counted here."""

    main: int | None
    worker: int | None

    @property
    def kept(self) -> bool | None:
        """Whether buffers are kept in both threads; a fault or two may be the counting's own."""
        if self.main is None or self.worker is None:
            return None
        return max(self.main, self.worker) < 8


def keep_buffers() -> bool:
    """Have the C library keep large buffers from now on, in this process and those forked from it; True if it does.

    For processes of tinkit's own: the setting holds for the whole process. To be called before there are threads, since
    those that have an arena of their own give it back all the same, and before PyTorch is imported, which is told here
    to ask for huge pages, by an environment variable that child processes inherit. ``TINKIT_KEEP_BUFFERS=0`` turns both
    off; a C library that is not glibc has no such setting.
    """
    if why_not_kept() is not None:
        return False
    if "torch" not in sys.modules and _offers_huge_pages():
        os.environ.setdefault(_HUGE_PAGES, "1")
    library = ctypes.CDLL(None)
    one_arena = library.mallopt(_M_ARENA_MAX, 1)
    # Up to glibc 2.34 the threshold has a limit of 32 MiB, which large feature maps pass: there nothing is mapped.
    unmapped = library.mallopt(_M_MMAP_THRESHOLD, 1 << 30) or library.mallopt(_M_MMAP_MAX, 0)
    return bool(one_arena and unmapped and library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def why_not_kept() -> str | None:
    """What keeps :func:`keep_buffers` from keeping buffers; None where nothing does. Changes nothing."""
    if os.environ.get("TINKIT_KEEP_BUFFERS") == "0":
        return "turned off by TINKIT_KEEP_BUFFERS=0"
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt") or not hasattr(library, "gnu_get_libc_version"):
        return "this C library has no such setting"
    return None


def asks_for_huge_pages() -> bool:
    """Whether PyTorch was told to ask for huge pages and the system has them."""
    return os.environ.get(_HUGE_PAGES) == "1" and _offers_huge_pages()


def without_kept_buffers(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` for a child process in which nothing of this is set."""
    return {name: value for name, value in environment.items() if name != _HUGE_PAGES} | {"TINKIT_KEEP_BUFFERS": "0"}


def count_faults() -> Faults:
    """Fill a large buffer, free it, fill another of its size, and count the second one's page faults; by thread."""
    found: list[int | None] = []
    worker = threading.Thread(target=lambda: found.append(_faults()))
    worker.start()
    worker.join()
    return Faults(_faults(), found[0])


def _offers_huge_pages() -> bool:
    try:
        rule = _KERNEL_RULE.read_text()
    except OSError:
        return False
    return "[always]" in rule or "[madvise]" in rule


def _faults() -> int | None:
    try:
        import resource

        who = resource.RUSAGE_THREAD
    except (ImportError, AttributeError):
        return None
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    counts = []
    for _ in range(2):
        before = resource.getrusage(who).ru_minflt
        buffer = library.malloc(_PROBE)
        if not buffer:
            return None
        ctypes.memset(buffer, 1, _PROBE)
        counts.append(resource.getrusage(who).ru_minflt - before)
        library.free(buffer)
    return counts[1]
