"""What the first bytes of a video file, and the sizes of its boxes, say before libav is asked.

A container announces how many bytes it has (a recording that was cut off has fewer) and, an mp4, how many frames: libav
makes a table of as many entries as are announced, however small the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinkit.data.decode.clip_reader import BrokenClip

READ = "mp4, mov, mkv, webm, avi, mpg, ts, flv, wmv, ogg, gif, mxf, dv, rm, ivf and bare h264, hevc, mpeg"
"""The containers that are read, as people call them."""

MAX_FRAMES = 1_000_000
"""More packets than this (11 hours at 25 frames a second) are refused: a tiny file can announce billions."""

_HEAD = 4096  # bytes in which the outermost header of a container lies
_PART = 65_536  # bytes that are read at once on the way through an mp4's boxes
_MAX_BOXES = 100_000
_MAX_INDEX = 64 * 1024 * 1024  # bytes of a box with an mp4's tables that are looked into
_BOXES = frozenset(b"ftyp styp pdin moov mdat moof mfra free skip wide sidx ssix prft emsg meta uuid udta".split())
_WITH_TABLES = frozenset((b"moov", b"moof"))

# What is sometimes saved as a video: (offset, bytes, what it is).
_OTHERS = (
    (0, b"\xff\xd8\xff", "a JPEG image, or a stream of them (mjpeg)"),
    (0, b"\x89PNG", "a PNG image, perhaps a moving one (apng)"),
    (8, b"WEBP", "a WebP image"),
    (0, b"YUV4MPEG2", "a y4m stream"),
    (0, b"BM", "a BMP image"),
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftyphei", "a HEIF image"),
    (0, b"#EXTM3U", "a playlist, which names other files"),
    (0, b"ffconcat", "a script, which names other files"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"Rar!", "a rar archive"),
    (0, b"version https://git-lfs", "a pointer of Git LFS; fetch the file: git lfs pull"),
    (0, b"%PDF", "a PDF"),
    (0, b"ID3", "sound alone (mp3)"),
    (0, b"fLaC", "sound alone (flac)"),
    (8, b"WAVE", "sound alone (wav)"),
)


def what_else(path: Path) -> str:
    """What a file is that libav does not read as a video."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    for offset, magic, what in _OTHERS:
        if head[offset : offset + len(magic)] == magic:
            return f"{what}, not a video"
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, not a video: the download failed"
    if head and not head.strip(b"\0"):
        return "begins with zeros: the download or the copy is not whole"
    return "not a video in a supported container"


def announced_size(path: Path) -> tuple[int, int] | None:
    """Width and height that a gif or avi has in its first bytes; None for other files. libav hides absurd ones."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head[:3] == b"GIF" and len(head) > 10:
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    form = head.find(b"strf", head.find(b"vids")) + 8
    if head[:4] == b"RIFF" and 8 < form <= len(head) - 12:
        width, height = (int.from_bytes(head[at : at + 4], "little", signed=True) for at in (form + 4, form + 8))
        return abs(width), abs(height)  # a picture stored upside down has a negative height
    return None


class Head:
    """The first ``size`` bytes of a file, as a file to read from: libav refuses an mp4 with a part of a table."""

    def __init__(self, path: Path, size: int) -> None:
        self._file, self._size = path.open("rb"), size

    def read(self, count: int) -> bytes:
        """At most ``count`` bytes."""
        return self._file.read(max(0, min(count, self._size - self._file.tell())))

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any file."""
        return self._file.seek(offset + self._size, 0) if whence == 2 else self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of any file."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def measure(path: Path) -> tuple[int, int, int]:
    """How many bytes a file has, how many its container announces, and where the last box that is whole ends.

    The last two are 0 where the file does not say.

    Knows the outermost sizes of mp4 / mov boxes, RIFF (avi) and EBML (webm, mkv). Raises
    :class:`~tinkit.data.decode.clip_reader.BrokenClip` for an mp4 that announces more frames than can be.
    """
    with path.open("rb", buffering=0) as file:
        there = os.fstat(file.fileno()).st_size
        head = os.pread(file.fileno(), _HEAD, 0)
        if head[4:8] in _BOXES:
            return there, *_look_through(file.fileno(), head, there)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return there, 8 + int.from_bytes(head[4:8], "little"), 0
    return there, (_segment_end(head) if head[:4] == b"\x1aE\xdf\xa3" else 0), 0


