"""Changes to files, drawn by a seeded generator: of bytes, of text, and of the values of Arrow tables."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tinkit.files.arrow import seal, sealed_writer

Change = Callable[[random.Random, bytearray, Sequence[bytes]], bytearray]

_INTEGERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_HEADER = 4096  # bytes at either end of a file in which its structure lies
_MARKS = (
    b"moov",
    b"stbl",
    b"trak",
    b"moof",
    b"\x1aE\xdf\xa3",
    b"idx1",
    b"strf",
    b"hdrl",
    b"\xff\xc0",
    b"IHDR",
    b"ARROW1",
)


def changed(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """``data`` with one to six changes; pieces may come from ``others``, files of the same kind."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        found = rng.choice(_CHANGES)(rng, found, others) or bytearray(b"\0")
    return bytes(found)


def _place(rng: random.Random, data: bytearray) -> int:
    """A place in a file, most often where its structure is."""
    last = max(0, len(data) - 1)
    match rng.randrange(5):
        case 0 | 1:
            return rng.randint(0, min(last, _HEADER))
        case 2:
            return rng.randint(max(0, last - _HEADER), last)
        case 3:
            at = [place for mark in _MARKS if (place := data.find(mark)) >= 0]
            return min(last, (rng.choice(at) if at else 0) + rng.randrange(600))
    return rng.randint(0, last)


def _flip(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    for _ in range(rng.choice((1, 1, 4, 32))):
        data[_place(rng, data)] ^= 1 << rng.randrange(8)
    return data


def _noise(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    at, length = _place(rng, data), rng.choice((1, 4, 16, 200))
    data[at : at + length] = rng.randbytes(min(length, len(data) - at))
    return data


def _integer(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    at, size = _place(rng, data), rng.choice((1, 2, 4, 4, 8))
    if rng.random() < 0.5:
        value = rng.choice(_INTEGERS) * (1 << 32 | 1 if size == 8 else 1)
    else:
        value = int.from_bytes(data[at : at + size], "big") + rng.choice((-1, 1, 7, -100, 1000))
    data[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, rng.choice(("big", "little")))[: len(data) - at]
    return data


def _cut(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    return data[: rng.randint(1, len(data))]


def _drop(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    at = _place(rng, data)
    del data[at : at + rng.choice((1, 3, 8, 100, 5000))]
    return data


def _repeat(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    at, length = _place(rng, data), rng.choice((1, 8, 100, 5000))
    data[at:at] = data[at : at + length] * rng.choice((1, 1, 3, 50))
    return data


def _zero(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    at = _place(rng, data)
    length = min(rng.choice((4, 64, 4096)), len(data) - at)
    data[at : at + length] = bytes([rng.choice((0, 255))]) * length
    return data


def _splice(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytearray:
    other = rng.choice(others)
    start, length = rng.randrange(len(other)), rng.choice((16, 500, 20_000))
    at = _place(rng, data)
    data[at : at + length] = other[start : start + length]
    return data


_CHANGES: tuple[Change, ...] = (_flip, _flip, _noise, _integer, _integer, _cut, _drop, _repeat, _zero, _splice)


def with_right_sums(data: bytes) -> bytes:
    """A PNG whose chunks have the checksums of what they hold, so that more than these is looked at; else ``data``."""
    found, at = bytearray(data), 8
    while data[:4] == b"\x89PNG" and at + 12 <= len(found):
        end = at + 8 + int.from_bytes(found[at : at + 4], "big")
        if end + 4 > len(found):
            break
        found[end : end + 4] = zlib.crc32(found[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(found)


def changed_text(rng: random.Random, data: bytes, words: Sequence[str]) -> bytes:
    """Text with one to four changes: of lines, of fields, of marks, of bytes; ``words`` are put in."""
    lines = data.split(b"\n")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        match rng.randrange(8):
            case 0:
                lines.insert(at, rng.choice(lines))
            case 1 if len(lines) > 1:
                del lines[at]
            case 2:
                lines[at] = re.sub(rb"[^,;:\s\"]+", lambda _: rng.choice(words).encode(), lines[at], count=1)
            case 3:
                fields = re.split(rb"([,;\t ])", lines[at])
                fields[rng.randrange(len(fields))] = rng.choice(words).encode()
                lines[at] = b"".join(fields)
            case 4:
                lines[at] = lines[at].replace(
                    rng.choice((b",", b";", b" ", b"/")), rng.choice((b"", b"\t", b",,", b"|"))
                )
            case 5:
                lines[at] = changed(rng, lines[at] or b"x", [data])
            case 6:
                lines[at] *= rng.choice((2, 3, 400))
            case _:
                lines[at] = rng.choice(_BYTES) + lines[at]
    text = b"\n".join(lines)
    return text.replace(b"\n", b"\r\n") if rng.random() < 0.05 else text


_BYTES = (
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b'"',
    b"\xe2\x80\xae",
    b"[" * 3000,
    b"9" * 5000,
    b"\x1b[2J",
    b"\xed\xa0\x80",
)


def changed_table(rng: random.Random, data: bytes, words: Sequence[str], target: Path) -> bool:
    """Write to ``target`` an Arrow file whose bytes, values or metadata are others.

    True if it is forged: its checksum is right, whatever it says; False if it is damaged, which its checksum tells.
    """
    forged = False
    table = pa.ipc.open_file(pa.py_buffer(data)).read_all()
    match rng.randrange(3):
        case 0:
            target.write_bytes(changed(rng, data, [data]))
        case 1:
            forged = True
            metadata = {key: changed_text(rng, value, words) for key, value in (table.schema.metadata or {}).items()}
            _write(table.replace_schema_metadata(metadata), target)
        case _:
            forged = True
            _write(_other_values(rng, table, words), target)
    if rng.random() < 0.3:  # damage below a checksum that is right
        bare = bytearray(target.read_bytes())
        place = bare.find(b"\xfftinkit-seal-1")
        if place > 0:
            del bare[place : place + 160]
            bare[rng.randrange(8, len(bare))] ^= 1 << rng.randrange(8)
            target.write_bytes(bare)
            forged = True
            try:
                seal(target)
            except (ValueError, OSError, OverflowError, BufferError):
                target.write_bytes(bare)
    return forged


def _write(table: pa.Table, target: Path) -> None:
    with sealed_writer(target, table.schema) as writer:
        writer.write_table(table)


def _other_values(rng: random.Random, table: pa.Table, words: Sequence[str]) -> pa.Table:
    rows = table.to_pylist()
    for _ in range(rng.choice((1, 2, 5))):
        row, field = rng.choice(rows), rng.choice(table.schema)
        row[field.name] = _value(rng, field.type, words)
    try:
        return pa.Table.from_pylist(rows, schema=table.schema)
    except (pa.ArrowException, OverflowError):
        return table


def _value(rng: random.Random, kind: pa.DataType, words: Sequence[str]) -> Any:
    if rng.random() < 0.1:
        return None
    if pa.types.is_string(kind):
        return rng.choice(words)
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        count = kind.list_size if pa.types.is_fixed_size_list(kind) else rng.choice((0, 1, 2, 50))
        return [_value(rng, kind.value_type, words) for _ in range(count)]
    if pa.types.is_floating(kind):
        return rng.choice((0.0, -1.0, 1e30, float("nan"), float("inf"), 1e-300))
    if pa.types.is_boolean(kind):
        return rng.random() < 0.5
    top = 1 << (kind.bit_width - 1)
    return rng.choice((0, 1, -1, 5, 1000, top - 1, -top, rng.randrange(100)))
