"""A child that reads changed files, one after the other, within limits, and says what became of each.

It is started with a folder, and told a kind and a range of seeds on its standard input. What it reads outside of its
root is seen in two ways: Python's audit events, and inotify on the folder beside the root that changed files point to.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import resource
import site
import sys
import traceback
import zlib
from pathlib import Path
from time import process_time
from typing import Any

MEMORY = 2 << 30  # bytes of address space beyond what the idle child has
SECONDS = 60  # of processor time that a case may take before the system ends the child
_SYSTEM = (Path("/proc/self"), Path("/dev/null"), Path("/usr/share/zoneinfo"), Path("/usr/lib"), Path("/sys/fs/cgroup"))
_IN_ACCESS, _IN_OPEN = 0x1, 0x20


class Outside:
    """Notices what opens or reads a file in ``folder``, whoever it is."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _IN_ACCESS | _IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def touched(self) -> bool:
        """Whether it was, since it was last asked."""
        try:
            return bool(os.read(self._descriptor, 1 << 16))
        except BlockingIOError:
            return False


class Audit:
    """Notices what Python itself opens outside of ``allowed``, connects to or starts."""

    def __init__(self, allowed: tuple[Path, ...]) -> None:
        self._allowed = tuple(str(path.resolve()) for path in allowed)
        self.seen: list[str] = []
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in (
            "socket.connect",
            "subprocess.Popen",
            "os.system",
            "os.exec",
            "os.posix_spawn",
            "pickle.find_class",
        ):
            self.seen.append(event)
        elif event == "open" and isinstance(arguments[0], str | bytes) and arguments[0]:
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not path.startswith(self._allowed):
                self.seen.append(f"open {path[:200]}")


def main(folder: Path) -> None:
    """Answer orders until there is none."""
    import pandas  # noqa: F401  # before memory is looked at: builds of these differ by hundreds of megabytes
    import torch  # noqa: F401

    from benchmarks.fuzz.place import Place
    from benchmarks.fuzz.targets import ROWS

    media: dict[str, list[bytes]] = {}
    for file in sorted((folder / "media").iterdir()):
        media.setdefault(file.suffix[1:], []).append(file.read_bytes())
    place = Place(folder / "root", folder / "outside", media)
    outside = Outside(place.outside)
    python = (Path(sys.prefix), Path(sys.base_prefix), *map(Path, site.getsitepackages()), Path(__file__).parents[2])
    audit = Audit((place.root, *python, *map(Path, filter(None, sys.path)), *_SYSTEM))
    _limit()
    loaded = _status("VmHWM")
    for line in sys.stdin:
        kind, first, last = json.loads(line)
        for seed in range(first, last):
            resource.setrlimit(resource.RLIMIT_CPU, (int(process_time()) + SECONDS, resource.RLIM_INFINITY))
            begun, audit.seen = process_time(), []
            outside.touched()
            try:
                said = ROWS[kind].target(random.Random(zlib.crc32(kind.encode()) << 32 | seed), place)
                fault = "read outside of the root" if outside.touched() else "; ".join(audit.seen[:3])
            except Exception as error:  # whatever it is, it is a fault: everything foreseen is a refusal
                said, fault = "crashed", "".join(traceback.format_exception(error))[-1500:]
            answer = {"seed": seed, "said": said, "fault": fault, "seconds": process_time() - begun}
            print(
                json.dumps(answer | {"kb": _status("VmRSS"), "peak_kb": _status("VmHWM"), "loaded_kb": loaded}),
                flush=True,
            )


def _limit() -> None:
    space = _status("VmSize") * 1024 + MEMORY
    for what, limit in (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_FSIZE, 256 << 20),
        (resource.RLIMIT_NOFILE, 128),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise ValueError(field)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
