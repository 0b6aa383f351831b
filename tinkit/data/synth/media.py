"""Frames to files, as the official sets pack them: mp4, webm, or a folder of jpg images."""

from __future__ import annotations

import secrets
import shutil
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np

from tinkit.files.atomic import atomic_path

FRAMES_PER_SECOND = 12


def write_mp4(path: Path, frames: np.ndarray) -> None:
    """Write (F, H, W, 3) uint8 RGB, H and W even, as mp4: H.264 where that encoder exists, else MPEG-4 part 2."""
    import av

    if "libx264" in av.codecs_available:
        _encode(path, frames, "libx264", {"preset": "ultrafast", "crf": "20"}, None)
    else:
        _encode(path, frames, "mpeg4", {}, 2_000_000)


def write_webm(path: Path, frames: np.ndarray) -> None:
    """Write (F, H, W, 3) uint8 RGB, H and W even, as webm with VP9."""
    _encode(path, frames, "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "24"}, 0)


def write_jpg_folder(path: Path, frames: np.ndarray) -> None:
    """Write (F, H, W, 3) uint8 RGB as ``path/00001.jpg`` and so on. The folder appears when it is whole."""
    import simplejpeg

    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir(parents=True)
    try:
        for number, frame in enumerate(frames, 1):
            data = simplejpeg.encode_jpeg(np.ascontiguousarray(frame), quality=90, colorspace="RGB")
            (temporary / f"{number:05d}.jpg").write_bytes(data)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _encode(path: Path, frames: np.ndarray, codec: str, options: dict[str, str], bit_rate: int | None) -> None:
    import av
    from av.video.stream import VideoStream

    with atomic_path(path) as temporary, av.open(str(temporary), "w", options={"fflags": "+bitexact"}) as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=Fraction(FRAMES_PER_SECOND), options=options))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # one clip a process; and the same bytes on any machine
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
