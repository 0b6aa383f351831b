"""A file, opened by libav for its pictures or its sound: which containers, which stream, on how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import av.logging
from av.container import Container
from av.stream import Disposition
from av.video.frame import VideoFrame

from tinkit.data.decode.clip_reader import BrokenClip, NoSound, NoVideo
from tinkit.data.decode.containers import Head

# Containers that hold their own pictures. Playlists and scripts, which name other files, and text art are refused.
_DEMUXERS = "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,gif,m4v,h264,hevc,ivf,mxf,nut,dv,rm"
# Those of sound alone are for those who listen.
_SOUND_DEMUXERS = f"{_DEMUXERS},wav,w64,aiff,mp3,aac,flac"
_TIMEOUT = 60.0  # seconds libav may wait for the file system
# PyAV before 19 refuses some real files' text unless told otherwise; later ones replace undecodable text by themselves.
_OPTIONS: dict[str, Any] = {"metadata_errors": "replace"} if hasattr(Container, "metadata_errors") else {}


def open_video(source: str | Head, max_pixels: int) -> tuple[Any, Any]:
    """The container and its first video stream, whose frames may have ``max_pixels``.

    Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip` where there is none, and what libav does.
    """
    container = _open(source, _DEMUXERS)
    videos = _videos(container)
    if not videos or videos[0].codec_context is None:
        container.close()
        raise BrokenClip("a video stream of an unknown codec") if videos else NoVideo("no video stream")
    codec = videos[0].codec_context
    codec.thread_count = 1  # the loader's workers are the parallelism
    codec.thread_type = "SLICE"
    codec.options = {"max_pixels": str(max_pixels)}
    return container, videos[0]


def frame_numbered(run: Iterator[tuple[int | None, VideoFrame]], index: int) -> VideoFrame | None:
    """The frame numbered ``index``; None if it does not come, or is concealed damage."""
    for number, frame in run:
        if number is not None and number >= index:
            return frame if number == index and not frame.is_corrupt else None
    return None


def open_sound(source: str) -> tuple[Any, Any, Any]:
    """The container, its first stream of sound, and its first video stream or None.

    Raises :class:`~tinkit.data.decode.clip_reader.NoSound` where there is no sound,
    :class:`~tinkit.data.decode.clip_reader.BrokenClip` for sound of an unknown codec, and what libav does.
    """
    container = _open(source, _SOUND_DEMUXERS)
    sounds, videos = container.streams.audio, _videos(container)
    if not sounds or sounds[0].codec_context is None:
        container.close()
        raise BrokenClip("a stream of sound of an unknown codec") if sounds else NoSound()
    sounds[0].codec_context.thread_count = 1
    return container, sounds[0], videos[0] if videos else None


def _open(source: str | Head, demuxers: str) -> Any:
    av.logging.set_libav_level(av.logging.PANIC)  # faults are raised; libav would print them as well
    return av.open(source, container_options={"format_whitelist": demuxers}, timeout=_TIMEOUT, **_OPTIONS)


def _videos(container: Any) -> list[Any]:
    """The video streams, cover pictures of music left out."""
    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
