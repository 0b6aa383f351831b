"""The bytes of a tar file: headers that are the same every time, and where members begin and end."""

from __future__ import annotations

import tarfile
from typing import BinaryIO

from tinkit.data.packed.index import BLOCK

END = bytes(2 * BLOCK)
"""What a tar ends with."""


def header(name: str, length: int) -> bytes:
    """The header of a member: a plain file, readable by all, of no time. A long name takes two blocks more."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = length, 0o644
    return info.tobuf(tarfile.GNU_FORMAT, "ascii")


def padded(length: int) -> int:
    """The bytes that ``length`` bytes take in a tar."""
    return -(-length // BLOCK) * BLOCK


def write_member(file: BinaryIO, name: str, data: bytes | memoryview) -> int:
    """Write a member where ``file`` is; returns where its data begins."""
    head = header(name, len(data))
    begin = file.tell() + len(head)
    file.write(head)
    file.write(data)
    file.write(bytes(padded(len(data)) - len(data)))
    return begin
