"""Annotations: the official files of each layout, read and checked. One file a layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tinkit.data.annotations.categories import classes_of, read_categories
from tinkit.data.annotations.checks import below_root, check_ids, check_paths
from tinkit.data.annotations.labels import label_indices
from tinkit.data.config.dataset import DataConfig, Split
from tinkit.data.layouts.lists import read_list
from tinkit.data.layouts.mmit import read_mmit
from tinkit.data.layouts.rows import Rows
from tinkit.data.layouts.something import read_something_v1, read_something_v2
from tinkit.data.layouts.table import read_table
from tinkit.errors import UserError

__all__ = ["Annotation", "annotation_files", "read_annotation", "read_categories"]


@dataclass(frozen=True)
class Annotation:
    """One split as its official files tell it. ``rows`` keeps the lines; ``labels`` is list<int32>, null if unknown."""

    rows: Rows
    classes: tuple[str, ...]
    labels: pa.Array


def annotation_files(config: DataConfig, root: Path, split: Split) -> tuple[Path, Path | None]:
    """The annotation file of ``split`` and the category file.

    The latter is None where ``data.num_classes`` takes its place. Raises :class:`~tinkit.errors.UserError` that says
    where it looked and which key names another place.
    """
    layout = config.layout
    file = _find(root, layout.places(split), f"the annotation of split {split!r} ({config.dataset})", f"data.{split}")
    if config.num_classes and not config.categories and not any((root / name).is_file() for name in layout.categories):
        return file, None
    what = f"the names of the classes ({config.dataset})"
    return file, _find(root, layout.categories, what, "data.categories")


def read_annotation(config: DataConfig, root: Path, split: Split) -> Annotation:
    """Read and check one split. Raises :class:`~tinkit.errors.UserError` that names the file and the line."""
    file, category_file = annotation_files(config, root, split)
    classes = classes_of(config, category_file)
    rows = _read_rows(config, file, classes.names, labelled=split not in config.unlabelled)
    rows = below_root(rows, config, root)
    check_ids(rows)
    check_paths(rows)
    if split in config.unlabelled:
        labels = pa.nulls(len(rows.ids), pa.list_(pa.int32()))
    else:
        labels = label_indices(rows, classes, config)
    return Annotation(rows, classes.names, labels)


def _read_rows(config: DataConfig, file: Path, classes: tuple[str, ...], *, labelled: bool) -> Rows:
    layout = config.layout
    match config.dataset:
        case "mmit":
            return read_mmit(file, layout.media)
        case "sthv1" | "jester":
            return read_something_v1(file, layout.media)
        case "sthv2":
            return read_something_v2(file, layout.media)
        case "list":
            return read_list(file, config.columns, config.delimiter, labelled=labelled)
        case "table":
            return read_table(file, classes, config.delimiter, labelled=labelled)


def _find(root: Path, places: tuple[str, ...], what: str, key: str) -> Path:
    for place in places:
        if (root / place).is_file():
            return root / place
    raise UserError(
        f"{what} is not there; looked for {', '.join(str(root / place) for place in places)}",
        fix=f"put the official file there, or name another with {key} (relative to {root})",
    )
