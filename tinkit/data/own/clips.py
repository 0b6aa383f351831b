"""Clips of one's own, before they are a data set: where each lies, what it shows, and what it was cut from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tinkit.data.layouts.layout import Media, Split
from tinkit.data.layouts.on_disk import VIDEO_SUFFIXES
from tinkit.data.own.found import IMAGE_SUFFIXES, image_folders
from tinkit.errors import UserError

SPLIT_WORDS: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "validate"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
"""What people call the splits, in folders and in columns."""

ANNOTATIONS = "annotations"
"""The folder, in that of the clips, where their annotations are written."""

_PIECE = re.compile(r"^(?P<source>.+?)[ _.-]+(?:part|clip|cut|seg|scene)?[ _-]?\d{1,3}$", re.IGNORECASE)


@dataclass(frozen=True)
class OwnClip:
    """One clip: its path relative to the folder, the names of its labels, and its source and split where known."""

    path: str
    labels: tuple[str, ...]
    source: str = ""
    split: Split | None = None


@dataclass(frozen=True)
class OwnClips:
    """The clips of one folder. ``skipped`` says what was left out, in words, with how often."""

    root: Path
    clips: tuple[OwnClip, ...]
    media: Media = "video"
    frame_template: str = ""
    skipped: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of all labels, sorted."""
        return tuple(sorted({label for clip in self.clips for label in clip.labels}))

    @property
    def multi_label(self) -> bool:
        """Whether a clip has several labels, or none."""
        return any(len(clip.labels) != 1 for clip in self.clips)


def with_sources(clips: Iterable[OwnClip]) -> tuple[OwnClip, ...]:
    """The clips with a source each: what they say, else the common stem of numbered pieces in one folder.

    ``dance_1.mp4`` and ``dance_2.mp4`` are pieces of ``dance``. A name that stands alone is its own source, and so are
    all of a class whose names would be one source: they are numbered, rather than cut from one video.
    """
    clips = tuple(clips)
    stems = {clip.path: clip.source or _stem(clip.path) for clip in clips}
    together = Counter(stems.values())
    by_class: dict[str, set[str]] = {}
    for clip in clips:
        for label in clip.labels:
            by_class.setdefault(label, set()).add(stems[clip.path])
    numbered = {label for label, sources in by_class.items() if len(sources) == 1}
    return tuple(
        clip
        if clip.source
        else replace(
            clip,
            source=clip.path
            if together[stems[clip.path]] == 1 or numbered.intersection(clip.labels)
            else stems[clip.path],
        )
        for clip in clips
    )


def taken_apart(clips: Sequence[OwnClip]) -> tuple[OwnClip, ...]:
    """The clips that are sources of their own though they are called as pieces of one."""
    together = Counter(_stem(clip.path) for clip in clips)
    return tuple(clip for clip in clips if clip.source == clip.path and together[_stem(clip.path)] > 1)


def with_named_numbers(own: OwnClips) -> OwnClips:
    """``own`` with classes called ``class 3`` where all are mere numbers, and not those that the classes get."""
    names = own.classes
    if not all(name.isdecimal() for name in names) or names == tuple(map(str, range(len(names)))):
        return own
    width = max(map(len, names))  # so that they stay in the order of their numbers
    clips = (replace(clip, labels=tuple(f"class {name.zfill(width)}" for name in clip.labels)) for clip in own.clips)
    return replace(own, clips=tuple(clips))


def check_names(names: Sequence[str], file: Path) -> None:
    """Refuse names of classes that a csv of labels cannot hold."""
    for name in names:
        if ";" in name or not name or not can_be_written(name):
            raise UserError(
                f"the class name {name!r} cannot be written down",
                file=file,
                expected="a name without ';', in UTF-8, without spaces at its ends",
                fix="rename it",
            )


def can_be_written(path: str) -> bool:
    """Whether a csv gives a name back as it was: text, on one line, without spaces at its ends."""
    return path == path.strip() and path.isprintable()


