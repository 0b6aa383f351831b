"""Arrow files that carry their own checksum: damage is found before Arrow reads a byte of them.

A sealed file is an ordinary Arrow IPC file with 160 bytes more, between its last message and its footer, where readers
do not look: MARK, FRAME, BODY and MARK again. BODY is the SHA-256 of all that comes before them, in hexadecimal digits;
FRAME that of the whole file without the bodies of record batches and without the digits of FRAME themselves. The frame
is a few kilobytes and is checked when a file is opened; the rest is checked where the values are used, in one pass that
gives the hash of the file as well. A file that another tool writes, be it of a sealed one's table, has no seal.
"""

from __future__ import annotations

import hashlib
import logging
import mmap
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from tinkit.errors import UserError
from tinkit.files.reading import open_regular

logger = logging.getLogger(__name__)

_MARK = b"\xfftinkit-seal-1\xff\n"  # 16 bytes, not all of them text: no id or name contains it
_SEAL = 160
_FRAME = slice(16, 80)  # its place in the seal
_BODY = slice(80, 144)
_ZEROS = b"0" * 64
_HEAD, _TAIL = b"ARROW1\0\0", b"ARROW1"
_CONTINUES = 0xFFFFFFFF
_PIECE = 1 << 20  # bytes read at a time

Span = tuple[int, int]


class DamagedFileError(UserError):
    """A file whose bytes are not those that were written."""


@dataclass(frozen=True)
class ArrowFile:
    """An open Arrow file: ``data`` is all of it, mapped into memory.

    ``bytes_now`` asks how long the file is. ``checksum`` are the digits of BODY, of all bytes before ``end``; None for
    a file without. Of a file with one, the frame (schema, layout of the batches, footer) is known to be as it was
    written.
    """

    path: Path
    data: pa.Buffer
    checksum: bytes | None
    end: int
    bytes_now: Callable[[], int]

    def require_whole(self) -> None:
        """Raise :class:`DamagedFileError` if the file has been cut off since: a look at what is gone of a mapped file
        ends the process. It costs one call of the system, and is to be asked before each look at the values."""
        if self.bytes_now() < self.data.size:
            raise _damaged(self.path, "it was cut off while it was open")

    def reader(self) -> pa.ipc.RecordBatchFileReader:
        """Arrow's reader of the file, without a copy of it."""
        return pa.ipc.open_file(self.data)

    def verify(self) -> None:
        """Check the values. Raises :class:`DamagedFileError`; a file without a checksum is said to have none."""
        self._compare(hashlib.sha256(memoryview(self.data)[: self.end] if self.checksum else b""))

    def verified_hash(self) -> str:
        """Check the values as :meth:`verify`, and return the SHA-256 of the whole file, in one pass."""
        memory = memoryview(self.data)
        digest = hashlib.sha256(memory[: self.end])
        self._compare(digest.copy())
        digest.update(memory[self.end :])
        return digest.hexdigest()

    def _compare(self, body: hashlib._Hash) -> None:
        if self.checksum is None:
            logger.warning(
                "%s: has no checksum (another tool or an older tinkit wrote it), so damage cannot be noticed", self.path
            )
        elif self.checksum != body.hexdigest().encode():
            raise _damaged(self.path, "its values do not have the checksum that it carries")


def open_arrow(path: Path) -> ArrowFile:
    """Map ``path`` into memory and check the frame of a sealed file.

    Raises :class:`DamagedFileError` for a file that is cut short, damaged or none of Arrow's, and OSError where it
    cannot be read.
    """
    with open_regular(path) as file:
        if file.seek(0, 2) < len(_HEAD) + len(_TAIL) + 4:
            raise _not_arrow(path, "it is too short for one")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    memory = memoryview(mapped)
    try:
        footer = _footer(memory)
    except ValueError as problem:
        raise _not_arrow(path, str(problem)) from None
    place = footer - _SEAL
    seal = bytes(memory[max(0, place) : footer])
    if not (seal.startswith(_MARK) and seal.endswith(_MARK)):
        if mapped.find(_MARK) >= 0:
            raise _damaged(path, "its checksum is not where it belongs")
        return ArrowFile(path, pa.py_buffer(mapped), None, len(memory), mapped.size)
    try:
        bodies = _bodies(memory, place)
    except ValueError as problem:
        raise _damaged(path, str(problem)) from None
    if _frame_digest(memory, bodies, place) != seal[_FRAME]:
        raise _damaged(path, "it does not have the checksum that it carries")
    return ArrowFile(path, pa.py_buffer(mapped), seal[_BODY], place, mapped.size)


