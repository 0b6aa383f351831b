"""The files that a submission is made of, opened: the file itself, what it packs, or a file of an archive."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tinkit.errors import UserError
from tinkit.submission.spec import Challenge
from tinkit.submission.text import (
    MAX_BYTES,
    MAX_LINE,
    is_zip,
    open_bytes,
    open_gzip,
    open_member,
    packed_by,
    zip_members,
)

BLOCK = 4 << 20


@dataclass(frozen=True)
class Block:
    """Whole lines of a file: the first one's number, from 1, the bytes of all, and how many of them end."""

    first: int
    data: bytes
    ends: int


@contextmanager
def open_part(path: Path, challenge: Challenge, head: str | None = None) -> Iterator[BinaryIO]:
    """The bytes of the file of ``head``, or of all heads, in the submission ``path``, packed as it may be.

    Raises :class:`~tinkit.errors.UserError` where there is no telling which file is meant, or it cannot be unpacked.
    """
    if challenge.gz and packed_by(path) == "gzip":
        with open_gzip(path) as handle:
            yield handle
        return
    name = challenge.members[challenge.head_names[0] if head is None else head]
    member = _member(path, name) if challenge.zip and is_zip(path) else None
    with open_bytes(path) if member is None else open_member(path, member) as handle:
        yield handle


def _member(path: Path, name: str) -> zipfile.ZipInfo | None:
    return next((member for member in zip_members(path) if member.filename == name), None)


def read_blocks(handle: BinaryIO) -> Iterator[Block]:
    """The lines of a file, the first alone, the others some megabytes at a time.

    A line that is too long to be one ends its block unfinished. Raises :class:`~tinkit.errors.UserError` for a file
    beyond :data:`~tinkit.submission.text.MAX_BYTES`.
    """
    first = handle.readline(MAX_LINE + 1)
    number = 1
    if first:
        yield Block(number, first, first.count(b"\n"))
        number += first.endswith(b"\n")
    rest, total = b"", 0
    while data := handle.read(BLOCK):
        total += len(data)
        if total > MAX_BYTES:
            raise UserError(f"more than {MAX_BYTES >> 30} GiB", line=number)
        data = rest + data
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) <= MAX_LINE:
            rest = data
            continue
        whole, rest = (data[:cut], data[cut:]) if cut else (data, b"")
        ends = int(np.count_nonzero(np.frombuffer(whole, np.uint8) == ord("\n")))  # thrice as fast as bytes.count
        yield Block(number, whole, ends)
        number += ends
    if rest:
        yield Block(number, rest, 0)
