"""Video files: libav (PyAV) behind :class:`tinkit.data.reader.ClipReader`.

A clip's packets are read first, without decoding: they give the number of frames, the order in which they are shown
(by presentation time, so that B-frames and open groups of pictures count right) and the keyframes. Reading then
decodes from the nearest keyframe before a wanted frame, and only as far as the last one. Because packets were counted,
a jump is exact in every container: packets are passed over, never looked for by time.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.logging
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from tinkit.data.reader import MAX_PIXELS, BrokenClip, ClipReader, Frame, check_size, window

MAX_PACKETS = 1_000_000
"""More packets than this (11 hours at 25 frames a second) are refused: a tiny file can announce billions."""

KEPT_BYTES = 64 * 1024 * 1024
"""Packets of up to this many bytes are kept for decoding; those of a longer video are read from the file again."""

# Containers that hold their own pictures. Playlists and scripts, which name other files, and text art are no clips.
_DEMUXERS = "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,gif,m4v,h264,hevc,ivf,mxf,nut,dv,rm"
_TIMEOUT = 60.0  # seconds libav may wait for the file system
_HEAD = 4096  # bytes in which the outermost header of a container lies
_MAX_BOXES = 100_000
_BOXES = frozenset(b"ftyp styp pdin moov mdat moof mfra free skip wide sidx ssix prft emsg meta uuid udta".split())


class VideoReader(ClipReader):
    """The first video stream of a file. Rotation and pixel aspect noted in the file are not applied.

    Raises :class:`~tinkit.data.reader.BrokenClip` for a missing, empty or truncated file, one without a video stream,
    and frames of absurd size. ``kept_bytes`` is :data:`KEPT_BYTES` but in tests.
    """

    def __init__(self, path: Path, start: int = 0, frames: int | None = None, *, kept_bytes: int = KEPT_BYTES) -> None:
        if not path.is_file():
            raise BrokenClip("no such file")
        if path.stat().st_size == 0:
            raise BrokenClip("the file is empty")
        check_complete(path)
        self._path, self._start, self._kept_bytes = path, start, kept_bytes
        self._reformatter: Any = VideoReformatter()  # one for all frames: it keeps its tables
        self._packets: list[Any] | None = None
        self._source: Iterator[Any] | None = None
        self._read = 0  # packets taken from the source
        self._open()
        try:
            if self._codec.width:  # else the header does not say, and the frames will
                check_size(self._codec.width, self._codec.height)
            self._index_packets()
            self.num_frames = window(self._count, start, frames)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and drop its packets."""
        self._packets = None
        self._container.close()

    def _open(self) -> None:
        av.logging.set_libav_level(av.logging.PANIC)  # faults are raised; libav would print them as well
        self._container = av.open(
            f"file:{self._path}",  # without the prefix a name such as "concat:a|b" would be a protocol
            metadata_errors="replace",
            container_options={"format_whitelist": _DEMUXERS},
            timeout=_TIMEOUT,
        )
        videos = [s for s in self._container.streams.video if not s.disposition & Disposition.attached_pic]
        if not videos:
            self._container.close()
            raise BrokenClip("no video stream")
        self._stream = videos[0]
        self._codec: Any = self._stream.codec_context
        self._codec.thread_count = 1  # the loader's workers are the parallelism
        self._codec.thread_type = "SLICE"
        self._codec.options = {"max_pixels": str(MAX_PIXELS)}

    def _index_packets(self) -> None:
        """Read all packets: their presentation times, which are keyframes, and the packets while they are few."""
        times: list[int | None] = []
        keys: list[int] = []
        shown: list[bool] = []
        packets: list[Any] | None = []
        total = 0
        for packet in self._coded_packets():
            if packet.is_keyframe:
                keys.append(len(times))
            times.append(packet.pts)
            shown.append(not packet.is_discard)
            total += packet.size
            if packets is not None:
                packets.append(packet)
            if total > self._kept_bytes:
                packets = None
            if len(times) > MAX_PACKETS:
                raise BrokenClip(f"more than {MAX_PACKETS:,} frames")
        if not keys:
            raise BrokenClip("no frame found" if not times else "no keyframe found")
        self._packets = packets
        self._number_frames(times, keys, shown)

    def _number_frames(self, times: list[int | None], keys: list[int], shown: list[bool]) -> None:
        """Number the frames by presentation time; where times are unknown, by decoding them all."""
        self._times = times
        self._starts, self._keys = [0], [keys[0]]
        self._rank: dict[int, int] | None = None
        first = times[keys[0]]
        visible = [time for time, show in zip(times, shown, strict=True) if show]
        known = sorted(time for time in visible if time is not None)
        if first is None or len(set(known)) < len(visible) or self._times_are_guessed(visible == known):
            self._count = sum(1 for _ in self._run(keys[0], None))
            return
        # A stream cut out of another may begin inside a group of pictures: what refers to frames before the first
        # keyframe cannot be decoded and is not shown.
        order = known[bisect_left(known, first) :]
        self._rank = {time: index for index, time in enumerate(order)}
        self._count = len(order)
        for key in keys[1:]:
            time = times[key]
            start = 0 if time is None else bisect_left(order, time)
            if start > self._starts[-1]:
                self._starts.append(start)
                self._keys.append(key)

    def _times_are_guessed(self, ascending: bool) -> bool:
        """AVI holds no presentation times. libav makes them up, wrongly where it should have reordered and did not."""
        return ascending and self._container.format.name == "avi" and self._codec.has_b_frames

    def _decode(self, wanted: list[int]) -> Iterator[tuple[int, Frame]]:
        wanted = [index + self._start for index in wanted]
        run: Iterator[tuple[int | None, VideoFrame]] = iter(())
        self._fed = -1
        for index in wanted:
            key = self._keys[bisect_right(self._starts, index) - 1]
            if key > self._fed:
                run = self._run(key, wanted)
            frame = _find(run, index)
            if frame is None:  # not every keyframe is one; from the beginning, then, and with nothing left out
                run = self._run(self._keys[0], None)
                frame = _find(run, index)
            if frame is None:
                raise BrokenClip(f"frame {index} of {self._count} cannot be decoded")
            check_size(frame.width, frame.height)
            rgb = self._reformatter.reformat(frame, format="rgb24", threads=1)
            yield index - self._start, rgb.to_ndarray()

    def _run(self, key: int, wanted: list[int] | None) -> Iterator[tuple[int | None, VideoFrame]]:
        """Decode from packet ``key`` on: ``(number, frame)``; the number is None for a frame that is not counted.

        With ``wanted``, frames that neither it nor another frame needs may be left out.
        """
        rank, needed = self._rank, set(wanted or ())
        count = 0
        self._fed = key
        self._codec.flush_buffers()
        for packet in self._packets_from(key):
            time = self._times[self._fed]
            self._fed += 1
            skip = rank is not None and wanted is not None and time is not None and rank.get(time) not in needed
            self._codec.skip_frame = "NONREF" if skip else "DEFAULT"
            for frame in self._codec.decode(packet):
                yield (count if rank is None else rank.get(frame.pts)), frame
                count += 1
        for frame in self._codec.decode(None):
            yield (count if rank is None else rank.get(frame.pts)), frame
            count += 1

    def _packets_from(self, number: int) -> Iterator[Any]:
        """The packets from ``number`` on, out of memory or, passing over those before, out of the file."""
        if self._packets is not None:
            return islice(self._packets, number, None)
        if self._source is None or self._read > number:
            self._container.close()
            self._open()
            self._source, self._read = self._coded_packets(), 0
        for _ in islice(self._source, number - self._read):
            pass
        return self._source

    def _coded_packets(self) -> Iterator[Any]:
        """The stream's packets that hold something: libav takes an empty one for the end."""
        self._read = 0
        for packet in self._container.demux(self._stream):
            if packet.size:
                self._read += 1
                yield packet


