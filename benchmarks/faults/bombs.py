"""The bombs of :mod:`benchmarks.faults.pixels`: a name, and how its file, or folder of images, is made."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from benchmarks.faults import bomb_files as files

SIDE = files.SIDE
GIGABYTE = 1 << 30


def _film(data: Callable[[], bytes]) -> files.Maker:
    return lambda path: _written(path, data())


def _image(suffix: str, data: Callable[[], bytes]) -> files.Maker:
    def make(path: Path) -> None:
        path.mkdir()
        _written(path / f"00001.{suffix}", data())

    return make


def _written(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _encoded(codec: str, suffix: str, width: int, height: int, frames: int = 2, **options: str) -> files.Maker:
    def make(path: Path) -> None:
        made = files.film(path.with_suffix(suffix), codec, width, height, frames, **options)
        made.rename(path)

    return make


BOMBS: Mapping[str, files.Maker] = MappingProxyType(
    {
        "gif, 8000x7999, one pixel drawn": _film(lambda: files.gif(8000, 7999, 1)),
        "gif, 8000x7999, 12 pictures put back": _film(lambda: files.gif(8000, 7999, 12)),
        "gif, 4000x4000, 12 pictures put back": _film(lambda: files.gif(4000, 4000, 12)),
        "gif, 4600x4600, 5 whole pictures": _film(lambda: files.gif(4600, 4600, 5, whole=True)),
        "gif, 65500x65500": _film(lambda: files.gif(SIDE, SIDE, 3)),
        "gif, 1x65500": _film(lambda: files.gif(1, SIDE, 3)),
        "gif, 65500x1": _film(lambda: files.gif(SIDE, 1, 3)),
        "gif, 1000x1000, 100,000 pictures": _film(lambda: files.gif(1000, 1000, 100_000)),
        "gif, 3000x3000, 100,000 pictures": _film(lambda: files.gif(3000, 3000, 100_000)),
        "gif, 2x2, 150,000 pictures": _film(lambda: files.gif(2, 2, 150_000)),
        "jpeg, 8000x7999": _image("jpg", lambda: files.jpeg(8000, 7999)),
        "jpeg, 8000x7999, colours whole": _image("jpg", lambda: files.jpeg(8000, 7999, subsampling=0)),
        "jpeg, progressive, 8000x7999": _image("jpg", lambda: files.jpeg(8000, 7999, progressive=True)),
        "jpeg, 4000x4000 in 500 scans": _image("jpg", lambda: files.many_scans(4000, 4000, 500)),
        "jpeg, 2000x2000 in 800 scans": _image("jpg", lambda: files.many_scans(2000, 2000, 800)),
        "jpeg, 1000x1000 in 5000 scans": _image("jpg", lambda: files.many_scans(1000, 1000, 5000)),
        "jpeg, 600x600 in 9000 scans": _image("jpg", lambda: files.many_scans(600, 600, 9000)),
        "jpeg, 65500x65500 in its header": _image("jpg", lambda: files.resized(files.jpeg(64, 64), SIDE, SIDE)),
        "jpeg, progressive, 65500x976": _image("jpg", lambda: files.jpeg(SIDE, 976, progressive=True)),
        "jpeg, 1x65500": _image("jpg", lambda: files.jpeg(1, SIDE)),
        "jpeg, 65500x1": _image("jpg", lambda: files.jpeg(SIDE, 1)),
        "jpeg, CMYK, 8000x7999": _image("jpg", lambda: _cmyk(8000, 7999)),
        "png, 8000x7999": _image("png", lambda: files.png(8000, 7999)),
        "png, 7300x7300": _image("png", lambda: files.png(7300, 7300)),
        "png, 16 bits, 7000x7000": _image("png", lambda: files.png(7000, 7000, depth=16)),
        "png, 16 bits of grey, 8000x7999": _image("png", lambda: files.png(8000, 7999, depth=16, colour=0)),
        "png, 16 bits with alpha, 7000x7000": _image("png", lambda: files.png(7000, 7000, depth=16, colour=4)),
        "png, 1 bit, 8000x7999": _image("png", lambda: files.png(8000, 7999, depth=1, colour=0)),
        "png, palette, 8000x7999": _image("png", lambda: files.png(8000, 7999, colour=3)),
        "png, 65500x65500": _image("png", lambda: files.png(SIDE, SIDE, data=files.zeros(1 << 20))),
        "png, 64x64 of a gigabyte": _image("png", lambda: files.png(64, 64, data=files.zeros(GIGABYTE))),
        "png, a gigabyte of zTXt": _image("png", lambda: files.png(64, 64, more=files.chunk(b"zTXt", _text()))),
        "png, a gigabyte of iCCP": _image("png", lambda: files.png(64, 64, more=files.chunk(b"iCCP", _text()))),
        "png, a gigabyte of iTXt": _image(
            "png", lambda: files.png(64, 64, more=files.chunk(b"iTXt", b"key\0\1\0\0\0" + files.zeros(GIGABYTE)))
        ),
        "png, 3,000 texts of a megabyte": _image(
            "png", lambda: files.png(64, 64, more=files.chunk(b"zTXt", b"k\0\0" + files.zeros(1 << 20)) * 3000)
        ),
        "png, a chunk of 2 GB announced": _image(
            "png", lambda: files.png(64, 64, more=files.chunk(b"tEXt", b"k\0v", 0x7FFFFFFF))
        ),
        "apng, 3000x3000, 500 pictures": _image("png", lambda: _apng(3000, 3000, 500)),
        "png called a film": _film(lambda: files.png(8000, 7999)),
        "bmp, 65500x65500": _image("bmp", lambda: files.bmp(SIDE, SIDE)),
        "bmp, 8000x7999 without pixels": _image("bmp", lambda: files.bmp(8000, 7999)),
        "bmp, runs, 8000x7999": _image("bmp", lambda: files.bmp(8000, 7999, runs=b"\xff\0" * 300_000)),
        "bmp, 6 MB of runs": _image("bmp", lambda: files.bmp(8000, 7999, runs=b"\1\0" * 3_000_000)),
        "ppm, 65500x65500": _image("ppm", lambda: b"P6 65500 65500 255\n" + bytes(64)),
        "ppm, 6 MB of numbers": _image("ppm", lambda: b"P3 1400 1400 255\n" + b"0 " * 3_000_000),
        "tiff, 65500x65500": _image("tif", lambda: files.tiff(SIDE, SIDE, files.zeros(1 << 20))),
        "tiff, 7000x7000 in a strip": _image("tif", lambda: files.tiff(7000, 7000, files.zeros(7000 * 7000 * 3))),
        "tiff, 64x64 in a tile of 16384x16384": _image(
            "tif", lambda: files.tiff(64, 64, files.zeros(16384 * 16384 * 3), tile=(16384, 16384))
        ),
        "tiff, 64x64 in a tile of 65536x8192": _image(
            "tif", lambda: files.tiff(64, 64, files.zeros(GIGABYTE), tile=(65536, 8192))
        ),
        "tiff, 64x64 of a gigabyte": _image("tif", lambda: files.tiff(64, 64, files.zeros(GIGABYTE))),
        "tiff, 300 pages": _image("tif", lambda: _pages(300)),
        "webp, lossless, 8000x7999": _image("webp", lambda: files.webp(8000, 7999)),
        "webp, lossless, 4400x4400": _image("webp", lambda: files.webp(4400, 4400)),
        "webp, 65500x65500 in its header": _image("webp", lambda: _webp_header(SIDE, SIDE)),
        "avi, motion jpeg, 65500x65500": _film(
            lambda: files.avi(3, files.resized(files.jpeg(64, 64), SIDE, SIDE), b"MJPG", SIDE, SIDE)
        ),
        "avi, motion jpeg, 65500x65500 in the pictures alone": _film(
            lambda: files.avi(3, files.resized(files.jpeg(64, 64), SIDE, SIDE), b"MJPG", 64, 64)
        ),
        "avi, motion jpeg, 1000x1000 in 5000 scans": _film(
            lambda: files.avi(2, files.many_scans(1000, 1000, 5000), b"MJPG", 1000, 1000)
        ),
        "avi, motion jpeg, 8000x7999": _film(lambda: files.avi(3, files.jpeg(8000, 7999), b"MJPG", 8000, 7999)),
        "avi, raw, 65500x65500": _film(lambda: files.avi(3, bytes(64), b"\0\0\0\0", SIDE, SIDE)),
        "avi, raw, 8000x7999": _film(lambda: files.avi(3, bytes(64), b"\0\0\0\0", 8000, 7999)),
        "avi, png, 7000x7000": _film(lambda: files.avi(3, files.png(7000, 7000), b"MPNG", 7000, 7000)),
        "avi, a million frames of 2x2": _film(lambda: files.avi(990_000, bytes(8), bytes(4), 2, 1)),
        "avi, two million frames of 2x2": _film(lambda: files.avi(1_400_000, bytes(8), bytes(4), 2, 1)),
        "avi, four billion frames announced": _film(
            lambda: files.avi(3, files.jpeg(64, 64), b"MJPG", 64, 64, 0xFFFFFFF0)
        ),
        "mp4, a billion samples announced": _film(lambda: files.mp4_tables(samples=1_000_000_000)),
        "mp4, a million samples announced": _film(lambda: files.mp4_tables(samples=990_000, times=990_000)),
        "mp4, four billion times announced": _film(lambda: files.mp4_tables(samples=10, times=0xFFFFFFFF)),
        "mp4, four billion shifts announced": _film(lambda: files.mp4_tables(samples=10, times=10, shifts=0xFFFFFFF0)),
        "mp4, a fragment of a billion": _film(lambda: files.mp4_tables(samples=0, fragment=1_000_000_000)),
        "mp4, h264, 8000x4400": _encoded("libx264", ".mp4", 8000, 4400, 8, preset="ultrafast"),
        "mp4, h264, 8000x7600": _encoded("libx264", ".mp4", 8000, 7600, preset="ultrafast"),
        "webm, vp9, 4600x4600": _encoded(
            "libvpx-vp9", ".webm", 4600, 4600, **{"cpu-used": "8", "deadline": "realtime"}
        ),
        "webm, vp8, 16383x16383 in its frames": lambda path: _vp8(path),
    }
)


def _cmyk(width: int, height: int) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("CMYK", (width, height), (9, 80, 70, 60)).save(buffer, "JPEG")
    return buffer.getvalue()


def _text() -> bytes:
    return b"key\0\0" + files.zeros(GIGABYTE)


def _pages(count: int) -> bytes:
    import io

    from PIL import Image

    buffer, page = io.BytesIO(), Image.new("RGB", (64, 64))
    page.save(buffer, "TIFF", save_all=True, append_images=[page] * (count - 1))
    return buffer.getvalue()


def _apng(width: int, height: int, count: int) -> bytes:
    more = files.chunk(b"acTL", struct.pack(">II", count, 0))
    return files.png(width, height, more=more)


def _webp_header(width: int, height: int) -> bytes:
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    part = b"VP8X" + struct.pack("<I", 10) + bytes(4) + size
    body = files.webp(16, 16)[12:]
    return b"RIFF" + struct.pack("<I", 4 + len(part) + len(body)) + b"WEBP" + part + body


def _vp8(path: Path) -> None:
    data = files.film(path.with_suffix(".webm"), "libvpx", 64, 64).read_bytes()
    start = b"\x9d\x01\x2a"
    path.with_suffix(".webm").unlink()
    path.write_bytes(data.replace(start + struct.pack("<HH", 64, 64), start + struct.pack("<HH", 16383, 16383)))
