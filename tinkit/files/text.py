"""Text files that people and other programs wrote: lists, tables, class names, JSON. One reader for all of them.

UTF-8, and UTF-16 and UTF-32 where a byte-order mark or, for UTF-16, alternate zero bytes say so. Any other encoding
would be a guess, of which several give plausible rubbish: it is refused, with the readings to choose from.
"""

from __future__ import annotations

import codecs
import io
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tinkit.errors import UserError
from tinkit.files.system_errors import read_errors

MAX_BYTES = 1 << 30
"""A text file may not be larger: ten million rows of a list are about this."""

_PIECE = 1 << 20

MAX_LINE = 1 << 20
"""Characters of a line of a list; 1,000 classes of 20 characters take a fiftieth of it."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Encodings of files that are not UTF-8; first those that few texts in another encoding fit.
_OTHERS = {
    "GBK": "gb18030",
    "Big5": "big5",
    "Shift-JIS": "cp932",
    "EUC-JP": "euc_jp",
    "EUC-KR": "cp949",
    "Windows-1251": "cp1251",
    "KOI8-R": "koi8_r",
    "Windows-1252": "cp1252",
    "Windows-1250": "cp1250",
}
_SAMPLE = 1 << 20  # bytes from which other encodings are judged
_SHOWN = 40  # characters of a reading


def read_text(file: Path) -> str:
    """The text of a file, without a byte-order mark and with ``\\n`` for every end of line.

    Raises :class:`~tinkit.errors.UserError` for a file that cannot be read, is larger than :data:`MAX_BYTES`, holds
    zero bytes, or is in an encoding that cannot be determined.
    """
    return decode(_bytes_of(file), file)


def decode(data: bytes, file: Path) -> str:
    """The text of ``data``, which ``file`` held, as :func:`read_text` gives it."""
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", None))
    encoding = encoding or _unmarked_utf16(data) or "utf-8"
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as problem:
        raise _not_text(data, len(mark) + problem.start, "" if encoding == "utf-8" else encoding, file) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n\ufeff", "\n")  # of files put one after the other
    if (at := text.find("\0")) >= 0:
        raise UserError(
            "holds zero bytes",
            file=file,
            line=text.count("\n", 0, at) + 1,
            expected="a text file",
            fix="if it is a text, save it as UTF-8; UTF-32 and UTF-16 are read where they begin with a mark (BOM)",
        )
    return text


def read_lines(file: Path) -> list[str]:
    """The lines of a list, stripped of the spaces around them; raises as :func:`read_text`, and for overlong lines."""
    return [line.strip() for line in check_lines(read_text(file), file).split("\n")]


def check_lines(text: str, file: Path) -> str:
    """``text``, if no line is longer than :data:`MAX_LINE`; else raises :class:`~tinkit.errors.UserError`."""
    begin = 0
    while len(text) - begin > MAX_LINE:
        end = text.rfind("\n", begin, begin + MAX_LINE + 1)
        if end < 0:
            line = text.count("\n", 0, begin) + 1
            raise UserError(
                f"a line longer than {MAX_LINE} characters", file=file, line=line, expected="a list or table"
            )
        begin = end + 1
    return text


def is_text(value: str) -> bool:
    """Whether ``value`` can be written: a file's name or JSON may hold halves of characters, which cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_utf8(handle: BinaryIO, file: Path) -> BinaryIO:
    """A handle on the same text in UTF-8 without a mark: ``handle`` itself, from its start, where it is that already.

    For readers that stream. A text in UTF-16 or UTF-32 is held in memory; raises as :func:`read_text` does.
    """
    head = handle.read(1 << 12)
    handle.seek(0)
    if head.startswith(codecs.BOM_UTF8):
        handle.seek(len(codecs.BOM_UTF8))
        return handle
    if b"\0" not in head and not head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return handle
    return io.BytesIO(decode(_within_limit(handle, file), file).encode())


