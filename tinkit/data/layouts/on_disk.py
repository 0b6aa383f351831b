"""What files a data set's folders hold, for layouts whose annotations do not say how the clips' files are called."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

VIDEO_SUFFIXES = frozenset((".mp4", ".webm", ".mkv", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".3gp"))


def first_folder(root: Path, names: Sequence[str]) -> str:
    """The first of ``names`` that is a folder below ``root``; the first of all where none is."""
    there = (name for name in names if os.path.isdir(root / name))  # noqa: PTH112 - False for a name that is too long
    return next(there, names[0])


def clips_in(root: Path, folder: str, *, folders_of_images: bool, depth: int = 2) -> Iterator[tuple[str, str]]:
    """(name without suffix, path relative to ``root``) of every video, or folder of images, some folders deep.

    A million files take some seconds; nothing is opened. Links to folders are followed, ``depth`` bounds them.
    """
    try:
        entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_dir():
            if depth > 1:
                yield from clips_in(root, path, folders_of_images=folders_of_images, depth=depth - 1)
            if folders_of_images:
                yield entry.name, path
        elif not folders_of_images and Path(entry.name).suffix.lower() in VIDEO_SUFFIXES:
            yield Path(entry.name).stem, path
