"""Whether the clips of a manifest are on disk: every file is asked for, and a frame of one clip is decoded."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.manifest.frames import open_frames
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.packed.frames import PackedFrames
from tinkit.data.paths.clip_path import clip_place
from tinkit.data.paths.missing import why_missing
from tinkit.errors import UserError

_TRIED = 8  # clips, of which one must be decodable
_SHARE, _BORNE = 0.01, 5  # as train.max_broken is unless said otherwise: missing clips that training tolerates
_MOST = 0.1  # of a small split five clips may be most: not more than this share
_STEP = 1000


@dataclass(frozen=True)
class Presence:
    """How many files, or folders of images, of a split are ``missing`` and ``empty``; ``first`` is such a path."""

    files: int
    missing: int
    empty: int
    first: str | None

    @property
    def lacking(self) -> int:
        """Those that cannot be read."""
        return self.missing + self.empty


def count_present(manifest: Manifest, on_files: Callable[[int], None] | None = None) -> Presence:
    """Look at the file of every clip, without opening it; ``on_files(n)`` is called with n more.

    A clip of the other kind (a file where a folder of images should be) counts as missing.
    """
    if manifest.packed is not None:
        return _count_packed(manifest, manifest.packed)
    paths = manifest.paths
    root, folders = str(manifest.root), manifest.media == "frames"
    counts, first = {"missing": 0, "empty": 0}, None
    for number, path in enumerate(paths, 1):
        state = _state(clip_place(root, path), folder=folders)
        if state is not None:
            counts[state] += 1
            first = first or path
        if on_files is not None and number % _STEP == 0:
            on_files(_STEP)
    return Presence(len(paths), counts["missing"], counts["empty"], first)


def _count_packed(manifest: Manifest, packed: PackedFrames) -> Presence:
    """As :func:`count_present`: clips that are in no shard are missing."""
    packed.require()
    ids = manifest.ids
    gone = [clip_id for clip_id in ids if not packed.contains(clip_id)]
    return Presence(len(ids), len(gone), 0, gone[0] if gone else None)


def require_present(manifest: Manifest, found: Presence) -> None:
    """Raise :class:`~tinkit.errors.UserError` where more clips are missing or empty than training tolerates.

    That is 1% of them, or five where these are at most a tenth.
    """
    if found.lacking <= tolerated(found.files):
        return
    assert found.first is not None
    if manifest.packed is not None:
        raise UserError(
            f"{manifest.split}: {words(found)}, such as {found.first!r}",
            file=Path(manifest.packed.address),
            fix="`tinkit data frames` packs what is missing, and lists what is broken",
        )
    cause = why_missing(manifest.root, [found.first])
    raise UserError(
        f"{manifest.split}: {words(found)}, such as {manifest.root / found.first}" + (f": {cause[0]}" if cause else ""),
        expected=f"at most {_SHARE:.0%}, or {_BORNE} if these are at most {_MOST:.0%}: training stops at more of them",
        fix=cause[1] if cause else "download them, or take them out of the annotation",
    )


def tolerated(files: int) -> int:
    """How many of ``files`` may be missing or unreadable: 1%, or five where these are at most a tenth."""
    return int(min(max(_BORNE, _SHARE * files), _MOST * files))


def words(found: Presence) -> str:
    """What is missing, in words."""
    return f"{found.missing} of {found.files} clips are missing and {found.empty} are empty"


def decode_one(manifest: Manifest) -> None:
    """Decode the first frame of one clip. Raises :class:`~tinkit.errors.UserError` if of several none can be."""
    if len(manifest) == 0:
        return
    reasons: dict[str, str] = {}
    for index in np.unique(np.linspace(0, len(manifest) - 1, _TRIED, dtype=int)):
        row = manifest.row(int(index))
        try:
            with open_frames(manifest, row, DecodeSettings()) as clip:
                clip.read([0])
            return
        except BrokenClip as error:
            reasons.setdefault(row.path, error.reason)
        except IndexError:
            reasons.setdefault(row.path, "no frame found")
    first, reason = next(iter(reasons.items()))
    place = manifest.root / first
    raise UserError(
        f"{manifest.split}: none of {len(reasons)} sampled clips can be decoded; {place}: {reason}",
        expected="folders of images" if manifest.media == "frames" else "video files",
        fix=_advice(manifest, place),
    )


def _advice(manifest: Manifest, path: Path) -> str | None:
    if manifest.media == "frames" and path.is_file():
        return "set data.media = 'video' (a recipe that extends one with frames keeps its data.media)"
    if manifest.media == "video" and path.is_dir():
        return "set data.media = 'frames'"
    if manifest.media == "frames" and path.is_dir() and (template := _template_in(path)):
        return f"set data.frame_template = '{template}'"
    return None


def _template_in(folder: Path) -> str | None:
    """How the images in ``folder`` are called, by the first of them."""
    names = sorted(entry.name for entry in os.scandir(folder))
    for name in names:
        if found := re.fullmatch(r"(.*?)(\d+)(\.(?:jpe?g|png|bmp|webp))", name, re.IGNORECASE):
            width = f"0{len(found[2])}" if found[2].startswith("0") else ""
            return f"{found[1]}{{:{width}d}}{found[3]}"
    return None


def _state(path: str, *, folder: bool) -> str | None:
    """``missing`` or ``empty``, or None for what may be a clip. Text paths: a million Path objects take seconds."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return "missing"
    if stat.S_ISDIR(status.st_mode) != folder:
        return "missing"
    if not folder:
        return None if status.st_size or not stat.S_ISREG(status.st_mode) else "empty"
    with os.scandir(path) as entries:
        return None if next(entries, None) else "empty"