@contextmanager
def sealed_writer(path: Path, schema: pa.Schema) -> Iterator[pa.ipc.RecordBatchFileWriter]:
    """A writer of record batches of ``schema`` to the new file ``path``, which is sealed on a clean exit."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        yield writer
    seal(path)


def seal(path: Path) -> str:
    """Put the checksum into an Arrow file that Arrow has just written; returns the SHA-256 of the sealed file."""
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as memory:
            place = _footer(memory)
            bodies = _bodies(memory, place)
            footer = bytes(memory[place:])
        whole = _hash_of_first(file, place)
        sealed = bytearray(_MARK + _ZEROS + whole.hexdigest().encode() + _MARK)
        file.seek(place)
        file.write(sealed + footer)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as memory:
            sealed[_FRAME] = _frame_digest(memory, bodies, place)
        file.seek(place)
        file.write(sealed)
    whole.update(sealed + footer)
    return whole.hexdigest()


def _hash_of_first(file: BinaryIO, length: int) -> hashlib._Hash:
    """The SHA-256 of the first ``length`` bytes, whose digits are BODY."""
    digest = hashlib.sha256()
    file.seek(0)
    while length and (piece := file.read(min(_PIECE, length))):
        digest.update(piece)
        length -= len(piece)
    return digest


def _footer(memory: memoryview) -> int:
    """Where the footer begins. Raises ValueError for what is not an Arrow file."""
    if memory[: len(_HEAD)] != _HEAD:
        raise ValueError("it does not begin like one")
    if memory[-len(_TAIL) :] != _TAIL:
        raise ValueError("it does not end like one")
    end = len(memory) - len(_TAIL) - 4
    begin = end - int(struct.unpack_from("<i", memory, end)[0])
    if not len(_HEAD) < begin < end:
        raise ValueError("the length of its footer cannot be")
    return begin


def _bodies(memory: memoryview, end: int) -> tuple[Span, ...]:
    """Where the bodies of all messages lie, which end at ``end``. Raises ValueError if they do not add up to that."""
    spans: list[Span] = []
    at = len(_HEAD)
    try:
        while at < end:
            continues, length = struct.unpack_from("<Ii", memory, at)
            if continues != _CONTINUES or length < 0:
                raise ValueError("a message does not begin where the one before it ends")
            at += 8 + length
            if length == 0:  # the end of all messages
                break
            size = _body_length(memory[at - length : at])
            if size < 0:
                raise ValueError("a message with a negative length")
            if size:
                spans.append((at, at + size))
            at += size
    except struct.error:
        raise ValueError("a message is cut short") from None
    if at != end:
        raise ValueError("its messages do not end where they should")
    return tuple(spans)


def _body_length(message: memoryview) -> int:
    """The fourth field, ``bodyLength``, of a flatbuffer of the type Message."""
    (root,) = struct.unpack_from("<I", message, 0)
    table = root - struct.unpack_from("<i", message, root)[0]
    if table < 0:
        raise ValueError("a message without a table of fields")
    (size,) = struct.unpack_from("<H", message, table)
    (field,) = struct.unpack_from("<H", message, table + 10) if size >= 12 else (0,)
    return int(struct.unpack_from("<q", message, root + field)[0]) if field else 0


def _frame_digest(memory: memoryview, bodies: tuple[Span, ...], seal: int) -> bytes:
    """The digits of FRAME, which themselves lie in the seal that begins at ``seal``."""
    digest = hashlib.sha256()
    at = 0
    for start, stop in [*bodies, (seal + _FRAME.start, seal + _FRAME.stop), (len(memory), len(memory))]:
        digest.update(bytes(memory[at:start]))
        at = stop
    return digest.hexdigest().encode()


def _damaged(path: Path, problem: str) -> DamagedFileError:
    return DamagedFileError(f"damaged: {problem}", file=path, fix="make it again, or take it from a copy")


def _not_arrow(path: Path, problem: str) -> DamagedFileError:
    expected = "an Arrow IPC file (the file format, not the stream format)"
    return DamagedFileError(f"not an Arrow file, or cut short: {problem}", file=path, expected=expected)
