"""One file that a command makes for others: one writer at a time, and nothing left of one that was killed."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinkit.errors import UsageError
from tinkit.files import temporaries
from tinkit.locks import writing


@contextmanager
def one_output(path: Path) -> Iterator[None]:
    """Be the one writer of the file ``path`` until the block ends; what killed writers left beside it is removed.

    Makes its folder. Raises :class:`~tinkit.errors.UsageError` for a device, a pipe or a folder, before anything opens
    it, and :class:`~tinkit.locks.InUseError` while another process writes it.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if not stat.S_ISREG(mode):
        raise UsageError("is there, and not a file", file=path, fix="name a file: --out FILE")
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path):
        for target in (path, path.with_name(f"{path.name}.json")):
            for temporary in temporaries(target):
                temporary.unlink(missing_ok=True)
        try:
            yield
        except OSError as error:
            error.filename = error.filename or str(path)  # a write knows no name, and people need one
            raise
