"""What lies at a path that somebody names: a video, a folder of images, or a folder of either."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinkit.data.layouts.layout import Media
from tinkit.data.layouts.on_disk import VIDEO_SUFFIXES
from tinkit.data.paths.image_names import template_pattern
from tinkit.errors import UserError

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png"))


@dataclass(frozen=True)
class ImageFolders:
    """Folders of images that are called alike: those named by ``template``, and how many ``others`` there are."""

    folders: tuple[Path, ...]
    template: str
    others: int

    @property
    def skipped(self) -> tuple[str, ...]:
        """What was left out, in words."""
        return (f"{self.others} folders whose images are not named like {self.template}",) if self.others else ()


def image_folders(images: Iterable[Path]) -> ImageFolders:
    """The folders that ``images`` lie in, whose names follow the first one's.

    Raises :class:`~tinkit.errors.UserError` where that has no number.
    """
    by_folder: dict[Path, list[Path]] = {}
    for image in sorted(images):
        by_folder.setdefault(image.parent, []).append(image)
    first = by_folder[min(by_folder)][0]
    number = re.search(r"\d+$", first.stem)
    if number is None:
        raise UserError(f"{first.name} has no number", file=first, expected="images numbered from 0 or 1: 00001.jpg")
    template = f"{first.stem[: number.start()]}{{:0{len(number[0])}d}}{first.suffix}"
    pattern = template_pattern(template)
    kept = [folder for folder in sorted(by_folder) if any(pattern.fullmatch(image.name) for image in by_folder[folder])]
    return ImageFolders(tuple(kept), template, len(by_folder) - len(kept))


def clips_at(place: Path) -> list[Path]:
    """The clips at a path: a file itself, a folder of images itself, else the videos and folders of images below it."""
    if not place.is_dir():
        return [place]
    found = []
    for above, folders, names in os.walk(place):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        suffixes = {name: Path(name).suffix.lower() for name in names if not name.startswith(".")}
        found += [Path(above, name) for name in sorted(suffixes) if suffixes[name] in VIDEO_SUFFIXES]
        if any(suffix in IMAGE_SUFFIXES for suffix in suffixes.values()):
            found.append(Path(above))
    return found


def media_of(clips: Sequence[Path], file: Path) -> Media:
    """What all ``clips`` are. Raises :class:`~tinkit.errors.UserError` where some are videos and some are folders."""
    folders = [clip for clip in clips if clip.is_dir()]
    if folders and len(folders) < len(clips):
        other = next(clip for clip in clips if not clip.is_dir())
        raise UserError(
            f"{len(folders)} clips are folders of images, such as {folders[0]}, and {len(clips) - len(folders)} are "
            f"files, such as {other}",
            file=file,
            expected="clips of one kind",
            fix="make two data sets, or write the videos' frames into folders",
        )
    return "frames" if folders else "video"
