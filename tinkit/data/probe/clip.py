"""What one clip's file, or folder of images, is: opened, counted, and its first frame decoded."""

from __future__ import annotations

import os
import socket
import stat
import time as clock
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal, get_args

from tinkit.data.decode.clip_index import ClipIndex
from tinkit.data.decode.clip_reader import BrokenClip, NoFrames, NoVideo
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.layouts.layout import Media
from tinkit.errors import UserError

Status = Literal["good", "missing", "empty", "no video", "no frames", "unreadable"]
STATUSES: tuple[Status, ...] = get_args(Status)

_TICK, _COARSE = 20_000_000, 2_000_000_000  # nanoseconds from one time of a file system to the next, at most
_USUAL = DecodeSettings()
_PIECE = 1 << 16  # bytes looked at, at the beginning, in the middle and at the end of a file


@dataclass(frozen=True)
class ClipProbe:
    """A clip as it lies on disk. ``reason`` says why it is not good.

    ``size`` bytes and ``changed`` (nanoseconds) tell whether the file is still the one that was probed; ``digest``
    (hexadecimal) is equal for files of equal size whose beginning, middle and end are equal, empty for folders.
    ``frames`` are counted, not announced; ``rate`` frames a second and ``seconds`` are 0 where unknown; ``keyframes``
    are the numbers of the frames that can be decoded without others, empty for images. ``first``, ``times`` and
    ``packets`` are those of its :class:`~tinkit.data.decode.clip_index.ClipIndex`.

    ``changed`` is 0 for a file that had just been written: another change might have left the same time.
    """

    path: str
    status: Status
    reason: str = ""
    size: int = 0
    changed: int = 0
    digest: str = ""
    frames: int = 0
    width: int = 0
    height: int = 0
    rate: float = 0.0
    seconds: float = 0.0
    keyframes: tuple[int, ...] = ()
    first: int = 0
    times: tuple[int, ...] = ()
    packets: tuple[int, ...] = ()
    sound: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class HowToProbe:
    """Where the clips of a manifest lie, and how they are read."""

    root: str
    media: Media
    frame_template: str
    decoding: DecodeSettings = _USUAL


def probe_clips(how: HowToProbe, paths: tuple[str, ...]) -> list[ClipProbe]:
    """Probe several clips, one after the other: what is sent to another process at a time.

    Raises :class:`~tinkit.errors.UserError` on a machine that does not see the data set: its clips are not missing.
    """
    require_folder(Path(how.root))
    return [probe_clip(how, path) for path in paths]


def require_folder(root: Path) -> None:
    """Raise :class:`~tinkit.errors.UserError` where the data set's folder is not on this machine."""
    if not root.is_dir():
        raise UserError(
            f"{root} is not there on {socket.gethostname()}, which was to open clips",
            fix="mount the data set's folder at the same place on every machine",
        )


def probe_clip(how: HowToProbe, path: str) -> ClipProbe:
    """Probe one clip. Whatever is wrong with it is its status; a machine without memory or descriptors raises."""
    place = Path(how.root, path)
    size, changed = state_of(place)
    changed = 0 if _just_changed(changed) else changed
    if size < 0:
        return ClipProbe(path, "missing", "no such file or folder")
    if size == 0 and how.media == "video":
        return ClipProbe(path, "empty", "the file is empty", size, changed)
    digest = digest_of(place, size) if how.media == "video" else ""
    try:
        with open_clip(place, how.media, how.frame_template, decoding=how.decoding) as clip:
            if clip.num_frames < 1:
                return ClipProbe(path, "no frames", "no frame found", size, changed, digest)
            first = clip.read([0])[0]
            facts, index = clip.facts(), clip.index() or ClipIndex(clip.num_frames)
            return ClipProbe(
                path=path,
                status="good",
                size=size,
                changed=changed,
                digest=digest,
                frames=clip.num_frames,
                width=first.shape[1],
                height=first.shape[0],
                rate=facts.rate,
                seconds=facts.seconds,
                keyframes=facts.keyframes,
                first=index.first,
                times=index.times or (),
                packets=index.packets,
                sound=facts.sound,
                notes=tuple(sorted(clip.notes)),
            )
    except BrokenClip as error:
        return ClipProbe(path, _status(error), error.reason, size, changed, digest)


def crashed(path: str) -> ClipProbe:
    """What is said of a clip that ended every process which opened it."""
    return ClipProbe(path, "unreadable", "its reader crashed")


def state_of(place: Path) -> tuple[int, int]:
    """Bytes and time of the last change (nanoseconds) of a file or folder; (-1, 0) where there is none."""
    try:
        status = os.stat(place)  # noqa: PTH116 - a million Path.stat take longer
    except OSError:
        return -1, 0
    return (0 if stat.S_ISDIR(status.st_mode) else status.st_size), status.st_mtime_ns


def _just_changed(time: int) -> bool:
    """Whether a file changed so lately that its next change may have the same time (nanoseconds), by the system's tick.

    Some file systems tell whole seconds, or every second one.
    """
    tick = _COARSE if time % 1_000_000_000 == 0 else _TICK
    return abs(clock.time_ns() - time) < tick


def _status(error: BrokenClip) -> Status:
    match error:
        case NoVideo():
            return "no video"
        case NoFrames():
            return "no frames"
        case _:
            return "unreadable"


def digest_of(place: Path, size: int) -> str:
    """A hash of a file of ``size`` bytes, in hexadecimal digits; empty where it cannot be read.

    Of the size, and of all of a small file or of three pieces of a large one.
    """
    digest = blake2b(str(size).encode(), digest_size=16)
    try:
        with place.open("rb") as file:
            if size <= 3 * _PIECE:
                digest.update(file.read(3 * _PIECE))
            else:
                for start in (0, size // 2, size - _PIECE):
                    file.seek(start)
                    digest.update(file.read(_PIECE))
    except OSError:
        return ""
    return digest.hexdigest()
