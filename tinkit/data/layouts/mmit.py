"""Multi-Moments in Time: rows ``category+folder/clip.mp4,LABEL[,LABEL...]``, no header, as many columns as labels."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.data.layouts.layout import AnnotationFile
from tinkit.data.layouts.rows import Rows, last_part_without_number, split_words, text_lines
from tinkit.errors import UserError


def read_mmit(annotation: AnnotationFile) -> Rows:
    """The rows of a file of MMIT; a row of a list without labels is a path alone. The id is the path as written."""
    file = annotation.path
    numbers, lines = text_lines(file)
    row = pc.extract_regex(lines, r"^(?P<id>[^,\"]*?)\s*(?:,(?P<labels>.*))?$")
    ids, labels = (pc.struct_field(row, name) for name in ("id", "labels"))
    quoted = pc.is_null(row).to_numpy(zero_copy_only=False)
    if quoted.any():
        ids, labels = _with_quoted(file, numbers, lines, ids, labels, quoted.nonzero()[0].tolist())
    ids = ids.cast(pa.string())
    paths = pc.replace_substring_regex(ids, pattern=r"\.\w+$", replacement="") if annotation.media == "frames" else ids
    return Rows(
        file=file,
        lines=numbers,
        ids=ids,
        paths=paths,
        labels=split_words(pc.fill_null(labels, "").cast(pa.string()), r"[,\s]+"),
        source=last_part_without_number(ids),
    )


def _with_quoted(
    file: Path, numbers: np.ndarray, lines: pa.Array, ids: pa.Array, labels: pa.Array, quoted: list[int]
) -> tuple[pa.Array, pa.Array]:
    """The two columns with the rows put in that a csv writer has quoted (a path that holds a comma)."""
    id_words, label_words = ids.to_pylist(), labels.to_pylist()
    for index in quoted:
        try:
            id_words[index], *words = next(csv.reader([lines[index].as_py()], strict=True))
        except csv.Error as problem:
            raise UserError(
                f"a quote that is not closed, or with text behind it ({problem})",
                file=file,
                line=int(numbers[index]),
                expected='a path with a comma in double quotes: "a,b.mp4",3',
            ) from None
        label_words[index] = ",".join(words)
    return pa.array(id_words, pa.string()), pa.array(label_words, pa.string())