def _find(run: Iterator[tuple[int | None, VideoFrame]], index: int) -> VideoFrame | None:
    """The frame numbered ``index``; None if it does not come, or is concealed damage."""
    for number, frame in run:
        if number is not None and number >= index:
            return frame if number == index and not frame.is_corrupt else None
    return None


def check_complete(path: Path) -> None:
    """Raise :class:`~tinkit.data.reader.BrokenClip` if the container announces more bytes than the file has.

    Knows the outermost sizes of mp4 / mov boxes, RIFF (avi) and EBML (webm, mkv); any other file passes.
    """
    there = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if head[4:8] in _BOXES:
            announced = _boxes_end(file, there)
        elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            announced = 8 + int.from_bytes(head[4:8], "little")
        elif head[:4] == b"\x1aE\xdf\xa3":
            announced = _segment_end(head)
        else:
            return
    if announced > there:
        raise BrokenClip(f"truncated: {there:,} of {announced:,} bytes")


def _boxes_end(file: BinaryIO, there: int) -> int:
    """Where the last top-level box of an mp4 ends: boxes are size, type, content."""
    position = 0
    for _ in range(_MAX_BOXES):
        if position >= there:
            return position
        file.seek(position)
        header = file.read(16)
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if header[4:8] not in _BOXES or size < 8:  # something else was appended; or 0, "to the end of the file"
            return there
        position += size
    return there


def _segment_end(head: bytes) -> int:
    """Where the first segment of a Matroska file ends; 0 where it does not say (streams)."""
    size, position = _element_size(head, 4)
    position += size
    if head[position : position + 4] != b"\x18S\x80g":
        return 0
    size, position = _element_size(head, position + 4)
    return position + size


def _element_size(head: bytes, position: int) -> tuple[int, int]:
    """An EBML size (a number whose leading zero bits count its bytes) and the position behind it; unknown is 0."""
    if position >= len(head) or head[position] == 0:
        return 0, position
    length = 9 - head[position].bit_length()
    value = int.from_bytes(head[position : position + length], "big") & ((1 << 7 * length) - 1)
    return (0 if value == (1 << 7 * length) - 1 else value), position + length
