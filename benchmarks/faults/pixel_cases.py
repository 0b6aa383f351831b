"""What frames must hold, against numpy's own reckoning: a name, and a check that says what is wrong, if anything is."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.faults.bomb_files import chunk
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.decode.settings import DecodeSettings

Check = Callable[[Path, int], str]
Levels = NDArray[Any]

ONE = 1 << 16
TURNS: Mapping[str, tuple[tuple[int, int, int, int], Callable[[Levels], Levels]]] = MappingProxyType(
    {
        "90": ((0, 1, -1, 0), lambda frame: np.rot90(frame, -1)),
        "180": ((-1, 0, 0, -1), lambda frame: np.rot90(frame, 2)),
        "270": ((0, -1, 1, 0), np.rot90),
        "mirrored": ((-1, 0, 0, 1), lambda frame: frame[:, ::-1]),
        "upside down": ((1, 0, 0, -1), lambda frame: frame[::-1]),
        "90 and mirrored": ((0, 1, 1, 0), lambda frame: np.swapaxes(frame, 0, 1)),
        "270 and mirrored": ((0, -1, -1, 0), lambda frame: np.rot90(frame, 2).swapaxes(0, 1)),
    }
)
"""The four numbers of a display matrix that turn, and what they do to a frame (H, W, C)."""


def narrow(levels: Levels) -> NDArray[np.uint8]:
    """16 bits as 8, by their definition."""
    return np.floor(levels.astype(np.float64) / 257 + 0.5).astype(np.uint8)


def png16(levels: Levels) -> bytes:
    """A PNG of 16 bits of (H, W, C) levels: grey, grey and alpha, RGB or RGBA."""
    height, width, channels = levels.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def read_image_of(folder: Path, data: bytes, suffix: str) -> NDArray[np.uint8]:
    """The one frame of a folder that holds ``data`` as its only image."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (folder / f"00001.{suffix}").write_bytes(data)
    with open_clip(folder, "frames", "{:05d}." + suffix) as clip:
        return clip.read([0])[0]


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """``image`` as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned_film(path: Path, numbers: tuple[int, int, int, int], seed: int) -> Path:
    """A film of noise in blocks, 96 x 64, with a display matrix."""
    rng = np.random.default_rng(seed)
    a, b, c, d = (ONE * number for number in numbers)
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=25, options={"g": "4", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        for _ in range(9):
            pixels = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode())
    return path


def _check_turn(name: str) -> Check:
    numbers, truth = TURNS[name]

    def check(folder: Path, seed: int) -> str:
        path = turned_film(folder.with_suffix(".mp4"), numbers, seed)
        with av.open(str(path)) as container:
            stored = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        with open_clip(path, "video") as clip:
            turned, notes = clip.read(range(clip.num_frames)), clip.notes
        with open_clip(path, "video", decoding=DecodeSettings(turn=False)) as clip:
            plain = clip.read(range(clip.num_frames))
        if not all(np.array_equal(one, truth(two)) for one, two in zip(turned, stored, strict=True)):
            return "not turned as it should be"
        if not all(np.array_equal(one, two) for one, two in zip(plain, stored, strict=True)):
            return "turned although data.turn is false"
        return "" if notes == {"turned"} else "not counted as turned"

    return check


def _check_wide(channels: int) -> Check:
    def check(folder: Path, seed: int) -> str:
        rng = np.random.default_rng(seed)
        levels = rng.integers(0, 65536, (67, 45, channels))
        truth = narrow(levels)
        truth = truth[..., :3] if channels > 2 else truth[..., :1].repeat(3, -1)
        return "" if np.array_equal(read_image_of(folder, png16(levels), "png"), truth) else "other levels"

    return check


def _check_tiff(mode: str, kind: str, **options: Any) -> Check:
    def check(folder: Path, seed: int) -> str:
        levels = np.random.default_rng(seed).integers(0, 65536, (67, 45))
        dtype = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
        image = Image.frombytes(mode, (45, 67), levels.astype(dtype).tobytes())
        found = read_image_of(folder, saved(image, kind, **options), kind.lower())
        return "" if np.array_equal(found, narrow(levels)[..., None].repeat(3, -1)) else "other levels"

    return check


def _check_float(folder: Path, seed: int) -> str:
    levels = np.random.default_rng(seed).random((9, 9)).astype(np.float32)
    try:
        read_image_of(folder, saved(Image.fromarray(levels), "TIFF"), "tiff")
    except BrokenClip as error:
        return "" if "floating-point" in error.reason else error.reason
    return "read"


def _check_kind(mode: str, kind: str) -> Check:
    def check(folder: Path, seed: int) -> str:
        pixels = np.random.default_rng(seed).integers(0, 256, (33, 41, 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
        image = image.quantize(16) if mode in ("P", "PA") else image
        data = saved(image.convert(mode), kind, **({"lossless": True} if kind == "WEBP" else {}))
        with Image.open(io.BytesIO(data)) as again:
            truth = np.asarray(again.convert("RGB"))
        return "" if np.array_equal(read_image_of(folder, data, kind.lower()), truth) else "other pixels"

    return check


KINDS = (
    *(("1", kind) for kind in ("PNG", "TIFF", "BMP", "PPM", "JPEG", "WEBP")),
    *(("L", kind) for kind in ("PNG", "TIFF", "BMP", "PPM", "JPEG", "WEBP")),
    *(("P", kind) for kind in ("PNG", "TIFF", "BMP", "WEBP")),
    *(("LA", kind) for kind in ("PNG", "TIFF", "WEBP")),
    *(("RGB", kind) for kind in ("PNG", "TIFF", "BMP", "PPM", "JPEG", "WEBP")),
    *(("RGBA", kind) for kind in ("PNG", "TIFF", "BMP", "PPM", "WEBP")),
    *(("CMYK", kind) for kind in ("TIFF", "JPEG")),
    *(("YCbCr", kind) for kind in ("TIFF", "JPEG")),
    ("PA", "TIFF"),
)

PIXELS: Mapping[str, Check] = MappingProxyType(
    {
        **{f"film to be turned: {name}": _check_turn(name) for name in TURNS},
        **{
            f"png of 16 bits, {name}": _check_wide(channels)
            for channels, name in enumerate(("grey", "grey and alpha", "RGB", "RGBA"), 1)
        },
        **{f"{mode} in a tiff": _check_tiff(mode, "TIFF") for mode in ("I;16", "I;16B", "I")},
        "I;16 in a deflated tiff": _check_tiff("I;16", "TIFF", compression="tiff_adobe_deflate"),
        "I;16 in a ppm": _check_tiff("I;16", "PPM"),
        "floating-point levels": _check_float,
        **{f"{mode} in {kind}": _check_kind(mode, kind) for mode, kind in KINDS},
    }
)
