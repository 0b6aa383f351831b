"""Arrow files that carry their own checksum: damage is found before Arrow reads a byte of them.

A sealed file is an ordinary Arrow IPC file with 160 bytes more, between its last message and its footer, where readers
do not look: MARK, FRAME, BODY and MARK again. BODY is the checksum of all that comes before them, in hexadecimal
digits: that of :mod:`tinkit.files.block_sums` or, in files of an earlier release, which the mark tells, their SHA-256.
FRAME is the SHA-256 of the whole file without the bodies of record batches and without the digits of FRAME themselves.
The frame is a few kilobytes and is checked when a file is opened; the rest is checked where the values are used, in one
pass over them (:class:`Verification`). A file that another tool writes, be it of a sealed one's table, has no seal.

The seal tells a file that is whole from one that is torn, stale, mixed up or damaged on a disk. It is no signature:
whoever writes another file on purpose can seal it too.
"""

from __future__ import annotations

import hashlib
import logging
import mmap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.files.arrow_layout import SHORTEST, Span, bodies_of, footer_of
from tinkit.files.block_sums import BLOCK, BlockSums
from tinkit.files.reading import open_regular

logger = logging.getLogger(__name__)

_MARK = b"\xfftinkit-seal-2\xff\n"  # 16 bytes, not all of them text: no id or name contains it
_FIRST_MARK = b"\xfftinkit-seal-1\xff\n"  # where BODY is a SHA-256
_SEAL = 160
_FRAME = slice(16, 80)  # its place in the seal
_BODY = slice(80, 144)
_ZEROS = b"0" * 64
_PIECE = 64 * BLOCK  # bytes written at a time


class DamagedFileError(UserError):
    """A file whose bytes are not those that were written."""


@dataclass(frozen=True)
class ArrowFile:
    """An open Arrow file: ``data`` is all of it, mapped into memory.

    ``bytes_now`` asks how long the file is. ``checksum`` are the digits of BODY, of all bytes before ``end``; None for
    a file without. Of a file with one, the frame (schema, layout of the batches, footer) is known to be as it was
    written. ``digest`` names the content: it is made from FRAME, which covers BODY; None where it is the SHA-256 of the
    file, which takes reading all of it.
    """

    path: Path
    data: pa.Buffer
    checksum: bytes | None
    end: int
    digest: str | None
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
        if self.checksum is None:
            self.say_unsealed()
        else:
            Verification(self).finish()

    def verified_digest(self) -> str:
        """Check the values as :meth:`verify`, and return what names the content, in one pass."""
        return Verification(self).finish()

    def say_unsealed(self) -> None:
        """Log that the file has no checksum."""
        logger.warning(
            "%s: has no checksum (another tool or an older tinkit wrote it), so damage cannot be noticed", self.path
        )


class Verification:
    """The check of a file's values piece by piece, so that they are read once: by who uses them."""

    def __init__(self, file: ArrowFile) -> None:
        self._file = file
        self._memory = memoryview(file.data)
        self._sums: BlockSums | hashlib._Hash = hashlib.sha256() if file.digest is None else BlockSums()
        self._at = 0

    def advance(self, place: int) -> None:
        """Take in the bytes before ``place`` that were not yet: those that are in use now."""
        place = min(place, self._file.end)
        if place < self._file.end:
            place -= place % BLOCK
        if place > self._at:
            self._sums.update(self._memory[self._at : place])
            self._at = place

    def finish(self) -> str:
        """Take in all that is left, and return what names the content: ``digest`` or the SHA-256 of the file.

        Raises :class:`DamagedFileError` where the checksum is another; that a file has none is logged.
        """
        file = self._file
        self.advance(file.end)
        if file.checksum is None:
            file.say_unsealed()
        elif file.checksum != self._sums.hexdigest().encode():
            raise _damaged(file.path, "its values do not have the checksum that it carries")
        if file.digest is not None:
            return file.digest
        whole = hashlib.sha256() if isinstance(self._sums, BlockSums) else self._sums.copy()
        whole.update(self._memory[self._at :])
        return whole.hexdigest()


