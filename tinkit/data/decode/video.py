"""Video files: libav (PyAV) behind :class:`tinkit.data.decode.clip_reader.ClipReader`.

A clip's packets are read first, without decoding: they give the number of frames, the order in which they are shown
(by presentation time, so that B-frames and open groups of pictures count right) and the keyframes. Reading then
decodes from the nearest keyframe before a wanted frame, and only as far as the last one. Because packets were counted,
a jump is exact in every container: packets are passed over, never looked for by time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from tinkit.data.decode import containers, jpeg
from tinkit.data.decode.clip_index import ClipIndex, EvenTimes, even_times
from tinkit.data.decode.clip_reader import (
    BrokenClip,
    Choice,
    ClipFacts,
    ClipReader,
    Frame,
    NoFrames,
    broken_on,
    cut_out,
)
from tinkit.data.decode.libav import ERRORS, VideoFile, frame_numbered
from tinkit.data.decode.numbering import Needed, number_by_time
from tinkit.data.decode.scaling import Scaler
from tinkit.data.decode.settings import DecodeSettings, Spending
from tinkit.data.decode.turning import Turner

KEPT_BYTES = 64 * 1024 * 1024
"""Packets of up to this many bytes are kept for decoding; those of a longer video are read from the file again."""

_PACKET_BYTES = 1024  # of memory that a packet takes besides its data
_PACKETS_A_LOOK = 4096  # packets counted from one look at the clock to the next
_HELD_FRAMES = {"gif": 8.0}  # frames that a decoder holds while it makes one; of the others, 3 or few more
_RGB_BYTES = 6  # a pixel, converted and copied


class VideoReader(ClipReader):
    """The first video stream of a file, turned as it says, at its first frame's size; pixel aspect is not applied.

    Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip` for a missing or empty file, one without a video
    stream, and what is beyond the limits of ``decoding``. ``kept_bytes`` is :data:`KEPT_BYTES` but in tests.
    """

    errors = ERRORS

    def __init__(
        self,
        path: Path,
        start: int = 0,
        frames: int | None = None,
        decoding: DecodeSettings = DecodeSettings(),
        *,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._path, self._start, self._kept_bytes, self._decoding = path, start, kept_bytes, decoding
        self.notes = set()
        self._spending = Spending(decoding)
        self._reformatter: Any = VideoReformatter()  # one for all frames: it keeps its tables
        self._packets: list[Any] | None = None
        self._source: Iterator[Any] | None = None
        self._read = 0  # packets taken from the source
        self._only: int | None = None  # the keyframe's packet, where no frame but of its group is decoded
        self._rank: dict[int | None, int] | EvenTimes | None = None
        self._first_size: tuple[int, int] | None = None
        self._turned = Turner(self.notes, turn=decoding.turn)
        with broken_on(self.errors):
            self._file = VideoFile(path, decoding.max_pixels)
            if self._file.missing:
                self.notes.add("cut off")
            try:
                self._stored_size = self._check_size()
                self._index_packets()
                self.take_window(self._count, start, frames)
            except BaseException:  # whatever it is, it is raised again
                self.close()
                raise

    def close(self) -> None:
        """Close the file and drop its packets."""
        self._packets = None
        self._file.close()

    def facts(self) -> ClipFacts:
        """Frame rate, length, keyframes and sound, as the file announces them."""
        return self._file.facts(tuple(self._starts))

    def index(self) -> ClipIndex | None:
        """Where the frames are; None for a file that was cut off, or does not say when frames are shown."""
        if not isinstance(self._rank, dict) or self._file.missing:
            return None
        times = even_times(list(self._rank), self._times)
        return ClipIndex(self._found, times=times, keyframes=tuple(self._starts), packets=tuple(self._keys))

    def _check_size(self) -> tuple[int, int]:
        """Width and height as the header has them, 0 where it does not say, and the frames will."""
        width, height = self._file.codec.width, self._file.codec.height
        if not width:
            width, height = containers.announced_size(self._path) or (0, 0)
        if width:
            self._decoding.check_pixels(width, height)
            pixel = self._file.codec.format.padded_bits_per_pixel / 8 if self._file.codec.format else 2
            held = _HELD_FRAMES.get(self._file.codec.name, 3.0)
            self._decoding.check_memory(width, height, held * pixel + _RGB_BYTES)
        return width, height

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
            total += packet.size + _PACKET_BYTES
            if packets is not None:
                packets.append(packet)
            if total > self._kept_bytes:
                packets = None
            if len(times) > containers.MAX_FRAMES:
                raise BrokenClip(f"more than {containers.MAX_FRAMES:,} frames")
            if len(times) % _PACKETS_A_LOOK == 0:
                self._spending.end()
        if not keys:
            raise BrokenClip("no keyframe found") if times else NoFrames("no frame found")
        self._last_dts = packet.dts
        self._packets = packets
        self._number_frames(times, keys, shown)

    def _number_frames(self, times: list[int | None], keys: list[int], shown: list[bool]) -> None:
        """Number the frames by presentation time; where times are unknown, by decoding them all."""
        self._times = times
        missing = max(0, self._file.stream.frames - len(times)) if self._file.missing else 0
        visible = [time for time, show in zip(times, shown, strict=True) if show]
        numbering = None
        if not self._times_are_guessed(visible):
            numbering = number_by_time(times, keys, visible, self._last_dts if missing else None)
        if not self._file.probed and (numbering is None or self._is_reordered(visible)):
            self._probe()
        elif numbering is None:
            self._rank, self._starts, self._keys = None, [0], [keys[0]]
            self._found = sum(1 for _ in self._run(keys[0], None))
            self._spending.end()
            self._count = self._found + missing
        else:
            self._rank, self._starts, self._keys = numbering.rank, numbering.starts, numbering.keys
            self._found, self._count = len(numbering.rank), numbering.shown + missing

    def _is_reordered(self, visible: list[int | None]) -> bool:
        """Whether an H.264 decoder has to hold frames back, and the container does not say so."""
        codec = self._file.codec
        return (
            codec.name == "h264" and not codec.has_b_frames and visible != sorted(t for t in visible if t is not None)
        )

    def _probe(self) -> None:
        """Begin again, with a decoder that is told what libav finds out when it decodes the first frames."""
        self._file.reopen(probe=True)
        self._source, self._read = None, 0
        self._stored_size = self._check_size()
        self._index_packets()

    def _times_are_guessed(self, visible: list[int | None]) -> bool:
        """AVI holds no presentation times. libav makes them up, wrongly where it should have reordered and did not."""
        if self._file.container_name != "avi" or not self._file.codec.has_b_frames:
            return False
        return visible == sorted(time for time in visible if time is not None)

    def _decode(self, wanted: list[int]) -> Iterator[tuple[int, Frame]]:
        for index, pixels in self._shown(wanted):
            yield index, np.ascontiguousarray(pixels.pop())

    def _decode_parts(self, wanted: list[int], choose: Choice) -> Iterator[tuple[int, Frame]]:
        for index, pixels in self._shown(wanted):
            yield index, cut_out(pixels[0], choose(pixels[0].shape[1], pixels.pop().shape[0]))

    def _shown(self, wanted: list[int]) -> Iterator[tuple[int, list[Frame]]]:
        """The frames of ``wanted``, each in a list to be taken out of: one is in memory. Rows may lie apart."""
        wanted = [index + self._start for index in wanted]
        run: Iterator[tuple[int | None, VideoFrame]] = iter(())
        self._fed, self._only = -1, None
        for index in wanted:
            if index >= self._found:
                raise BrokenClip(f"{self._file.missing}; frame {index} of {self._count} is missing")
            self._spending.begin()
            key = self._keys[bisect_right(self._starts, index) - 1]
            if key > self._fed or self._only not in (None, key):
                run = self._run(key, wanted)
            frame = frame_numbered(run, index)
            if frame is None:  # not every keyframe is one; from the beginning, then, and with nothing left out
                run = self._run(self._keys[0], None)
                frame = frame_numbered(run, index)
            if frame is None and not self._file.probed:
                self._probe()
                run = self._run(self._keys[0], None)
                frame = frame_numbered(run, index)
            if frame is None:
                raise BrokenClip(f"frame {index} of {self._count} cannot be decoded")
            pixels = [self._pixels(frame)]
            del frame
            self._spending.end()
            yield index - self._start, pixels

    def _pixels(self, frame: VideoFrame) -> Frame:
        """A frame as RGB, in the size of the first and turned."""
        size = frame.width, frame.height
        self._decoding.check_pixels(*size)
        if size != (self._first_size or self._stored_size) and size != self._size_of_first():
            self.notes.add("scaled to the first size")
            rgb: Any = self._scaler(frame)
        else:
            rgb = self._reformatter.reformat(frame, format="rgb24", threads=1)
        plane = rgb.planes[0]
        pixels: Frame = np.ndarray((rgb.height, rgb.width, 3), np.uint8, plane, strides=(plane.line_size, 3, 1))
        return self._turned(pixels, frame)

    def _size_of_first(self) -> tuple[int, int]:
        """Width and height of the first frame, which need not be those that the header has."""
        if self._first_size is None:
            with VideoReader(self._path, decoding=self._decoding, kept_bytes=0) as other:
                first = next(other._run(other._keys[0], None))[1]
                self._first_size = first.width, first.height
            self._decoding.check_pixels(*self._first_size)
            self._scaler = Scaler(*self._first_size)
        return self._first_size

    def _run(self, key: int, wanted: list[int] | None) -> Iterator[tuple[int | None, VideoFrame]]:
        """Decode from packet ``key`` on: ``(number, frame)``; the number is None for a frame that is not counted.

        With ``wanted``, only those of it come that are before the next keyframe; what they do not need may be left out,
        and nothing is fed behind them: a decoder that is told that it ends holds no frame back.
        """
        needed = self._needed(key, wanted)
        codec, spend, scans = self._file.codec, self._spending.add, self._file.codec.name == "mjpeg"
        rank, count, skips = self._rank, 0, None
        self._fed, self._only = key, None if needed is None else key
        codec.flush_buffers()
        for packet in self._packets_from(key):
            self._fed += 1
            if skips != (skips := needed is not None and needed.skips(packet.pts)):
                codec.skip_frame = "NONREF" if skips else "DEFAULT"
            if scans:
                jpeg.check_cost(bytes(packet), codec.width, codec.height, self._decoding)
            for frame in codec.decode(packet):
                yield (count if rank is None else rank.get(frame.pts)), frame
                count += 1
            spend(codec.width * codec.height)
            if needed is not None and not needed.left:
                break
        for frame in codec.decode(None):
            yield (count if rank is None else rank.get(frame.pts)), frame
            count += 1

    def _needed(self, key: int, wanted: list[int] | None) -> Needed | None:
        """What is to be decoded from packet ``key`` on of ``wanted``; None for all there is."""
        if self._rank is None or wanted is None:
            return None
        at = bisect_right(self._keys, key)
        end = self._starts[at] if at < len(self._starts) else None
        return Needed(self._rank, wanted, self._starts[at - 1], end)

    def _packets_from(self, number: int) -> Iterator[Any]:
        """The packets from ``number`` on, out of memory or, passing over those before, out of the file."""
        if self._packets is not None:
            return islice(self._packets, number, None)
        if self._source is None or self._read > number:
            self._file.reopen(probe=self._file.probed)
            self._source, self._read = self._coded_packets(), 0
        for _ in islice(self._source, number - self._read):
            pass
        return self._source

    def _coded_packets(self) -> Iterator[Any]:
        """The stream's packets that hold something: libav takes an empty one for the end.

        Of a file that was cut off the last one, of which there is a part, is left out.
        """
        self._read = 0
        try:
            for packet in self._file.container.demux(self._file.stream):
                if packet.size and not (self._file.missing and packet.is_corrupt):
                    self._read += 1
                    yield packet
        except IndexError:  # PyAV's own: behind the last packet it looks up streams that appeared on the way
            pass
