"""Small files that ask for much: memory, or time. Each is made of nothing but the format's own rules.

A file whose maker is a generator of bytes is written as it goes; none is larger than some megabytes.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

SIDE = 65_500


def chunk(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    """A chunk of a PNG."""
    size = len(data) if length is None else length
    return struct.pack(">I", size) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def zeros(count: int) -> bytes:
    """``count`` zeros, deflated."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    whole = b"".join(packer.compress(block) for _ in range(count >> 20))
    return whole + packer.compress(bytes(count & 0xFFFFF)) + packer.flush()


def png(
    width: int, height: int, *, depth: int = 8, colour: int = 2, data: bytes | None = None, more: bytes = b""
) -> bytes:
    """A black PNG, or one with other ``data``; ``more`` chunks stand before it."""
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    if data is None:
        data = zeros(((width * bits + 7) // 8 + 1) * height)
    palette = chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + more + palette + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def gif(width: int, height: int, frames: int, *, restore: bool = True, whole: bool = False) -> bytes:
    """A gif of ``frames`` pictures of one pixel, or of the whole canvas, each put back after it was shown."""
    control = b"\x21\xf9\x04" + bytes([(3 if restore else 1) << 2, 1, 0, 0, 0])
    size = struct.pack("<HH", width, height) if whole else struct.pack("<HH", 1, 1)
    picture = control + b"\x2c\0\0\0\0" + size + b"\0" + b"\x02\x02\x44\x01\0"
    return (
        b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + bytes(3) + b"\xff" * 3 + picture * frames + b";"
    )


def jpeg(width: int, height: int, **options: Any) -> bytes:
    """A grey-blue JPEG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (90, 100, 140)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def many_scans(width: int, height: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan stands there ``scans`` times."""
    data = jpeg(width, height, progressive=True, quality=30)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def resized(data: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header says that it has another size."""
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def bmp(width: int, height: int, *, runs: bytes = b"") -> bytes:
    """A BMP of 24 bits without its pixels, or of 8 bits in ``runs``."""
    compression, bits = (1, 8) if runs else (0, 24)
    palette = bytes(1024) if runs else b""
    offset = 54 + len(palette)
    head = b"BM" + struct.pack("<IHHI", offset + len(runs), 0, 0, offset)
    about = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(runs), 1, 1, 0, 0)
    return head + about + palette + (runs or bytes(64))


def tiff(width: int, height: int, data: bytes, *, tile: tuple[int, int] | None = None) -> bytes:
    """A deflated TIFF of RGB: one strip, or one tile."""
    entries = [(256, width), (257, height), (259, 8), (262, 2), (277, 3)]
    if tile is not None:
        entries += [(322, tile[0]), (323, tile[1]), (324, 8), (325, len(data))]
    else:
        entries += [(273, 8), (278, height), (279, len(data))]
    start = 8 + len(data)
    bits = start + 2 + 12 * (len(entries) + 1) + 4  # where the three numbers of bits stand
    table = [(tag, 4, 1, value) for tag, value in entries] + [(258, 3, 3, bits)]
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(table))
    end = struct.pack("<IHHH", 0, 8, 8, 8)
    return b"II*\0" + struct.pack("<I", start) + data + struct.pack("<H", len(table)) + body + end


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of an mp4."""
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def mp4_tables(*, samples: int, times: int = 1, shifts: int = 0, fragment: int = 0) -> bytes:
    """An mp4 of one video track whose tables announce ``samples`` pictures of a byte, and no more than that."""
    matrix = struct.pack(">9I", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    track = box(
        b"tkhd",
        struct.pack(">IIIIIIIIHHHH", 7, 0, 0, 1, 0, 10, 0, 0, 0, 0, 0, 0),
        matrix,
        struct.pack(">II", 16 << 16, 16 << 16),
    )
    coded = bytes(6) + struct.pack(">H16xHHIIIH32xHh", 1, 16, 16, 72 << 16, 72 << 16, 0, 1, 24, -1)
    tables = [
        box(b"stsd", struct.pack(">II", 0, 1), box(b"mp4v", coded)),
        box(b"stts", struct.pack(">IIII", 0, 1, times, 1)),
        box(b"stsc", struct.pack(">IIIII", 0, 1, 1, samples, 1)),
        box(b"stsz", struct.pack(">III", 0, 1, samples)),
        box(b"stco", struct.pack(">III", 0, 1, 8)),
    ]
    if shifts:
        tables.append(box(b"ctts", struct.pack(">IIII", 0, 1, shifts, 1)))
    handler = box(b"hdlr", struct.pack(">II", 0, 0) + b"vide" + bytes(13))
    media = box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 25, 10, 0, 0)), handler, box(b"minf", box(b"stbl", *tables))
    movie = box(
        b"mvhd", struct.pack(">IIIIIIH10x", 0, 0, 0, 25, 10, 65536, 256), matrix, bytes(24), struct.pack(">I", 2)
    )
    extends = box(b"mvex", box(b"trex", struct.pack(">IIIIII", 0, 1, 1, 1, 1, 0))) if fragment else b""
    whole = box(b"ftyp", b"isom", bytes(4)) + box(b"moov", movie, box(b"trak", track, box(b"mdia", *media)), extends)
    if fragment:
        run = box(b"trun", struct.pack(">II", 0, fragment))
        whole += box(b"moof", box(b"mfhd", bytes(8)), box(b"traf", box(b"tfhd", struct.pack(">II", 0, 1)), run))
    return whole + box(b"mdat", bytes(64))


def avi(frames: int, data: bytes, codec: bytes, width: int, height: int, announced: int | None = None) -> bytes:
    """An AVI of ``frames`` times the same coded picture."""
    count = frames if announced is None else announced
    main = struct.pack("<14I", 40_000, 0, 0, 0x10, count, 0, 1, 0, width, height, 0, 0, 0, 0)
    stream = b"vids" + codec + struct.pack("<IHHIIIIIIIIHHHH", 0, 0, 0, 0, 1, 25, 0, count, len(data), 0, 0, 0, 0, 8, 8)
    form = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, codec, 0, 0, 0, 0, 0)
    part = b"00dc" + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    movie = b"movi" + part * frames

    def listed(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("<I", len(body)) + body

    streams = listed(b"LIST", b"strl" + listed(b"strh", stream) + listed(b"strf", form))
    header = listed(b"LIST", b"hdrl" + listed(b"avih", main) + streams)
    index = b"".join(b"00dc" + struct.pack("<III", 16, 4 + number * len(part), len(data)) for number in range(frames))
    return listed(b"RIFF", b"AVI " + header + listed(b"LIST", movie) + listed(b"idx1", index))


def film(
    path: Path, codec: str, width: int, height: int, frames: int = 2, pixels: str = "yuv420p", **options: str
) -> Path:
    """A black film of any size."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        frame: Any = av.VideoFrame(width, height, pixels)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        for number in range(frames):
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def webp(width: int, height: int) -> bytes:
    """A lossless WebP of one colour."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 128, np.uint8)).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


Maker = Callable[[Path], None]
