"""What the system's errors mean to whoever named the file: one wording for reading, one for writing."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinkit.errors import UserError


@contextmanager
def read_errors(path: Path, expected: str | None = None) -> Iterator[None]:
    """Say of ``path`` what the system's error in the block, which only reads it, means for its user."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", file=path, expected=expected) from error


@contextmanager
def write_errors(output: Path, elsewhere: str = "name another place") -> Iterator[None]:
    """Say of ``output`` what the system's error in the block, which only writes, means for its user.

    ``elsewhere`` is how another place is named. Use it where a failure leaves what was there as it was.
    """
    try:
        yield
    except OSError as error:
        raise cannot_be_written(output, error, elsewhere) from error


def cannot_be_written(output: Path, error: OSError, elsewhere: str = "name another place") -> UserError:
    """The error that :func:`write_errors` raises."""
    if is_full(error):
        return UserError("the disk is full", file=output, fix=f"make room or {elsewhere}; what was there is unchanged")
    dangling = output.is_symlink() and not output.exists()
    what = "is a link that leads nowhere" if dangling else f"cannot be written: {error.strerror or error}"
    return UserError(what, file=output, fix=f"make it writable or {elsewhere}; what was there is unchanged")


def is_full(error: OSError) -> bool:
    """Whether there is no room on the disk, or none within the user's quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