def clips_in_folders(root: Path) -> OwnClips:
    """The clips of a folder that has a folder for each class; or one for each split, and in these one for each class.

    A clip is a video file, or a folder of numbered images. Raises :class:`~tinkit.errors.UserError` where there is
    none, and for videos that lie beside the folders of classes, since their class is not known.
    """
    tops = _folders(root)
    splits = {top.name: SPLIT_WORDS[top.name.lower()] for top in tops if top.name.lower() in SPLIT_WORDS}
    by_split = bool(splits) and len(splits) == len(tops)
    if len(splits) > 1 and not by_split:
        others = ", ".join(top.name for top in tops if top.name not in splits)
        raise UserError(
            f"{', '.join(splits)} are splits, and {others} lies beside them",
            file=root,
            fix="move it away, or into a split; classes called so need a csv",
        )
    found: list[OwnClip] = []
    skipped: Counter[str] = Counter()
    images: list[Path] = []
    for parent, split in [(top, splits[top.name]) for top in tops] if by_split else [(root, None)]:
        _refuse_loose(parent)
        for folder in _folders(parent):
            check_names([folder.name], root)
            before = len(found) + len(images)
            for path in sorted(folder.rglob("*")):
                if path.is_dir() or any(part.startswith(".") for part in path.relative_to(root).parts):
                    continue
                if problem := _unusable(path, root):
                    skipped[problem] += 1
                    continue
                if path.suffix.lower() in VIDEO_SUFFIXES:
                    found.append(OwnClip(path.relative_to(root).as_posix(), (folder.name,), split=split))
                elif path.suffix.lower() in IMAGE_SUFFIXES:
                    images.append(path)
                else:
                    skipped[f"{path.suffix.lower() or 'files without suffix'}"] += 1
            if len(found) + len(images) == before:
                skipped[f"folder without a video, {folder.name!r}"] += 1
    if found or not images:
        skipped.update(path.suffix.lower() for path in images)
        if not found:
            raise UserError("no video in a folder of a class", file=root, fix=_SHAPE)
        return OwnClips(root, with_sources(found), skipped=tuple(f"{n} {kind}" for kind, n in sorted(skipped.items())))
    return _of_images(root, images, splits if by_split else {})


_SHAPE = "make a folder for each class, and put its videos into it: FOLDER/jump/a.mp4; or give a csv that names them"


def _of_images(root: Path, images: list[Path], splits: dict[str, Split]) -> OwnClips:
    found = image_folders(images)
    clips = []
    at = 1 if splits else 0
    for folder in found.folders:
        parts = folder.relative_to(root).parts
        if len(parts) < at + 2:
            raise UserError("images lie in a class's folder, not in a clip's", file=folder, fix=_SHAPE)
        split = splits[parts[0]] if splits else None
        clips.append(OwnClip(folder.relative_to(root).as_posix(), (parts[at],), split=split))
    return OwnClips(root, with_sources(clips), "frames", found.template, found.skipped)


def _folders(parent: Path) -> list[Path]:
    """The folders in ``parent``, but for hidden ones and the one that annotations are written to."""
    return sorted(
        path
        for path in parent.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name != ANNOTATIONS
    )


def _unusable(path: Path, root: Path) -> str | None:
    """Why a file cannot be a clip whatever it holds, in words, or None."""
    if not can_be_written(path.relative_to(root).as_posix()):
        return "files whose names cannot be written into a csv"
    return None if path.is_file() else "links that lead nowhere"


def _refuse_loose(parent: Path) -> None:
    if any(path.suffix.lower() in VIDEO_SUFFIXES for path in (parent / ANNOTATIONS).rglob("*")):
        raise UserError(
            f"videos lie in {ANNOTATIONS}, where annotations are written", file=parent, fix="rename that folder"
        )
    loose = sorted(path for path in parent.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    if loose:
        raise UserError(
            f"{len(loose)} videos lie in no class's folder, such as {loose[0].name}", file=parent, fix=_SHAPE
        )


def _stem(path: str) -> str:
    parent, _, name = path.rpartition("/")
    stem = name.rpartition(".")[0] or name
    piece = _PIECE.match(stem)
    return f"{parent}/{piece['source'] if piece else stem}"
