"""The classes of a data set, out of its file of class names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tinkit.data.config.dataset import DataConfig
from tinkit.errors import UserError
from tinkit.files.class_names import ClassNames, read_class_names


def classes_of(config: DataConfig, file: Path | None) -> ClassNames:
    """The classes of a data set: those in ``file``; without one, ``data.num_classes`` that are called by their numbers.

    Raises :class:`~tinkit.errors.UserError`, also where the file names another number of classes than the key.
    """
    count, first = config.num_classes, config.first_label or 0
    if file is None:
        return ClassNames(tuple(str(number) for number in range(first, first + (count or 0))))
    found = read_class_names(file, count)
    check_count(config, found, file)
    if config.layout.class_order == "alphabetical":  # by code point, as TSN, TRN, TSM and TIN number V1's classes
        return replace(found, names=tuple(sorted(found.names)))
    return found


def check_count(config: DataConfig, found: ClassNames, file: Path) -> None:
    """Raise :class:`~tinkit.errors.UserError` where ``file`` names another number of classes than the recipe."""
    if config.num_classes not in (None, len(found.names)):
        raise UserError(
            f"the file names {len(found.names)} classes",
            file=file,
            expected=f"{config.num_classes}, as data.num_classes says",
            fix="leave data.num_classes out, or name the file of this version in data.categories",
        )
