"""Shares of one work in one folder: each is done by one process at a time, and joined when none is at work."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinkit.errors import UserError
from tinkit.files.locks import InUseError, writing
from tinkit.spread.engine import Share


def stem_of(share: Share) -> str:
    """How the names of all files of a share begin."""
    return f"{share.part}-of-{share.parts}"


def sweep_share(work: Path, share: Share) -> None:
    """Remove what killed processes of this share left in ``work``: tars without an index, halves of files, folders."""
    for tar in work.glob(f"{stem_of(share)}.*.tar"):
        if not tar.with_suffix(".arrow").exists():
            tar.unlink(missing_ok=True)
    for half in work.glob(f".{stem_of(share)}.*.tmp.*"):
        half.unlink(missing_ok=True)
    for folder in work.glob(f"{stem_of(share)}.*.folder"):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def alone(work: Path, share: Share, what: str) -> Iterator[None]:
    """Be the only one to do this share of ``what`` in the folder ``work``; of the whole, the only one at all.

    Raises :class:`~tinkit.files.locks.InUseError`, and :class:`~tinkit.errors.UserError` while another share is done.
    """
    with writing(work / stem_of(share)):
        for lock in work.glob(".*-of-*.lock") if share.whole else ():
            other = work / lock.name[1 : -len(".lock")]
            if other.name != stem_of(share):
                _require_idle(other, what)
        yield


def _require_idle(other: Path, what: str) -> None:
    try:
        with writing(other):
            pass
    except InUseError as problem:
        raise UserError(
            f"part {other.name.replace('-of-', ' of ')} of {what} is still at work",
            file=other.parent,
            fix="wait until all parts are done, then run the command once without --shard",
        ) from problem
