"""Rows of text, streamed: bounded lines in (plain or from a zip archive), quoted or refused fields out.

Nothing here holds more than one line of a file, so that a file of any size, or a zip bomb, costs time but not memory.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tinkit.errors import UserError
from tinkit.files.system_errors import read_errors
from tinkit.files.text import as_utf8, is_text, not_utf8

MAX_LINE = 1 << 20  # bytes; 1,000 classes of 20 characters take a fiftieth of it
MAX_ROWS = 5_000_000
MAX_BYTES = 16 << 30
ZIP_MAGIC = b"PK\x03\x04"
_UNSAFE = re.compile(r"[\r\n\0]")
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
}


def is_zip(path: Path) -> bool:
    """Whether ``path`` starts as a zip archive with a file in it does."""
    with path.open("rb") as handle:
        return handle.read(4) == ZIP_MAGIC


def zip_members(path: Path) -> list[zipfile.ZipInfo]:
    """The files in an archive, without folders and macOS's resource forks."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UserError(f"not a zip archive that can be read: {error}", file=path) from error
    return [member for member in members if not member.is_dir() and not member.filename.startswith("__MACOSX/")]


def packed_by(path: Path) -> str | None:
    """The program that ``path`` was packed by, if it is one whose files we cannot read (zip archives we can)."""
    with path.open("rb") as handle:
        start = handle.read(8)
    return next((program for magic, program in _PACKED.items() if start.startswith(magic)), None)


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """The bytes of ``path``, or of the one file in it when it is a zip archive."""
    require_file(path)
    if program := packed_by(path):
        raise UserError(
            f"is packed by {program}", file=path, expected="plain text, or a zip archive of one file", fix="unpack it"
        )
    if not is_zip(path):
        with path.open("rb") as handle:
            yield handle
        return
    members = zip_members(path)
    if len(members) != 1:
        raise UserError(f"the archive holds {len(members)} files", file=path, expected="exactly one")
    with open_member(path, members[0]) as handle:
        yield handle


@contextmanager
def open_member(path: Path, member: zipfile.ZipInfo) -> Iterator[BinaryIO]:
    """The bytes of one file of the archive ``path``."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError("the archive is packed by an unusual method", file=path, expected="deflate, as zip programs do")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as inner:
            yield io.BufferedReader(inner, 1 << 18)  # type: ignore[type-var]  # ZipExtFile is a BufferedIOBase
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        raise UserError(f"{member.filename} cannot be unpacked: {error}", file=path) from error


@contextmanager
def open_gzip(path: Path) -> Iterator[BinaryIO]:
    """The bytes that ``path`` holds packed by gzip."""
    try:
        with gzip.open(path) as inner:
            yield io.BufferedReader(inner, 1 << 18)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UserError(f"cannot be unpacked by gzip: {error}", file=path) from error


def require_file(path: Path) -> None:
    """Raise :class:`~tinkit.errors.UserError` unless ``path`` is a file that can be read."""
    if not path.is_file():
        raise UserError("is a folder" if path.is_dir() else "no such file", file=path, expected="a file")
    with read_errors(path):
        path.open("rb").close()


@contextmanager
def open_list(path: Path) -> Iterator[BinaryIO]:
    """As :func:`open_bytes`, for a list of any origin: in UTF-8, also where it has a byte order mark or is UTF-16.

    Not for a submission's file, which is judged as its organisers' program would read it.
    """
    with open_bytes(path) as handle:
        yield as_utf8(handle, path)


def read_lines(handle: BinaryIO, path: Path, before: int = 0, most: int | None = None) -> Iterator[tuple[int, str]]:
    """Line number (from 1, after ``before`` lines) and text of each line, without its ending.

    Raises :class:`~tinkit.errors.UserError` for a line that is not UTF-8 or is longer than :data:`MAX_LINE`, and
    for a file of more than ``most`` lines (:data:`MAX_ROWS`) or :data:`MAX_BYTES`.
    """
    most = MAX_ROWS if most is None else most
    total, number = 0, before
    # A file object's own readline, looked up once: this loop reads lists of millions of clips.
    readline = handle.readline
    while raw := readline(MAX_LINE + 1):
        number += 1
        total += len(raw)
        if len(raw) > MAX_LINE:
            raise UserError(f"a line longer than {MAX_LINE} bytes", file=path, line=number, expected="a text file")
        if number > most or total > MAX_BYTES:
            raise UserError(f"more than {most} lines or {MAX_BYTES >> 30} GiB", file=path, line=number)
        if number == 1 and raw.startswith(b"\xef\xbb\xbf"):
            raise UserError(
                "starts with a byte order mark", file=path, line=1, fix="save it as UTF-8 without the mark (BOM)"
            )
        try:
            yield number, raw.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise not_utf8(raw, number, path) from error


def split_row(line: str, delimiter: str, quoting: str) -> list[str]:
    """The fields of one line. Raises :class:`ValueError` where quotes do not match."""
    if quoting == "none" or '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from error


def field_text(value: str, delimiter: str, quoting: str) -> str:
    """``value`` as it stands in a row: quoted where ``quoting`` is ``csv`` and it must be.

    Raises :class:`ValueError` for a text that cannot stand there.
    """
    if not value:
        raise ValueError("an empty text")
    if _UNSAFE.search(value):
        raise ValueError(f"{value!r} holds a line break")
    if not (value.isascii() or is_text(value)):
        raise ValueError(f"{value!r} is not text")
    if quoting == "all":
        return '"' + value.replace('"', '""') + '"'
    if quoting == "csv":
        return '"' + value.replace('"', '""') + '"' if delimiter in value or '"' in value else value
    if delimiter in value:
        raise ValueError(f"{value!r} holds the delimiter {delimiter!r}, which this format cannot quote")
    return value