def open_arrow(path: Path) -> ArrowFile:
    """Map ``path`` into memory and check the frame of a sealed file.

    Raises :class:`DamagedFileError` for a file that is cut short, damaged or none of Arrow's, and OSError where it
    cannot be read.
    """
    with open_regular(path) as file:
        if file.seek(0, 2) < SHORTEST:
            raise _not_arrow(path, "it is too short for one")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    memory = memoryview(mapped)
    try:
        footer = footer_of(memory)
    except ValueError as problem:
        raise _not_arrow(path, str(problem)) from None
    place = footer - _SEAL
    seal = bytes(memory[max(0, place) : footer])
    mark = seal[: len(_MARK)]
    if mark not in (_MARK, _FIRST_MARK) or not seal.endswith(mark):
        if any(mapped.find(known) >= 0 for known in (_MARK, _FIRST_MARK)):
            raise _damaged(path, "its checksum is not where it belongs")
        return ArrowFile(path, pa.py_buffer(mapped), None, len(memory), digest=None, bytes_now=mapped.size)
    try:
        bodies = bodies_of(memory, place)
    except ValueError as problem:
        raise _damaged(path, str(problem)) from None
    frame = _frame_digest(memory, bodies, place)
    if frame != seal[_FRAME]:
        raise _damaged(path, "it does not have the checksum that it carries")
    digest = _named(frame) if mark == _MARK else None
    return ArrowFile(path, pa.py_buffer(mapped), seal[_BODY], place, digest, mapped.size)


@dataclass(frozen=True)
class Filling:
    """What to write in the place of ``buffer``, an array of zeros in a record batch: ``pieces`` that are as long.

    So an array may be larger than memory, and be computed while it is written.
    """

    buffer: pa.Buffer
    pieces: Iterable[NDArray[np.generic]]


@contextmanager
def sealed_writer(
    path: Path, schema: pa.Schema, filling: Filling | None = None
) -> Iterator[pa.ipc.RecordBatchFileWriter]:
    """A writer of record batches of ``schema`` to the new file ``path``, which is sealed on a clean exit."""
    with path.open("w+b", buffering=0) as file:
        summed = _SummedFile(file, filling)
        with pa.PythonFile(summed, mode="w") as sink, pa.ipc.new_file(sink, schema) as writer:
            yield writer
            body = summed.sums.copy()
        if summed.filling is not None:
            raise AssertionError("Arrow has not written the buffer that was to be filled")
        _seal(file, body)


def seal(path: Path) -> str:
    """Put the checksum into an Arrow file that Arrow has just written; returns what names its content."""
    with path.open("r+b") as file:
        return _seal(file, BlockSums())


class _SummedFile:
    """A file that Arrow writes to, and the checksum of what it has written."""

    closed = False

    def __init__(self, file: BinaryIO, filling: Filling | None) -> None:
        self.sums = BlockSums()
        self.filling = filling
        self._file = file

    def write(self, data: pa.Buffer | bytes) -> int:
        """Write ``data``, or what is to be in its place."""
        filling = self.filling
        if filling is not None and isinstance(data, pa.Buffer) and data.address == filling.buffer.address:
            self.filling = None
            written = 0
            for piece in filling.pieces:
                written += self._write(np.ascontiguousarray(piece).data.cast("B"))
            if written != len(data):
                raise ValueError(f"{written} bytes to fill {len(data)} with")
        else:
            self._write(memoryview(data))
        return len(data)

    def _write(self, memory: memoryview) -> int:
        for start in range(0, len(memory), _PIECE):
            piece = memory[start : start + _PIECE]
            self.sums.update(piece)
            while piece:
                piece = piece[self._file.write(piece) :]
        return len(memory)

    def tell(self) -> int:
        """How many bytes were written."""
        return self.sums.length

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """It is closed by whoever opened it."""


def _seal(file: BinaryIO, body: BlockSums) -> str:
    """Seal an open file; ``body`` is the checksum of its first bytes, before the footer or earlier."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as memory:
        place = footer_of(memory)
        bodies = bodies_of(memory, place)
        footer = bytes(memory[place:])
        with memory[body.length : place] as rest:
            body.update(rest)
    sealed = bytearray(_MARK + _ZEROS + body.hexdigest().encode() + _MARK)
    file.seek(place)
    file.write(sealed + footer)
    file.flush()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as memory:
        frame = _frame_digest(memory, bodies, place)
    sealed[_FRAME] = frame
    file.seek(place)
    file.write(sealed)
    return _named(frame)


def _frame_digest(memory: memoryview, bodies: tuple[Span, ...], seal: int) -> bytes:
    """The digits of FRAME, which themselves lie in the seal that begins at ``seal``."""
    digest = hashlib.sha256()
    at = 0
    for start, stop in [*bodies, (seal + _FRAME.start, seal + _FRAME.stop), (len(memory), len(memory))]:
        digest.update(bytes(memory[at:start]))
        at = stop
    return digest.hexdigest().encode()


def _named(frame: bytes) -> str:
    return f"seal-2:{frame.decode()}"


def _damaged(path: Path, problem: str) -> DamagedFileError:
    return DamagedFileError(f"damaged: {problem}", file=path, fix="make it again, or take it from a copy")


def _not_arrow(path: Path, problem: str) -> DamagedFileError:
    expected = "an Arrow IPC file (the file format, not the stream format)"
    return DamagedFileError(f"not an Arrow file, or cut short: {problem}", file=path, expected=expected)
