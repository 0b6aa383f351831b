"""The ``[data]`` table of a recipe: which data set, where its files are, how they are read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from tinkit.data.layouts.catalogue import LAYOUTS, LayoutName
from tinkit.data.layouts.layout import ClassOrder, DatasetLayout, ListColumns, Media, Split
from tinkit.data.paths.image_names import template_problem
from tinkit.errors import UserError
from tinkit.metrics import Task
from tinkit.table import Table

FlowLayout = Literal["flow_x", "x_suffix", "packed"]

_KEYS_OF_SOME = ("columns", "delimiter", "part")  # the keys that only some layouts take


class DataConfig(Table):
    """The ``[data]`` table.

    A key left out takes the value of the row of ``dataset`` in :data:`~tinkit.data.layouts.catalogue.LAYOUTS`.
    """

    dataset: LayoutName = Field(description="The layout of the annotation files.")
    name: str | None = Field(None, description="Folder below $TINKIT_DATA; the layout's name unless given.")
    version: str = Field("1", description="Release of the data set; scores of two versions are never compared.")
    root: Path | None = Field(None, description="Folder of the data set; $TINKIT_DATA/NAME unless given.")
    train: str | None = Field(None, description="Annotation file of the training split, relative to the root.")
    val: str | None = Field(None, description="Annotation file of the validation split, relative to the root.")
    test: str | None = Field(None, description="Annotation file of the test split, relative to the root.")
    categories: str | None = Field(None, description="File of class names, relative to the root.")
    num_classes: int | None = Field(
        None,
        gt=0,
        le=10**7,
        description="Number of classes: checked against the category file, or in place of a missing one.",
    )
    first_label: Literal[0, 1] | None = Field(None, description="The number of the first class in labels; else 0.")
    negatives: bool = Field(False, description="Whether a clip may belong to no class (multi-label).")
    media: Media | None = Field(None, description="Whether a clip is a video file or a folder of images.")
    media_folder: str | None = Field(None, description="Folder of the clips, relative to the root; '' is the root.")
    frame_template: str | None = Field(None, description="Name of an image in a folder, such as {:05d}.jpg, from 1.")
    class_order: ClassOrder | None = Field(None, description="Number named classes as in the file, or sorted.")
    task: Task | None = Field(None, description="Whether a clip may have several labels.")
    unlabelled: tuple[Split, ...] = Field(("test",), description="Splits without labels, or with placeholders.")
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="Separator of a list's or csv's fields."
    )
    columns: ListColumns = Field("path frames labels", description="The fields of a line of a list.")
    part: Literal[1, 2, 3] = Field(1, description="Which of the official partitions into training and testing.")
    min_frames: int | None = Field(None, ge=1, description="Shorter clips are left out of training but tested.")
    flow_layout: FlowLayout = Field("flow_x", description="How the images of optical flow are named.")
    flow_folder: str = Field("flow", description="Folder of the clips' optical flow, relative to the root.")
    packed: str | None = Field(
        None,
        description="Read frames from shards (`tinkit data frames`) instead: their folder, relative to the root or "
        "absolute, or an address of fsspec, such as s3://bucket/folder.",
    )
    rate: float | None = Field(
        None,
        ge=0.001,
        le=100_000,
        allow_inf_nan=False,
        description="Frames a second of clips whose files do not say: images, optical flow. For clip.fps, test.fps.",
    )
    turn: bool = Field(
        True, description="Rotate a video as its file says, as players do; false: read frames as they are stored."
    )
    max_pixels: int = Field(64_000_000, ge=1, description="A clip with a frame of more pixels counts as broken.")
    max_frame_mb: int = Field(384, ge=1, description="Megabytes that decoding a frame may take, by its header.")
    max_clip_pixels: int = Field(
        100_000_000_000, ge=1, description="Pixels of all the frames that are decoded to read a clip once."
    )
    max_image_seconds: float = Field(
        10.0, gt=0, allow_inf_nan=False, description="Processor seconds that an image may take, by its header."
    )
    max_clip_seconds: float = Field(
        300.0, gt=0, allow_inf_nan=False, description="Processor seconds that decoding a clip once may take."
    )

    @field_validator("name")
    @classmethod
    def _one_folder(cls, name: str | None) -> str | None:
        if name is not None and (name in ("", ".", "..") or "/" in name or "\0" in name):
            raise ValueError("name is one folder below $TINKIT_DATA, without a slash")
        return name

    @field_validator("media_folder", "flow_folder")
    @classmethod
    def _below_the_root(cls, folder: str | None, info: ValidationInfo) -> str | None:
        if folder is not None and (folder.startswith("/") or ".." in Path(folder).parts or "\0" in folder):
            raise ValueError(f"{info.field_name} lies below the root; link the media there if they are elsewhere")
        return folder

    @field_validator("packed")
    @classmethod
    def _is_a_place(cls, packed: str | None) -> str | None:
        if packed is not None and (not packed or "\0" in packed or ".." in packed.split("/")):
            raise ValueError(
                "packed is a folder, relative to the root or absolute, or an address such as s3://bucket/x"
            )
        return packed

    @field_validator("frame_template")
    @classmethod
    def _template_numbers(cls, template: str | None) -> str | None:
        if template is None:
            return None
        if problem := template_problem(template):
            raise ValueError(f"frame_template is a name with one number in it, such as {{:05d}}.jpg: {problem}")
        return template

    @model_validator(mode="after")
    def _keys_go_together(self) -> Self:
        if self.class_order == "alphabetical" and self.layout.numbered:
            raise ValueError(
                f"class_order = 'alphabetical' does not go with dataset = {self.dataset!r}, whose labels are numbers "
                "that index the category file"
            )
        if self.negatives and self.layout.task == "single-label":
            raise ValueError("negatives belongs to task = 'multi-label': with one label a clip has a class")
        for key in _KEYS_OF_SOME:
            if getattr(self, key) != type(self).model_fields[key].default and key not in self.layout.keys:
                takers = " or ".join(repr(name) for name, layout in LAYOUTS.items() if key in layout.keys)
                raise ValueError(f"{key} belongs to dataset = {takers}")
        return self

    @property
    def layout(self) -> DatasetLayout:
        """The layout of ``dataset`` with every key that this configuration gives put in its place."""
        usual = LAYOUTS[self.dataset]
        return replace(
            usual,
            train=self._places(usual.train, self.train),
            val=self._places(usual.val, self.val),
            test=self._places(usual.test, self.test),
            categories=usual.categories if self.categories is None else (self.categories,),
            media_folder=usual.media_folder if self.media_folder is None else self.media_folder,
            media=self.media or usual.media,
            frame_template=self.frame_template or usual.frame_template,
            class_order=self.class_order or usual.class_order,
            task=self.task or usual.task,
            min_frames=self.min_frames or usual.min_frames,
        )

    def _places(self, usual: tuple[str, ...], chosen: str | None) -> tuple[str, ...]:
        """Where an annotation may lie: where its key says, else the layout's places for ``part``."""
        return tuple(place.format(part=self.part) for place in usual) if chosen is None else (chosen,)


