"""Optical flow on disk: a folder of images for each clip, in one of the three layouts that TSN's descendants read.

=========== ========================================== =======================================================
layout      images of pair i, counted from 1           used for
=========== ========================================== =======================================================
flow_x      ``flow_x_00001.jpg``, ``flow_y_00001.jpg`` UCF101, HMDB51, Kinetics
x_suffix    ``000123-x_00001.jpg``, ``...-y_...``      Something-Something V1; clip 123, in a folder ``000123``
packed      ``00001.jpg``: red is x, green is y        Something-Something V2, Jester
=========== ========================================== =======================================================

Pair i leads from frame i to frame i + 1, so that N frames have N - 1. 0..255 stand for -bound..bound pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinkit.data.config.dataset import DataConfig, FlowLayout
from tinkit.data.decode.clip_reader import BrokenClip, Frame
from tinkit.data.decode.open_clip import ImageReader, find_numbers
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.layouts.layout import Media
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.paths.clip_path import clip_path
from tinkit.data.paths.image_names import template_pattern
from tinkit.errors import UserError

_WHOLE = DecodeSettings()


@dataclass(frozen=True)
class FlowFiles:
    """Where a data set's flow lies: in ``folder`` below the root, each clip as it lies below ``media_folder``.

    A video's folder is called as the file is, without its suffix. ``frame_template`` names the images of the layout
    packed. Raises :class:`~tinkit.errors.UserError` for one that is not a template.
    """

    folder: str
    layout: FlowLayout
    media: Media
    media_folder: str
    frame_template: str

    def __post_init__(self) -> None:
        if self.layout == "packed":
            template_pattern(self.frame_template)

    @classmethod
    def of(cls, config: DataConfig) -> FlowFiles:
        """What the ``[data]`` table says."""
        usual = config.layout
        return cls(config.flow_folder, config.flow_layout, usual.media, usual.media_folder, usual.frame_template)

    def clip_folder(self, root: Path, path: str) -> Path:
        """The folder with the flow of the clip at ``path`` (relative to ``root``, as in a manifest)."""
        place = clip_path(Path(), path)
        if self.media_folder and place.is_relative_to(self.media_folder):
            place = place.relative_to(self.media_folder)
        if self.media == "video":
            place = place.with_suffix("")
        if self.layout == "x_suffix":
            place = place.with_name(_six_digits(place.name))
        return clip_path(root / self.folder, str(place))

    def templates(self, folder: Path) -> tuple[str, ...]:
        """How the images in a clip's ``folder`` are called: those of x and of y, or those that hold both.

        Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip` for a name that cannot be part of the images'.
        """
        if self.layout == "packed":
            return (self.frame_template,)
        if self.layout == "flow_x":
            return "flow_x_{:05d}.jpg", "flow_y_{:05d}.jpg"
        if set(folder.name) & set("{}\\"):
            raise BrokenClip("its name has a brace or backslash, which the layout x_suffix cannot hold")
        return f"{folder.name}-x_{{:05d}}.jpg", f"{folder.name}-y_{{:05d}}.jpg"

    def require(self, manifest: Manifest) -> None:
        """Raise :class:`~tinkit.errors.UserError` if of a few clips, from all over the split, not one has a folder."""
        if len(manifest) == 0:
            return
        rows = np.unique(np.linspace(0, len(manifest) - 1, 16, dtype=int))
        tried = [self.clip_folder(manifest.root, manifest.row(int(row)).path) for row in rows]
        if not any(folder.is_dir() for folder in tried):
            raise UserError(
                f"none of {len(tried)} sampled clips of {manifest.split!r} has optical flow, such as {tried[0]}",
                fix="compute it with `tinkit data flow`, or name where it is with data.flow_folder (relative to the "
                "root) and how with data.flow_layout",
            )


class FlowFolder(ImageReader):
    """A clip's optical flow, from its folder: frame i is pair i, uint8 (H, W, 2), x and y.

    ``start`` and ``frames`` cut a window of that many frames out of the clip, as
    :func:`~tinkit.data.decode.open_clip.open_clip` does: one pair less, for the last would lead out of it. Raises
    :class:`~tinkit.data.decode.clip_reader.BrokenClip` if an image is missing, or x without its y.
    """

    def __init__(
        self,
        folder: Path,
        templates: tuple[str, ...],
        start: int = 0,
        frames: int | None = None,
        decoding: DecodeSettings = _WHOLE,
    ) -> None:
        super().__init__(folder, decoding)
        found = [find_numbers(folder, template) for template in templates]
        if found[0] != found[-1]:
            raise BrokenClip(f"{len(found[0])} images of flow in x, {len(found[-1])} in y")
        self._templates, self._first = templates, found[0].start + start
        self.take_window(len(found[0]), start, None if frames is None else frames - 1)

    def _decode(self, wanted: list[int]) -> Iterator[tuple[int, Frame]]:
        for index in wanted:
            yield index, self._pair([template.format(self._first + index) for template in self._templates])

    def _pair(self, names: list[str]) -> Frame:
        parts = [self.read_image(name, grey=len(names) == 2) for name in names]
        if len(parts) == 1:
            return parts[0][..., :2]
        if parts[0].shape != parts[1].shape:
            raise BrokenClip(f"{names[0]} and {names[1]} differ in size")
        return np.stack(parts, axis=-1)


def _six_digits(name: str) -> str:
    """A clip's name as the layout x_suffix has it; one that is not a number stays."""
    return f"{int(name):06d}" if name.isascii() and name.isdigit() else name
