"""A video whose frames were counted before: packets are read only where frames are wanted.

A jump looks for a keyframe by time, and what it finds is asked for its own time: only a keyframe that the index knows,
at or before the wanted one, is decoded from. Where the container leads elsewhere the whole file is read, as without an
index.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import av

from tinkit.data.decode.clip_index import ClipIndex, EvenTimes
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.decode.video import VideoReader

_NEAR = 64  # packets that are passed over rather than jumped over
_WITH_JUMPS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")  # containers that know where their keyframes are


class IndexedVideo(VideoReader):
    """As :class:`~tinkit.data.decode.video.VideoReader`, of a file that ``index`` was made of and that is unchanged."""

    def __init__(
        self,
        path: Path,
        index: ClipIndex,
        start: int = 0,
        frames: int | None = None,
        decoding: DecodeSettings = DecodeSettings(),
    ) -> None:
        self._index, self._jumps = index, False
        super().__init__(path, start, frames, decoding)

    def _index_packets(self) -> None:
        times = self._index.times
        if times is None or self._file.missing or self._file.container_name not in _WITH_JUMPS:
            super()._index_packets()
            return
        if self._file.codec.name == "h264" and not self._file.codec.has_b_frames and not self._file.probed:
            self._file.reopen(probe=True)  # whether frames are reordered is not known
            self._stored_size = self._check_size()
        self._jumps = True
        self._rank = EvenTimes(self._index.frames, *times)
        self._starts, self._keys = list(self._index.keyframes), list(self._index.packets)
        self._found = self._count = self._index.frames

    def _packets_from(self, number: int) -> Iterator[Any]:
        if self._jumps and not 0 <= number - self._read <= _NEAR:
            self._source = self._after_jump(number)
            if self._source is None:
                self._read_all()
        if not self._jumps:
            return super()._packets_from(number)
        if self._source is None:
            self._source = self._coded_packets()
        for _ in islice(self._source, number - self._read):
            pass
        return self._source

    def _after_jump(self, number: int) -> Iterator[Any] | None:
        """The packets from a keyframe at or before ``number`` on; None where the container does not lead to one."""
        wanted = self._keys.index(number)
        assert isinstance(self._rank, EvenTimes)
        try:
            self._file.container.seek(self._rank.time(self._starts[wanted]), stream=self._file.stream)
            source = self._coded_packets()
            packet = next(source, None)
        except av.error.FFmpegError:
            return None
        if packet is None or not packet.is_keyframe:
            return None
        frame = self._rank.get(packet.pts)
        at = bisect_left(self._starts, -1 if frame is None else frame)
        if at > wanted or self._starts[at] != frame:
            return None
        self._read = self._keys[at]
        return self._again(packet, source)

    def _again(self, packet: Any, rest: Iterator[Any]) -> Iterator[Any]:
        """A packet that has been looked at, and those behind it."""
        self._read += 1
        yield packet
        yield from rest

    def _read_all(self) -> None:
        """Count the packets after all."""
        self._jumps = False
        self._file.reopen(probe=self._file.probed)
        super()._index_packets()
        if self._count != self._index.frames:
            raise BrokenClip("the file has changed since it was probed; run tinkit data prepare again")