def packed_name(config: DataConfig, split: str) -> str:
    """What the shards of ``split`` are called after: the split, and which of the official partitions it is of."""
    return f"{split}-part{config.part}" if "part" in config.layout.keys else split


def packed_address(config: DataConfig, root: Path) -> str | None:
    """Where the shards are that ``data.packed`` names: an absolute folder, or an address; None where it names none."""
    if config.packed is None or "://" in config.packed:
        return config.packed
    return str(root / Path(config.packed).expanduser())


def resolve_root(config: DataConfig) -> Path:
    """The absolute folder of the data set: ``data.root`` (which ``--data`` fills), else ``$TINKIT_DATA/NAME``.

    Raises :class:`~tinkit.errors.UserError` that says how to name it, when it is not named or does not exist.
    """
    name = config.name or config.dataset
    how = f"give --data DIR, set data.root in the recipe, or put the data into $TINKIT_DATA/{name}"
    if config.root is not None:
        root, said = config.root.expanduser(), "data.root or --data"
    elif os.environ.get("TINKIT_DATA"):
        root, said = Path(os.environ["TINKIT_DATA"]).expanduser() / name, "TINKIT_DATA"
    else:
        raise UserError(f"the folder of the data set {name!r} is not known", fix=how)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder (named by {said})", expected="the data set's folder", fix=how)
    return root.resolve()
