"""EPIC-Kitchens-100: segments of long videos, each with a verb and a noun, which are two data sets to train on."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

from tinkit.data.layouts.csv_table import read_columns
from tinkit.data.layouts.layout import AnnotationFile
from tinkit.data.layouts.on_disk import first_folder
from tinkit.data.layouts.rows import Rows

_NEEDED = ("narration_id", "participant_id", "video_id", "start_frame", "stop_frame")


def read_verbs(annotation: AnnotationFile) -> Rows:
    """The rows of an official csv, labelled with their verbs; the id is the narration's."""
    return _read(annotation, "verb_class")


def read_nouns(annotation: AnnotationFile) -> Rows:
    """As :func:`read_verbs`, labelled with the nouns."""
    return _read(annotation, "noun_class")


def _read(annotation: AnnotationFile, column: Literal["verb_class", "noun_class"]) -> Rows:
    lines, columns = read_columns(annotation.path, _NEEDED, (column,))
    ids = pa.array(columns["narration_id"], pa.string())
    rows = Rows(annotation.path, lines, ids, ids, None)
    starts, stops = (_frames(rows, columns[name]) for name in ("start_frame", "stop_frame"))
    for index, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        if not 1 <= start <= stop:
            raise rows.fail(
                index, f"frames {start} to {stop}", expected="a first frame from 1 on, and a later last one"
            )
    inner = {"frames": "rgb_frames", "video": "videos"}[annotation.media]
    suffix = {"frames": "", "video": ".MP4"}[annotation.media]
    people, videos = columns["participant_id"], columns["video_id"]
    top = first_folder(annotation.media_root, (people[0], f"EPIC-KITCHENS/{people[0]}"))
    above = top.removesuffix(people[0])
    paths = [f"{above}{person}/{inner}/{video}{suffix}" for person, video in zip(people, videos, strict=True)]
    labels = [[word] if word else [] for word in columns.get(column, [""] * len(ids))]
    return Rows(
        annotation.path,
        lines,
        ids,
        pa.array(paths, pa.string()),
        pa.array(labels, pa.list_(pa.string())),
        stated=pa.array([stop - start + 1 for start, stop in zip(starts, stops, strict=True)], pa.int32()),
        start=pa.array([start - 1 for start in starts], pa.int32()),
        source=pa.array(videos, pa.string()),
    )


def _frames(rows: Rows, words: list[str]) -> list[int]:
    numbers = []
    for index, word in enumerate(words):
        if not (word.isascii() and word.isdigit() and len(word) < 10):
            raise rows.fail(index, f"{word!r} is not the number of a frame", expected="a whole number from 1 on")
        numbers.append(int(word))
    return numbers
