"""Charades: a csv with a header; a video has any number of actions, each with its times, or none."""

from __future__ import annotations

import re

import pyarrow as pa

from tinkit.data.layouts.csv_table import read_columns
from tinkit.data.layouts.layout import AnnotationFile
from tinkit.data.layouts.rows import Rows

_ACTION = re.compile(r"^c(?P<number>\d{3})(?: \S+ \S+)?$")


def read_charades(annotation: AnnotationFile) -> Rows:
    """The rows of an official csv; the labels are the numbers of the actions, counted from 0, each kept once.

    Their times are left out: the challenge of classification asks what happens in a video. A video without actions is
    kept, and needs ``data.negatives``.
    """
    lines, columns = read_columns(annotation.path, ("id",), ("actions", "subject"))
    ids = pa.array(columns["id"], pa.string())
    suffix = "" if annotation.media == "frames" else ".mp4"
    rows = Rows(
        file=annotation.path,
        lines=lines,
        ids=ids,
        paths=pa.array([name + suffix for name in columns["id"]], pa.string()),
        labels=None,
    )
    labels = None
    if "actions" in columns:
        labels = pa.array([_numbers(rows, i, text) for i, text in enumerate(columns["actions"])], pa.list_(pa.string()))
    return Rows(rows.file, rows.lines, rows.ids, rows.paths, labels)


def _numbers(rows: Rows, index: int, text: str) -> list[str]:
    numbers = []
    for word in filter(None, (part.strip() for part in text.split(";"))):
        action = _ACTION.match(word)
        if action is None:
            raise rows.fail(index, f"{word!r} is not an action", expected="such as c092 11.90 21.20")
        numbers.append(str(int(action["number"])))
    return numbers
