"""How much memory this machine, or the container that it is, can still give."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_MEMORY = Path("/proc/meminfo")


def free_memory(cgroups: Path = _CGROUPS, meminfo: Path = _MEMORY) -> int | None:
    """Bytes that can be had without swapping: the machine's, or what is left of the control group's limit if less.

    What a group holds of files counts as free. None where the system does not report any.
    """
    found = [number for number in (_of_machine(meminfo), _of_group(cgroups)) if number is not None]
    return min(found) if found else None


def _of_machine(meminfo: Path) -> int | None:
    with suppress(OSError, ValueError, StopIteration):
        line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:"))
        return 1024 * int(line.split()[1])
    return None


def _of_group(cgroups: Path) -> int | None:
    """Of the second version's files, else of the first one's."""
    for folder, limit, used, files in (
        (cgroups, "memory.max", "memory.current", "inactive_file"),
        (cgroups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        with suppress(OSError, ValueError):
            most, current = int((folder / limit).read_text()), int((folder / used).read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            return max(0, most - current + int(stat.get(files, 0)))
    return None
