"""How other kits want a list of clips: a row of :data:`FORMATS` for each kit and kind of clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from tinkit.data.layouts.layout import Media
from tinkit.errors import UserError

Kit = Literal["tsn", "mmaction2", "pyslowfast"]

KITS: tuple[Kit, ...] = get_args(Kit)


@dataclass(frozen=True, kw_only=True)
class ListFormat:
    """What a line holds, and what the kit's own reader cannot read."""

    title: str
    file: str
    """The name of a split's list, with ``{split}``: one that tinkit's own layouts find as well."""
    classes: str
    """The name of the file of class names."""
    settings: str
    """What must be set in the kit to read the list, in words."""
    frames: bool = False
    """Whether the number of frames stands behind the path."""
    offset: bool = False
    """Whether the first frame of a segment may stand behind the path."""
    between_labels: str | None = None
    """What separates several labels; None: what separates the fields."""
    several: bool = True
    """Whether a clip may have several labels."""
    none: bool = False
    """Whether a clip may have no label at all."""
    delimiter_key: str | None = None
    """The kit's own setting of the fields' separator; None where it reads spaces only."""


FORMATS: Mapping[tuple[Kit, Media], ListFormat] = MappingProxyType(
    {
        ("tsn", "frames"): ListFormat(
            title="TSN",
            file="{split}_videofolder.txt",
            classes="category.txt",
            settings="root_path = {prefix!r}, image_tmpl = {template!r}",
            frames=True,
            between_labels=",",
        ),
        ("tsn", "video"): ListFormat(
            title="TSN",
            file="{split}_videofolder.txt",
            classes="category.txt",
            settings="root_path = {prefix!r}",
            frames=True,
            between_labels=",",
        ),
        ("mmaction2", "frames"): ListFormat(
            title="mmaction2's RawframeDataset",
            file="{split}.txt",
            classes="category.txt",
            settings="data_prefix = dict(img={prefix!r}), filename_tmpl = {template!r}, with_offset = {offset}, "
            "multi_class = {multi}",
            frames=True,
            offset=True,
        ),
        ("mmaction2", "video"): ListFormat(
            title="mmaction2's VideoDataset",
            file="{split}.txt",
            classes="category.txt",
            settings="data_prefix = dict(video={prefix!r}), delimiter = {delimiter!r}, multi_class = {multi}",
            none=True,
            delimiter_key="delimiter",
        ),
        ("pyslowfast", "video"): ListFormat(
            title="PySlowFast",
            file="{split}.csv",
            classes="classes.txt",
            settings="DATA.PATH_PREFIX {prefix!r}, DATA.PATH_LABEL_SEPARATOR {delimiter!r}",
            several=False,
            delimiter_key="DATA.PATH_LABEL_SEPARATOR",
        ),
    }
)


def format_of(kit: Kit, media: Media) -> ListFormat:
    """The format of ``kit`` for clips of the kind ``media``. Raises :class:`~tinkit.errors.UserError` for none."""
    found = FORMATS.get((kit, media))
    if found is None:
        others = ", ".join(other for other in KITS if (other, media) in FORMATS)
        raise UserError(f"a list for {kit} names videos, and these clips are folders of images", fix=f"use {others}")
    return found
