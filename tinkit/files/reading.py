"""Small files, read whole and within bounds."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from tinkit.errors import UserError
from tinkit.files.system_errors import read_errors


def read_bounded(path: Path, limit: int, expected: str) -> bytes:
    """The bytes of a file of at most ``limit`` bytes.

    Raises :class:`~tinkit.errors.UserError` for a larger one, for one that cannot be read, and for a folder, a device
    or a pipe, which is not waited for.
    """
    try:
        with read_errors(path, expected):
            data = _read_regular(path, limit + 1, expected)
    except ValueError as error:  # a NUL, or half a surrogate pair, in the path
        raise UserError(f"{str(path)!r} is not a path: {error}", expected=expected) from error
    if len(data) > limit:
        size = f"{limit >> 20} MiB" if limit >> 20 else f"{limit} bytes"
        raise UserError(f"larger than {size}", file=path, expected=expected)
    return data


def open_regular(path: Path) -> BinaryIO:
    """A file open for reading; a pipe is not waited for. Raises OSError, also for what is not a regular file."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "a device or a pipe, not a file", str(path))
        return os.fdopen(descriptor, "rb")
    except OSError:
        os.close(descriptor)
        raise


def _read_regular(path: Path, count: int, expected: str) -> bytes:
    """At most ``count`` bytes of the file ``path``. Raises OSError, and UserError for what is not a regular file."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
            raise UserError(f"is {what}, not a file", file=path, expected=expected)
        with open(descriptor, "rb", closefd=False) as handle:
            return handle.read(count)
    finally:
        os.close(descriptor)
