"""A file, opened by libav for its pictures or its sound: which containers, which stream, and what a damaged one lacks.

To know a stream, libav decodes its beginning, which takes as long as 12 frames do. It is asked not to where the
container says what is needed (``_TOLD``), and asked after all where that turns out to be too little.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.logging
from av.container import Container
from av.stream import Disposition
from av.video.frame import VideoFrame

from tinkit.data.decode import containers
from tinkit.data.decode.clip_reader import BrokenClip, ClipFacts, NoSound, NoVideo, describe, is_shortage

# Containers that hold their own pictures. Playlists and scripts, which name other files, and text art are refused.
_DEMUXERS = "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,gif,m4v,h264,hevc,ivf,mxf,nut,dv,rm"
# Those of sound alone are for those who listen.
_SOUND_DEMUXERS = f"{_DEMUXERS},wav,w64,aiff,mp3,aac,flac"
# Those of streams: with what cameras and screens are piped as.
_LIVE_DEMUXERS = f"{_DEMUXERS},yuv4mpegpipe,rtsp,live_flv"
_TIMEOUT = 60.0  # seconds libav may wait for the file system
# PyAV before 19 refuses some real files' text unless told otherwise; later ones replace undecodable text by themselves.
_OPTIONS: dict[str, Any] = {"metadata_errors": "replace"} if hasattr(Container, "metadata_errors") else {}

_TOLD = {
    "mov,mp4,m4a,3gp,3g2,mj2": frozenset(("h264", "hevc", "vp9", "libdav1d", "av1")),
    "matroska,webm": frozenset(("vp8", "vp9", "libdav1d", "av1")),
}
"""Containers and codecs of which no picture need be decoded to know sizes and times. H.264 in Matroska is not among
them: its packets have no decoding times until it is known by how many pictures it reorders."""
_NO_CODEC = "none"  # the only one that libav may use to look at a stream: there is none of this name
_PADDING = 65_536  # pixels: decoders look at sizes padded to whole blocks; exact ones are looked at by the reader

ERRORS: tuple[type[Exception], ...] = (av.error.FFmpegError, OSError, UnicodeDecodeError)
"""What libav and PyAV raise for damaged files."""


class VideoFile:
    """The first video stream of a file, whose frames may have ``max_pixels``.

    ``probed`` tells whether libav has decoded its beginning. ``missing`` says what a file that was cut off lacks; it is
    empty for one that is intact, or does not announce its size. Raises
    :class:`~tinkit.data.decode.clip_reader.BrokenClip` for what is not a video.
    """

    container: Any
    stream: Any
    probed: bool

    def __init__(self, path: Path, max_pixels: int, *, probe: bool = False) -> None:
        self.path, self._max_pixels = path, max_pixels
        self._head: containers.Head | None = None
        self.missing, self._whole = _look_at(path)
        self._open_or_say(probe=probe or bool(self.missing))

    @property
    def codec(self) -> Any:
        """The stream's decoder."""
        return self.stream.codec_context

    @property
    def container_name(self) -> str:
        """libav's name for the container."""
        return str(self.container.format.name)

    def reopen(self, *, probe: bool) -> None:
        """From the beginning again; with ``probe`` libav decodes the first pictures to know the stream."""
        self.container.close()
        self._open(probe=probe)

    def close(self) -> None:
        """Release the file."""
        self.container.close()
        if self._head is not None:
            self._head.close()

    def facts(self, keyframes: tuple[int, ...]) -> ClipFacts:
        """Frame rate, length, keyframes and sound, as the file announces them."""
        if not self.probed and not self.stream.average_rate:
            probed = VideoFile(self.path, self._max_pixels, probe=True)
            try:
                return probed.facts(keyframes)
            finally:
                probed.close()
        rate = self.stream.average_rate or self.stream.guessed_rate
        length, base = self.stream.duration, self.stream.time_base
        seconds = float(length * base) if length and base else (self.container.duration or 0) / 1e6
        return ClipFacts(float(rate or 0), max(0.0, seconds), keyframes, bool(self.container.streams.audio))

    def _open_or_say(self, *, probe: bool) -> None:
        """Open the file, or as much of it as is whole, or say what it is instead."""
        try:
            self._open(probe=probe)
        except ERRORS as error:
            if is_shortage(error):
                raise
            if self.missing and self._whole > 0 and self._head is None:
                self._head = containers.Head(self.path, self._whole)
                return self._open_or_say(probe=probe)
            if isinstance(error, OSError):
                raise BrokenClip(describe(error)) from error
            what = self.missing or f"{containers.what_else(self.path)}; read are {containers.READ}"
            raise BrokenClip(f"{what} ({describe(error)})") from error

    def _open(self, *, probe: bool) -> None:
        # without the prefix a name such as "concat:a|b" would be a protocol
        source = f"file:{self.path}" if self._head is None else self._head
        self.probed = probe
        if not probe:
            self.container = _container(source, codec_whitelist=_NO_CODEC)
            self.stream = _first_video(self.container)
            if not self._is_told():
                self.container.close()
                self.probed = True
        if self.probed:
            self.container = _container(source)
            self.stream = _first_video(self.container)
        codec = self.codec
        codec.thread_count = 1  # the loader's workers are the parallelism
        codec.thread_type = "SLICE"
        codec.options = _limits(self._max_pixels)

    def _is_told(self) -> bool:
        codec = self.codec
        return bool(codec.width and codec.height) and codec.name in _TOLD.get(self.container_name, ())


