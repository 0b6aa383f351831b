"""Kinetics-400, -600 and -700: csv files with a header, and clips called ``ID_START_END`` in one of several ways.

The annotation names a video of YouTube's and two times. Copies of the set differ in where the clip lies (a folder a
split, a folder a class, or both) and in whether the times have six digits. So the folders are listed once, and a row
takes the file that is its own. What CVDF offers in place of damaged clips of Kinetics-400 goes before.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from tinkit.data.layouts.csv_table import read_columns
from tinkit.data.layouts.layout import AnnotationFile, Split
from tinkit.data.layouts.on_disk import clips_in, first_folder
from tinkit.data.layouts.rows import Rows
from tinkit.errors import UserError
from tinkit.files.class_names import ClassNames

_FOLDERS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "videos_train", "rawframes_train", "train_256", "compress/train_256"),
    "val": ("val", "videos_val", "rawframes_val", "val_256", "compress/val_256", "validate"),
    "test": ("test", "videos_test", "rawframes_test", "test_256"),
}
_SPLITS: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
}
_REPLACEMENT = "replacement"  # CVDF's archive holds one more folder
_ID_LENGTH = 11
_NAME = re.compile(r"^(?P<id>.{11})_(?P<start>\d+)_(?P<end>\d+)$")  # ids may hold `_` themselves

Clip = tuple[str, int]  # the video's id and the second that the clip begins at


def read_kinetics(annotation: AnnotationFile) -> Rows:
    """The rows of an official csv; the id is the video's at YouTube, which has one clip a set.

    A row whose clip is not there gets the name that the official script gives it, and is found missing.
    """
    lines, columns = read_columns(annotation.path, ("youtube_id", "time_start", "time_end"), ("label", "split"))
    lines, columns, others = _of_split(annotation, lines, columns)
    ids = columns["youtube_id"]
    rows = Rows(
        file=annotation.path,
        lines=lines,
        ids=pa.array(ids, pa.string()),
        paths=pa.nulls(len(ids), pa.string()),
        labels=_labels(columns.get("label"), len(ids)),
        source=pa.array(ids, pa.string()),
    )
    folder = first_folder(annotation.media_root, _FOLDERS[annotation.split])
    images = annotation.media == "frames"
    found = {_clip_of(name): path for name, path in clips_in(annotation.media_root, folder, folders_of_images=images)}
    replaced = {
        name[:_ID_LENGTH]: path
        for name, path in clips_in(annotation.media_root, _REPLACEMENT, folders_of_images=images)
        if not images
    }
    paths = []
    for index, (video, start, end) in enumerate(zip(ids, columns["time_start"], columns["time_end"], strict=True)):
        first, last = _seconds(rows, index, start), _seconds(rows, index, end)
        expected = f"{folder}/{video}_{first:06d}_{last:06d}" + ("" if images else ".mp4")
        paths.append(replaced.get(video) or found.get((video, first)) or found.get((video, -1)) or expected)
    notes = others + _unlisted(
        {path for key, path in found.items() if key[0] not in replaced} - set(paths), folder, rows.file
    )
    return replace(rows, paths=pa.array(paths, pa.string()), notes=notes)


def _unlisted(files: set[str], folder: str, annotation: Path) -> tuple[str, ...]:
    """CVDF's csv of Kinetics-600 lack half of the clips; what its lists that end in .txt hold is not known here."""
    if not files:
        return ()
    return (
        f"{len(files)} clips in {folder} are in no row of {annotation.name}, such as {min(files)}: they are not used; "
        "if many are, the csv is not the whole list (CVDF's of Kinetics-600 is not, and its .txt lists are not read)",
    )


def _of_split(
    annotation: AnnotationFile, lines: np.ndarray, columns: dict[str, list[str]]
) -> tuple[np.ndarray, dict[str, list[str]], tuple[str, ...]]:
    """The rows of the annotation's split, and a note on those of others: some lists hold all splits."""
    words = columns.get("split", [])
    kept = [at for at, word in enumerate(words) if _SPLITS.get(word.lower(), annotation.split) == annotation.split]
    if len(kept) == len(words):
        return lines, columns, ()
    if not kept:
        raise UserError(
            f"no row is of split {annotation.split!r}",
            file=annotation.path,
            expected=f"rows whose column 'split' says {' or '.join(_words_for(annotation.split))}",
        )
    chosen = {name: [column[at] for at in kept] for name, column in columns.items()}
    return lines[kept], chosen, (f"{len(words) - len(kept)} rows of {annotation.path.name} are of other splits",)


def _words_for(split: Split) -> list[str]:
    return [word for word, meant in _SPLITS.items() if meant == split]


def kinetics_classes(file: Path) -> ClassNames:
    """The classes of an official csv, in alphabetical order: the set has no file of them."""
    _, columns = read_columns(file, ("label",))
    return ClassNames(tuple(sorted(set(columns["label"]) - {""})))


def _labels(words: list[str] | None, count: int) -> pa.Array:
    return pa.array([[word] if word else [] for word in words or [""] * count], pa.list_(pa.string()))


def _clip_of(name: str) -> Clip:
    """The video and the start that a file's name says; -1 where it says the video alone."""
    parts = _NAME.match(name)
    return (parts["id"], int(parts["start"])) if parts else (name, -1)


def _seconds(rows: Rows, index: int, word: str) -> int:
    try:
        return int(float(word))
    except ValueError:
        raise rows.fail(index, f"{word!r} is not a time", expected="seconds from the start of the video") from None
    except OverflowError:
        raise rows.fail(index, f"{word!r} is not a time", expected="a finite number of seconds") from None
