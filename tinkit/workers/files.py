"""How many files a process may open, and what its workers need of them."""

from __future__ import annotations

from pathlib import Path

from tinkit.errors import UserError

_SPARE = 16  # for what this process and its workers open while they work
_EACH = 3  # a socket, and two ends of pipes by which multiprocessing knows of a process' end


def require_files(workers: int) -> None:
    """Make sure that ``workers`` processes can be started and heard, by raising the soft limit where that is needed.

    Raises :class:`~tinkit.errors.UserError` that says how many files are needed.
    """
    import resource

    try:
        held = sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        return  # the system does not report it
    needed = held + _EACH * workers + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise too_many_files(f"{needed} are needed with {workers} workers, and the limit is {hard}", needed)
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def too_many_files(numbers: str, needed: int) -> UserError:
    """What to say where a process may not open as many files as it needs."""
    return UserError(
        f"too few files may be open at once: {numbers}",
        fix=f"ulimit -n {max(1024, needed)} (docker: --ulimit nofile={max(1024, needed)}), or use fewer workers",
    )