def _look_through(file: int, part: bytes, there: int) -> tuple[int, int]:
    """Where the last top-level box of an mp4 ends, and the last that is whole; tables on the way are checked.

    Boxes are size, type, content. ``part`` is what the file begins with.
    """
    begin = position = before = samples = 0
    for _ in range(_MAX_BOXES):
        if position >= there:
            return position, before if position > there else position
        if position + 16 > begin + len(part):
            begin, part = position, os.pread(file, _PART, position)
        at = position - begin
        kind, size = part[at + 4 : at + 8], _number(part, at)
        if size == 1:
            size = int.from_bytes(part[at + 8 : at + 16], "big")
        if kind not in _BOXES or size < 8:  # something else was appended; or 0, "to the end of the file"
            return there, there
        if kind in _WITH_TABLES:
            length = min(size, _MAX_INDEX)
            whole = part[at : at + length] if at + length <= len(part) else os.pread(file, length, position)
            samples += _most_samples(whole)
            if samples > MAX_FRAMES:
                raise BrokenClip(f"announces {samples:,} frames, more than {MAX_FRAMES:,}")
        before, position = position, position + size
    return there, there


def _most_samples(box: bytes) -> int:
    """The most samples that a table in ``box``, a ``moov`` or ``moof``, announces."""
    most = 0
    for kind, start, end in _children(box, 8, len(box)):
        if kind == b"trak":
            most = max(most, _samples_of_track(box, start, end))
        elif kind == b"traf":
            runs = (at for kind, at, _ in _children(box, start, end) if kind == b"trun")
            most = max(most, sum(_number(box, at + 4) for at in runs))
    return most


def _samples_of_track(box: bytes, start: int, end: int) -> int:
    """The most samples that one of a track's tables announces."""
    parts: dict[bytes, tuple[int, int]] = {}
    for kind in (b"mdia", b"minf", b"stbl"):
        parts |= {kind: (start, end) for kind, start, end in _children(box, start, end)}
        start, end = parts.get(kind, (end, end))
    parts |= {kind: (start, end) for kind, start, end in _children(box, start, end)}
    counts = [_number(box, parts[kind][0] + 8) for kind in (b"stsz", b"stz2") if kind in parts]
    runs = {kind: _runs(box, *parts[kind]) for kind in (b"stts", b"ctts") if kind in parts}
    # Uncompressed sound has millions of samples a minute, of one unit of time each; libav takes them by the chunk.
    times = runs.get(b"stts")
    handler = parts.get(b"hdlr", (len(box), 0))[0] + 8
    if box[handler : handler + 4] == b"soun" and times is not None and len(times) == 1 and times[0, 1] == 1:
        return 0
    return max([*counts, *(int(run[:, 0].sum(dtype=np.uint64)) for run in runs.values())], default=0)


def _children(box: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two places: kind, and where the content begins and ends."""
    while start + 8 <= end:
        size, head = _number(box, start), 8
        if size == 1:
            size, head = int.from_bytes(box[start + 8 : start + 16], "big"), 16
        stop = end if size == 0 else min(start + size, end)
        if stop < start + head:
            return
        yield box[start + 4 : start + 8], start + head, stop
        start = stop


def _runs(box: bytes, start: int, end: int) -> NDArray[np.uint32]:
    """A table of runs, (N, 2): how many samples, and what they have."""
    count = min(_number(box, start + 4), max(0, end - start - 8) // 8)
    if count == 0:
        return np.zeros((0, 2), np.uint32)
    return np.frombuffer(box, ">u4", 2 * count, start + 8).reshape(count, 2)


def _number(box: bytes, position: int) -> int:
    return int.from_bytes(box[position : position + 4], "big")


def _segment_end(head: bytes) -> int:
    """Where the first segment of a Matroska file ends; 0 where it does not say (streams)."""
    size, position = _element_size(head, 4)
    position += size
    if head[position : position + 4] != b"\x18S\x80g":
        return 0
    size, position = _element_size(head, position + 4)
    return position + size if size else 0


def _element_size(head: bytes, position: int) -> tuple[int, int]:
    """An EBML size (a number whose leading zero bits count its bytes) and the position behind it; unknown is 0."""
    if position >= len(head) or head[position] == 0:
        return 0, position
    length = 9 - head[position].bit_length()
    value = int.from_bytes(head[position : position + length], "big") & ((1 << 7 * length) - 1)
    return (0 if value == (1 << 7 * length) - 1 else value), position + length
