"""One split as its official files describe it: found, read by the reader of its layout, and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name

import pyarrow as pa

from tinkit.data.annotations.categories import check_count, classes_of
from tinkit.data.annotations.checks import below_root, check_ids, check_paths
from tinkit.data.annotations.labels import label_indices
from tinkit.data.config.dataset import DataConfig
from tinkit.data.layouts.layout import AnnotationFile, Reader, Split
from tinkit.data.layouts.rows import Rows
from tinkit.errors import UserError
from tinkit.files.class_names import ClassNames


@dataclass(frozen=True)
class Annotation:
    """One split as its official files describe it.

    ``rows`` keeps the lines; ``labels`` is list<int32>, null where they are unknown.
    """

    rows: Rows
    classes: tuple[str, ...]
    labels: pa.Array


def annotation_files(config: DataConfig, root: Path, split: Split) -> tuple[Path, Path | None]:
    """The annotation file of ``split`` and the category file.

    The latter is None where ``data.num_classes`` or the training annotation takes its place. Raises
    :class:`~tinkit.errors.UserError` that says where it looked and which key names another place.
    """
    layout = config.layout
    file = _find(root, layout.places(split), f"the annotation of split {split!r} ({config.dataset})", f"data.{split}")
    there = any((root / name).is_file() for name in layout.categories)
    if (config.num_classes or layout.class_reader) and not config.categories and not there:
        return file, None
    what = f"the names of the classes ({config.dataset})"
    return file, _find(root, layout.categories, what, "data.categories")


def files_read(config: DataConfig, root: Path, split: Split) -> tuple[Path, ...]:
    """Every file that the annotation of ``split`` is made of; a folder stands for the files in it."""
    layout = config.layout
    file, categories = annotation_files(config, root, split)
    beside = (file.with_name(name) for name in layout.beside)
    if categories is None and layout.class_reader:
        categories = _find(root, layout.places("train"), f"the training annotation ({config.dataset})", "data.train")
    return (file, *filter(None, (categories,)), *(path for path in beside if path.is_file()))


def read_annotation(config: DataConfig, root: Path, split: Split) -> Annotation:
    """Read and check one split. Raises :class:`~tinkit.errors.UserError` that names the file and the line."""
    file, category_file = annotation_files(config, root, split)
    classes = _classes(config, category_file, root)
    labelled = split not in config.unlabelled
    read: Reader = resolve_name(config.layout.reader)
    rows = read(
        AnnotationFile(
            path=file,
            split=split,
            root=root,
            media=config.layout.media,
            media_folder=config.layout.media_folder,
            classes=classes.names,
            labelled=labelled,
            columns=config.columns,
            delimiter=config.delimiter,
            part=config.part,
        )
    )
    rows = below_root(rows, config, root)
    check_ids(rows)
    check_paths(rows)
    labels = label_indices(rows, classes, config) if labelled else pa.nulls(len(rows.ids), pa.list_(pa.int32()))
    return Annotation(rows, classes.names, labels)


def _classes(config: DataConfig, file: Path | None, root: Path) -> ClassNames:
    if file is None and config.layout.class_reader:
        return _own_classes(config, root)
    return classes_of(config, file)


def _own_classes(config: DataConfig, root: Path) -> ClassNames:
    """The classes of a set that has no file of them, as its training annotation names them."""
    layout = config.layout
    file = _find(root, layout.places("train"), f"the training annotation ({config.dataset})", "data.train")
    read: Callable[[Path], ClassNames] = resolve_name(layout.class_reader)
    found = read(file)
    check_count(config, found, file)
    return found


def _find(root: Path, places: tuple[str, ...], what: str, key: str) -> Path:
    for place in places:
        if (root / place).is_dir() if place.endswith("/") else (root / place).is_file():
            return root / place
    raise UserError(
        f"{what} is missing; looked for {', '.join(str(root / place) for place in places)}",
        fix=f"put the official file there, or name another with {key} (relative to {root})",
    )
