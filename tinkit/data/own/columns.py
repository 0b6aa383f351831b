"""Clips out of any csv: which column holds the paths, which the labels, is guessed from what the cells hold, and told.

The column of paths is the one whose cells are files. That of labels has a telling name, or the fewest different values;
several columns of 0 and 1 are a class each.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinkit.data.layouts.on_disk import VIDEO_SUFFIXES
from tinkit.data.own.clips import SPLIT_WORDS, OwnClip, OwnClips, can_be_written, with_sources
from tinkit.data.own.found import IMAGE_SUFFIXES, clips_at, image_folders, media_of
from tinkit.errors import UserError, did_you_mean
from tinkit.files.text import check_lines, read_text

_LABEL_WORDS = ("labels", "label", "class", "classes", "category", "categories", "action", "actions", "tag", "tags")
_SOURCE_WORDS = ("source", "group", "session", "subject", "person", "original", "video_id")
_SEPARATORS = re.compile(r"\s*[;|]\s*")


@dataclass(frozen=True)
class Columns:
    """Which columns hold what, by name, or by number from 1 where the file has no header."""

    path: str | None = None
    label: str | None = None
    split: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class _Sheet:
    """A csv: names of columns, rows, and whether the first line was a header."""

    file: Path
    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    header: bool

    def column(self, name: str) -> list[str]:
        at = self.names.index(name)
        return [row[at] for row in self.rows]


def clips_in_csv(file: Path, root: Path, said: Columns) -> tuple[OwnClips, str]:
    """The clips that a csv names, below ``root``, and in words how it was read.

    ``said`` are the columns that the user has named; the others are guessed. Raises
    :class:`~tinkit.errors.UserError` where no column holds files, or none can be the labels.
    """
    sheet = _open(file, root)
    paths = _named(sheet, said.path) or _path_column(sheet, root)
    rest = [name for name in sheet.names if name != paths]
    split = _named(sheet, said.split) or next((name for name in rest if _is_split(sheet.column(name))), None)
    source = _named(sheet, said.source) or next((name for name in rest if name.lower() in _SOURCE_WORDS), None)
    if split is not None:
        _check_splits(sheet, split)
    rest = [name for name in rest if name not in (split, source)]
    labels, how = _labels(sheet, _named(sheet, said.label), rest)
    one_column = how.startswith(("'", '"'))  # an empty cell is a label that is lacking; zeros in all columns are not
    found = {name: _clips_at(root, name) for name in sheet.column(paths)}
    lost = [name for name, there in found.items() if not there]
    clips = [
        OwnClip(
            path,
            words,
            f"{source}={row_source}" if source and row_source else name if len(found[name]) > 1 else "",
            SPLIT_WORDS[row_split.lower()] if split else None,
        )
        for name, words, row_source, row_split in zip(
            sheet.column(paths),
            labels,
            sheet.column(source) if source else [""] * len(labels),
            sheet.column(split) if split else [""] * len(labels),
            strict=True,
        )
        if words or not one_column
        for path in found[name]
    ]
    if not clips:
        problem = (
            f"none of the files in the column {paths!r} is there, such as {lost[0]}" if lost else "no clip is labelled"
        )
        raise UserError(problem, file=file, fix=_WHERE)
    words = f"paths in {paths!r}, labels in {how}"
    words += f", split in {split!r}" if split else ""
    words += f", source in {source!r}" if source else ""
    skipped = [f"{len(lost)} clips that are not there, such as {lost[0]}"] if lost else []
    empty = sum(not row for row in labels) if one_column else 0
    skipped += [f"{empty} rows without a label"] if empty else []
    once = list(dict.fromkeys(clips))
    skipped += [f"{len(clips) - len(once)} rows that repeat others"] if len(once) < len(clips) else []
    _check_once(once, file)
    several = sum(len(there) > 1 for there in found.values())
    words += f"; {several} of the paths are folders of several clips" if several else ""
    return _of_one_kind(root, once, skipped, file), words


def _of_one_kind(root: Path, clips: Sequence[OwnClip], skipped: Sequence[str], file: Path) -> OwnClips:
    """The clips, all of them videos or all of them folders of images that are called alike."""
    if media_of([root / clip.path for clip in clips], file) == "video":
        return OwnClips(root, with_sources(clips), skipped=tuple(skipped))
    images = (root / clip.path / name for clip in clips for name in os.listdir(root / clip.path))  # noqa: PTH208
    found = image_folders(image for image in images if image.suffix.lower() in IMAGE_SUFFIXES)
    kept = {folder.relative_to(root).as_posix() for folder in found.folders}
    clips = with_sources(clip for clip in clips if clip.path in kept)
    return OwnClips(root, clips, "frames", found.template, (*skipped, *found.skipped))


_WHERE = "name the folder of the videos with --clips FOLDER, and the column of paths with --path-column NAME"


def _open(file: Path, root: Path) -> _Sheet:
    text = check_lines(read_text(file), file)
    for delimiter in ",;\t|":
        try:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
            rows = [(reader.line_num, tuple(cell.strip() for cell in row)) for row in reader if any(row)]
        except csv.Error:
            continue
        if len(rows) > 1 and len(rows[0][1]) > 1 and len({len(row) for _, row in rows}) == 1:
            break
    else:
        raise UserError("not a table", file=file, expected="a csv of two columns or more, a clip a row")
    first = rows[0][1]
    header = not any(_names_clip(root, cell) for cell in first) and len(set(first)) == len(first)
    names = first if header else tuple(str(number) for number in range(1, len(first) + 1))
    kept = rows[1:] if header else rows
    return _Sheet(file, names, tuple(row for _, row in kept), tuple(line for line, _ in kept), header)


def _named(sheet: _Sheet, name: str | None) -> str | None:
    if name is not None and name not in sheet.names:
        kind = "columns" if sheet.header else "columns by number, since the first line is a clip"
        raise UserError(
            f"no column {name!r}{did_you_mean(name, sheet.names)}",
            file=sheet.file,
            expected=f"one of the {kind}: {', '.join(sheet.names)}",
        )
    return name


def _path_column(sheet: _Sheet, root: Path) -> str:
    """The column whose cells are files, most of them; else folders, the most different ones: not those of classes."""
    few = range(0, len(sheet.rows), max(1, len(sheet.rows) // 200))
    cells = {name: [_on_disk(root, sheet.column(name)[at]) for at in few] for name in sheet.names}
    files = {name: sum(path is not None and (root / path).is_file() for path in cells[name]) for name in cells}
    folders = {name: (len(few) - cells[name].count(None), len(set(cells[name]))) for name in cells}
    best = max(cells, key=lambda name: (files[name], *folders[name]))
    if not folders[best][0]:
        raise UserError(f"no column names files below {root}", file=sheet.file, fix=_WHERE)
    return best


def _on_disk(root: Path, name: str) -> str | None:
    """The path of a file or folder relative to ``root``: as it is written, or with a video's suffix added."""
    if not name or not can_be_written(name) or len(name) > 1000:
        return None
    given = Path(name)
    if given.is_absolute():
        if not given.is_relative_to(root):
            return None
        given = given.relative_to(root)
    if ".." in given.parts:
        return None
    for path in (given, *(given.with_name(given.name + suffix) for suffix in sorted(VIDEO_SUFFIXES))):
        place = root / path  # which may be too long for any file: Path's own questions raise then
        if os.path.isfile(place) or (path == given != Path() and os.path.isdir(place)):  # noqa: PTH112, PTH113
            return path.as_posix()
    return None


