"""What a row of the catalogue of layouts says, and what the reader of a layout is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:  # pyarrow and NumPy load when an annotation is read
    from tinkit.data.layouts.rows import Rows
    from tinkit.metrics import Task

Split = Literal["train", "val", "test"]
Media = Literal["video", "frames"]
ClassOrder = Literal["file", "alphabetical"]
ListColumns = Literal["path frames labels", "path labels", "path start frames labels"]

SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True, kw_only=True)
class DatasetLayout:
    """How a data set lies on disk: a row of :data:`tinkit.data.layouts.catalogue.LAYOUTS`.

    ``train``, ``val``, ``test`` and ``categories`` are places to look, relative to the root; the first that exists is
    taken. The fields from ``media_folder`` to ``min_frames`` are what the recipe's keys of the same names take where
    they are left out.
    """

    title: str
    """Whose files these are, for people."""
    rows: str
    """What a row of an annotation looks like, for people."""
    reader: str
    """The :data:`Reader` of its annotations, as ``module:function``. It is imported when an annotation is read."""
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    categories: tuple[str, ...]
    """The file of class names."""
    media_folder: str = ""
    """The folder that the paths of :class:`~tinkit.data.layouts.rows.Rows` are relative to."""
    media: Media = "video"
    frame_template: str = "{:05d}.jpg"
    class_order: ClassOrder = "file"
    task: Task = "single-label"
    min_frames: int = 1
    numbered: bool = False
    """Whether labels are numbers that index the file of class names, which then cannot be sorted."""
    class_reader: str = ""
    """Where a set has no file of class names: what finds them in the training annotation, as ``module:function``. It
    takes the annotation's path and gives :class:`~tinkit.files.class_names.ClassNames`."""
    beside: tuple[str, ...] = ()
    """Files that the reader looks into where they lie beside the annotation."""
    lists_clips: bool = False
    """Whether the reader looks for the names of clips in their folder: a clip may be called in several ways."""
    separator: str | None = None
    """What separates id and labels, where it is always the same."""
    split_codes: bool = False
    """Whether a file of split codes (1: training, 2: testing) could be mistaken for one of labels."""
    keys: frozenset[str] = frozenset()
    """The keys of ``[data]`` that only some layouts take, and this one does: ``columns``, ``delimiter``, ``part``."""

    def places(self, split: Split) -> tuple[str, ...]:
        """Where the annotation of ``split`` may lie, relative to the root; a place that ends in a slash is a folder."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]


@dataclass(frozen=True, kw_only=True)
class AnnotationFile:
    """An annotation file that exists, and what a reader may need to know to read it."""

    path: Path
    split: Split
    root: Path = Path()
    """The data set's folder, absolute."""
    media: Media = "video"
    media_folder: str = ""
    """The folder of the clips, relative to the root."""
    classes: tuple[str, ...] = ()
    """The names of the classes by index."""
    labelled: bool = True
    """Whether the rows must have labels."""
    columns: ListColumns = "path frames labels"
    delimiter: str | None = None
    """As ``data.delimiter`` says; None where the layout's own is meant."""
    part: int = 1
    """Which of several official partitions, from 1."""

    @property
    def media_root(self) -> Path:
        """The folder of the clips."""
        return self.root / self.media_folder


Reader = Callable[[AnnotationFile], "Rows"]
"""Reads one annotation file. Raises :class:`~tinkit.errors.UserError` that names the file and the line."""


def beside_or_in_folder(*names: str) -> tuple[str, ...]:
    """The places of files that lie at the root, or in ``annotations/`` where people tidy them away."""
    return tuple(place for name in names for place in (name, f"annotations/{name}"))


def in_folder_or_beside(*names: str) -> tuple[str, ...]:
    """The places of files that lie in ``annotations/``, or at the root where people unpacked them there."""
    return tuple(place for name in names for place in (f"annotations/{name}", name))
