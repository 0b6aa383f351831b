"""The classes of a data set, out of its file of class names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tinkit.data.config.dataset import ClassOrder, DataConfig
from tinkit.errors import UserError
from tinkit.files.class_names import ClassNames, read_class_names


def read_categories(file: Path, order: ClassOrder) -> tuple[str, ...]:
    """The names of the classes by index.

    ``alphabetical`` sorts by code point, as TSN, TRN, TSM and TIN number the classes of Something-Something V1.
    Raises :class:`~tinkit.errors.UserError` as :func:`~tinkit.files.class_names.read_class_names` does.
    """
    return _in_order(read_class_names(file), order).names


def classes_of(config: DataConfig, file: Path | None) -> ClassNames:
    """The classes of a data set: those in ``file``; without one, ``data.num_classes`` that are called by their numbers.

    Raises :class:`~tinkit.errors.UserError`, also where the file names another number of classes than the key.
    """
    count, first = config.num_classes, config.first_label or 0
    if file is None:
        return ClassNames(tuple(str(number) for number in range(first, first + (count or 0))))
    found = read_class_names(file, count)
    if count is not None and count != len(found.names):
        raise UserError(
            f"the file names {len(found.names)} classes",
            file=file,
            expected=f"{count}, as data.num_classes says",
            fix="leave data.num_classes out, or name the file of this version in data.categories",
        )
    return _in_order(found, config.layout.class_order)


def _in_order(found: ClassNames, order: ClassOrder) -> ClassNames:
    return replace(found, names=tuple(sorted(found.names))) if order == "alphabetical" else found