def require_utf8(file: Path) -> None:
    """Raise :class:`~tinkit.errors.UserError` with line and readings, as :func:`read_text` does, if it is not text."""
    with file.open("rb") as handle:
        for number, line in enumerate(as_utf8(handle, file), 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                raise not_utf8(line, number, file) from None


def not_utf8(line: bytes, number: int, file: Path) -> UserError:
    """The error for a line that is not UTF-8, with what it reads in other encodings."""
    try:
        line.decode()
    except UnicodeDecodeError as problem:
        error = _not_text(line, problem.start, "", file)
        return UserError(error.problem, file=file, line=number, expected=error.expected, fix=error.fix)
    raise ValueError("the line is UTF-8")


def _bytes_of(file: Path) -> bytes:
    with read_errors(file), file.open("rb") as handle:
        return _within_limit(handle, file, os.fstat(handle.fileno()).st_size + 1)


def _within_limit(handle: BinaryIO, file: Path, wanted: int = 0) -> bytes:
    """What is left of ``file``, ``wanted`` bytes at first: Python takes memory for all that it is asked for."""
    pieces, length = [], 0
    wanted = max(_PIECE, wanted)
    while piece := handle.read(min(wanted, MAX_BYTES + 1)):
        pieces.append(piece)
        length += len(piece)
        _refuse_large(length, file)
        wanted = _PIECE
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _refuse_large(size: int, file: Path) -> None:
    if size > MAX_BYTES:
        raise UserError(f"larger than {MAX_BYTES >> 20} MiB", file=file, expected="a list, a table or JSON")


def _unmarked_utf16(data: bytes) -> str | None:
    """The byte order of UTF-16 without a mark, where zeros at every other place prove it."""
    if len(data) % 2 or b"\0" not in data:
        return None
    for encoding, high in (("utf-16-le", 1), ("utf-16-be", 0)):
        if b"\0" in data[1 - high :: 2]:
            continue  # a zero in a low byte, which text does not have
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        # Bytes of another encoding would make controls, unassigned characters, and no ends of lines.
        usual = all(unicodedata.category(c) not in ("Cc", "Cn", "Co") or c in "\t\r\n" for c in set(text))
        zeros = data[high::2].count(0)
        lines = 4 * text.count("\n") >= data.count(b"\n")
        if usual and lines and zeros >= max(3, len(text) // 8):
            return encoding
    return None


def _not_text(data: bytes, at: int, encoding: str, file: Path) -> UserError:
    """The error for bytes that do not decode at ``at``: the line, and how it reads in the encodings that would do."""
    number = data.count(b"\n", 0, at) + 1
    if encoding:
        return UserError(
            f"is not {encoding.upper()}, as its first bytes say",
            file=file,
            expected="a text file",
            fix="save it as UTF-8, or download it again if it was cut off",
        )
    begin = data.rfind(b"\n", 0, at) + 1
    end = data.find(b"\n", at)
    line = data[begin : end if end >= 0 else len(data)]
    readings = list(_readings(line, data[: data.rfind(b"\n", 0, _SAMPLE) + 1] + line))
    if readings:
        shown = ", ".join(f"{reading!r} in {name}" for name, reading in readings)
        fix = f"save it as UTF-8, from the encoding in which this line is right: it reads {shown}"
    else:
        fix = "save it as UTF-8; in none of the usual encodings is it a text"
    return UserError(
        f"byte {data[at]:#04x} is not UTF-8", file=file, line=number, expected="a text file in UTF-8", fix=fix
    )


def _readings(line: bytes, data: bytes) -> Iterator[tuple[str, str]]:
    """(encoding, what ``line`` reads in it) for those in which all of ``data`` is letters, each reading once."""
    seen: set[str] = set()
    for name, codec in _OTHERS.items():
        try:
            text, whole = line.decode(codec).strip(), set(data.decode(codec))
        except UnicodeDecodeError:
            continue
        strange = [c for c in whole if ord(c) > 127 and unicodedata.category(c)[0] not in "LMNPZ"]
        if text in seen or strange or any(unicodedata.category(c) in ("Cn", "Co") for c in whole):
            continue
        seen.add(text)
        yield name, text if len(text) <= _SHOWN else _around_unusual(text)


def _around_unusual(text: str) -> str:
    """The part of a long line in which the characters are that encodings differ in."""
    at = next((index for index, character in enumerate(text) if ord(character) > 127), 0)
    begin = max(0, at - _SHOWN // 2)
    return text[begin : begin + _SHOWN]
