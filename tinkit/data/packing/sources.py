"""What there is to pack: the files of a manifest, the clips that are cut out of each, and which have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.layouts.layout import Media
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.paths.clip_path import clip_path
from tinkit.data.probe.clip import digest_of, state_of

Fingerprint = tuple[int, int, str]
"""Bytes, time of the last change (nanoseconds) and hash of a source."""


@dataclass(frozen=True)
class SourceClip:
    """A clip of a file: its id, and its window: ``asked`` frames (-1: all) from ``start`` on."""

    id: str
    start: int
    asked: int


@dataclass(frozen=True)
class Source:
    """A video, or a folder of images, and all clips that are cut out of it."""

    path: str
    clips: tuple[SourceClip, ...]


@dataclass(frozen=True)
class SourceFiles:
    """Where the sources of a manifest lie, and how they are read."""

    root: str
    media: Media
    frame_template: str
    decoding: DecodeSettings

    def state(self, path: str) -> tuple[int, int]:
        """Bytes, and time of the last change, of a source; (-1, 0) where there is none."""
        return state_of(clip_path(Path(self.root), path))

    def fingerprint(self, path: str) -> Fingerprint:
        """By which it is known again whether a source is still the same."""
        size, changed = self.state(path)
        return size, changed, self.digest(path, size)

    def digest(self, path: str, size: int) -> str:
        """A hash of a video of ``size`` bytes; empty for folders of images, and where there is none."""
        return digest_of(clip_path(Path(self.root), path), size) if self.media == "video" else ""


def sources_of(manifest: Manifest) -> list[Source]:
    """The sources of a manifest, in its order, and the clips of each in that order."""
    found: dict[str, list[SourceClip]] = {}
    columns = (manifest.table.column(name).to_pylist() for name in ("id", "path", "start", "frames"))
    for clip_id, path, start, frames in zip(*columns, strict=True):
        found.setdefault(path, []).append(SourceClip(clip_id, start, -1 if frames is None else frames))
    return [Source(path, tuple(clips)) for path, clips in found.items()]


def stale(files: SourceFiles, source: Source, known: Mapping[str, Mapping[str, Any]]) -> Source | None:
    """The clips of ``source`` that are not ``known``, or not as they are now; None where all are."""
    state = files.state(source.path)
    digest = ""

    def fresh(clip: SourceClip) -> bool:
        nonlocal digest
        row = known.get(clip.id)
        if row is None or (row["path"], row["start"], row["asked"]) != (source.path, clip.start, clip.asked):
            return False
        if (row["source_size"], row["source_changed"]) == state:
            return True
        if state[0] != row["source_size"] or not row["source_digest"]:
            return False
        digest = digest or files.digest(source.path, state[0])  # a copy, say, has another time
        return digest == row["source_digest"]

    clips = tuple(clip for clip in source.clips if not fresh(clip))
    return Source(source.path, clips) if clips else None


def count_clips(sources: Iterable[Source]) -> int:
    """How many clips ``sources`` have."""
    return sum(len(source.clips) for source in sources)