def _clips_at(root: Path, name: str) -> list[str]:
    """The clips that a cell names, relative to ``root``: one, those of a folder, or none."""
    path = _on_disk(root, name)
    found = [] if path is None else [place.relative_to(root).as_posix() for place in clips_at(root / path)]
    return [place for place in found if can_be_written(place)]


def _names_clip(root: Path, cell: str) -> bool:
    """Whether a cell is a clip, not the name of a column that a folder of clips is called as."""
    path = _on_disk(root, cell)
    return path is not None and (root / path in clips_at(root / path))


def _check_splits(sheet: _Sheet, split: str) -> None:
    for line, cell in zip(sheet.lines, sheet.column(split), strict=True):
        if cell.lower() not in SPLIT_WORDS:
            raise UserError(
                f"{cell!r} is not a split{did_you_mean(cell, tuple(SPLIT_WORDS))}",
                file=sheet.file,
                line=line,
                expected="train, val or test",
            )


def _check_once(clips: Sequence[OwnClip], file: Path) -> None:
    """Refuse a clip of which two rows say different things."""
    doubled = next((path for path, count in Counter(clip.path for clip in clips).items() if count > 1), None)
    if doubled is not None:
        raise UserError(
            f"{doubled} is in several rows, which say different things",
            file=file,
            fix="write all labels of a clip into one row, between semicolons",
        )


def _is_split(cells: list[str]) -> bool:
    return all(cell.lower() in SPLIT_WORDS for cell in cells)


def _labels(sheet: _Sheet, said: str | None, rest: Sequence[str]) -> tuple[list[tuple[str, ...]], str]:
    """The labels of every row, and in words where they were found."""
    marks = [name for name in rest if sheet.header and set(sheet.column(name)) <= {"0", "1", "0.0", "1.0"}]
    telling = [name for word in _LABEL_WORDS for name in rest if name.lower() == word]
    if said is None and not telling and len(marks) > 1:
        table = zip(*(sheet.column(name) for name in marks), strict=True)
        words = [tuple(name for name, cell in zip(marks, row, strict=True) if float(cell)) for row in table]
        return words, f"{len(marks)} columns of 0 and 1, {marks[0]!r} to {marks[-1]!r}"
    kinds = {name: len(set(sheet.column(name))) for name in rest}
    few = [name for name in rest if 1 < kinds[name] <= max(2, len(sheet.rows) // 2)]
    chosen = said or next(iter(telling), None) or min(few, key=lambda name: kinds[name], default=None)
    if chosen is None:
        raise UserError("no column can be the labels", file=sheet.file, fix="name it with --label-column NAME")
    return [tuple(filter(None, _SEPARATORS.split(cell))) for cell in sheet.column(chosen)], repr(chosen)
