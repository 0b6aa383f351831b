"""Where the sound of a clip lies on its file's clock: by the times of packets, without decoding any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinkit.data.decode.clip_reader import BrokenClip, NoSound
from tinkit.data.decode.containers import MAX_FRAMES
from tinkit.data.decode.numbering import number_by_time

_MAX_PACKETS = 4 * MAX_FRAMES  # of sound and pictures together


@dataclass(frozen=True)
class Extent:
    """Seconds on the file's clock; ``first`` is the time of the first packet of sound that the file has."""

    begin: float
    end: float
    first: float


@dataclass
class _Pictures:
    """What the packets of a video stream say: their times, which are keyframes, and which are shown."""

    times: list[int | None]
    keys: list[int]
    shown: list[bool]

    def add(self, packet: Any) -> None:
        if packet.is_keyframe:
            self.keys.append(len(self.times))
        self.times.append(packet.pts)
        self.shown.append(not packet.is_discard)


def sound_extent(container: Any, sound: Any, video: Any, start: int, frames: int | None) -> Extent:
    """Where there is sound in the window of ``frames`` frames of ``video`` from frame ``start`` on.

    Without a window (0, None) the pictures are not asked. Raises
    :class:`~tinkit.data.decode.clip_reader.NoSound` where there is none, and
    :class:`~tinkit.data.decode.clip_reader.BrokenClip` for a window that the file does not have.
    """
    windowed = start > 0 or frames is not None
    if windowed and video is None:
        raise BrokenClip("no video stream, by whose frames the clip is cut out of it")
    pictures = _Pictures([], [], [])
    first, end, count = float("inf"), float("-inf"), 0
    for packet in container.demux(*([sound, video] if windowed else [sound])):
        count += 1
        if count > _MAX_PACKETS:
            raise BrokenClip(f"more than {_MAX_PACKETS:,} packets")
        if packet.size == 0:
            continue
        if packet.stream is not sound:
            pictures.add(packet)
        elif (time := packet.pts if packet.pts is not None else packet.dts) is not None:
            first = min(first, float(time * sound.time_base))
            end = max(end, float((time + (packet.duration or 0)) * sound.time_base))
    if first >= end:
        raise NoSound(": a stream without a packet")
    if not windowed:
        return Extent(first, end, first)
    shown, gone = _window(pictures, video, start, frames)
    if max(first, shown) >= min(end, gone):
        raise NoSound(" in this part of the file")
    return Extent(max(first, shown), min(end, gone), first)


def _window(pictures: _Pictures, video: Any, start: int, frames: int | None) -> tuple[float, float]:
    """From when frame ``start`` is shown to when the last of ``frames`` has been."""
    if not pictures.keys:
        raise BrokenClip("no keyframe found" if pictures.times else "no frame found")
    rate = float(video.average_rate or video.guessed_rate or 0)
    visible = [time for time, show in zip(pictures.times, pictures.shown, strict=True) if show]
    numbering = number_by_time(pictures.times, pictures.keys, visible, None)
    if numbering is not None:
        times = [float(time * video.time_base) for time in numbering.rank if time is not None]
    elif rate > 0:
        times = [number / rate for number in range(len(visible))]
    else:
        raise BrokenClip("the times of its frames are not known")
    if start >= len(times):
        raise BrokenClip(f"{len(times)} frames found, the clip should start at frame {start}")
    last = len(times) if frames is None else min(len(times), start + frames)
    length = 1 / rate if rate > 0 else 0.0
    return times[start], times[last] if last < len(times) else times[-1] + length