def _look_at(path: Path) -> tuple[str, int]:
    """What a truncated file lacks, in words, and how much of it is whole."""
    if not path.is_file():
        but = ", but a folder (data.media = 'frames' reads those of images)" if path.is_dir() else ""
        raise BrokenClip(f"no such file{but}")
    there, announced, whole = containers.measure(path)
    if there == 0:
        raise BrokenClip("the file is empty")
    return (f"truncated: {there:,} of {announced:,} bytes" if announced > there else ""), whole


def _container(
    source: str | containers.Head,
    demuxers: str = _DEMUXERS,
    form: str | None = None,
    timeout: float = _TIMEOUT,
    **options: str,
) -> Any:
    """The container that ``source`` is, of one of ``demuxers``, or of the format ``form`` where that is known."""
    av.logging.set_libav_level(av.logging.PANIC)  # faults are raised; libav would print them as well
    if not isinstance(source, str):
        source.seek(0)
    if form is None:
        options["format_whitelist"] = demuxers
    return av.open(source, format=form, container_options=options, timeout=timeout, **_OPTIONS)


def _limits(max_pixels: int) -> dict[str, str]:
    """The decoder's options for frames of ``max_pixels`` at most."""
    return {"max_pixels": str(2 * max_pixels + _PADDING)}


def _first_video(container: Any) -> Any:
    """Its first video stream; closes it where there is none."""
    videos = _videos(container)
    if not videos or videos[0].codec_context is None:
        container.close()
        raise BrokenClip("a video stream of an unknown codec") if videos else NoVideo("no video stream")
    return videos[0]


def open_video(source: str) -> tuple[Any, Any]:
    """The container and its first video stream, for those who look for something else than its pictures.

    Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip` where there is none, and what libav does.
    """
    container = _container(source)
    return container, _first_video(container)


def open_live(source: str, form: str | None, timeout: float, max_pixels: int) -> tuple[Any, Any]:
    """Container and first video stream of what may never end: a pipe, a file, or a camera of the format ``form``.

    Reading waits ``timeout`` seconds where libav can tell. Raises as :func:`open_video`.
    """
    # the rate is known from the container, or not at all: no frames are waited for to guess it
    container = _container(source, _LIVE_DEMUXERS, form, timeout, fpsprobesize="0")
    stream = _first_video(container)
    stream.codec_context.options = _limits(max_pixels)
    return container, stream


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
    container = _container(source, _SOUND_DEMUXERS)
    sounds, videos = container.streams.audio, _videos(container)
    if not sounds or sounds[0].codec_context is None:
        container.close()
        raise BrokenClip("a stream of sound of an unknown codec") if sounds else NoSound()
    sounds[0].codec_context.thread_count = 1
    return container, sounds[0], videos[0] if videos else None


def _videos(container: Any) -> list[Any]:
    """The video streams, cover pictures of music left out."""
    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
