"""Moments in Time: rows ``category/clip.mp4,category,AGREED,DISAGREED`` without a header; one label a clip."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tinkit.data.layouts.csv_table import csv_rows
from tinkit.data.layouts.layout import AnnotationFile, Split
from tinkit.data.layouts.on_disk import first_folder
from tinkit.data.layouts.rows import Rows
from tinkit.errors import UserError

_FOLDERS: dict[Split, str] = {"train": "training", "val": "validation", "test": "testing"}


def read_moments(annotation: AnnotationFile) -> Rows:
    """The rows of an official csv; the id is the path as written. The votes at the end are left out.

    Clips lie in ``training/`` and ``validation/``, as the archives unpack, or together.
    """
    file = annotation.path
    ids, labels, lines = [], [], []
    for line, row in csv_rows(file):
        if not any(word.strip() for word in row):
            continue
        ids.append(row[0].strip())
        labels.append(_label(row, annotation))
        lines.append(line)
    if not ids:
        raise UserError("the file is empty", file=file, expected="category/clip.mp4,category,AGREED,DISAGREED")
    media = annotation.media_root
    folder = first_folder(media, (_FOLDERS[annotation.split], ""))
    folder = folder if (media / folder).is_dir() else ""
    stems = [name.rpartition(".")[0] or name for name in ids] if annotation.media == "frames" else ids
    return Rows(
        file,
        np.array(lines, np.int64),
        pa.array(ids, pa.string()),
        pa.array([f"{folder}/{name}" if folder else name for name in stems], pa.string()),
        pa.array(labels, pa.list_(pa.string())),
    )


def _label(row: list[str], annotation: AnnotationFile) -> list[str]:
    """The class that a row names; where it is a path alone, that of the clip's folder if this is one."""
    word, folder = row[1].strip() if len(row) > 1 else "", row[0].strip().partition("/")[0]
    if len(row) == 1 and folder in annotation.classes:
        return [folder]
    return [word] if word else []
