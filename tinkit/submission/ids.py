"""The list of test clips, from whatever the user has of it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from tinkit.errors import UserError
from tinkit.files.hashes import sha256_file
from tinkit.files.json import parse_json
from tinkit.files.text import is_text, read_text
from tinkit.submission.text import open_list, read_lines, require_file, split_row
from tinkit.submission.truth import is_truth, read_truth

VIDEOS = frozenset({".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp"})
_IMAGES = frozenset({".jpg", ".jpeg", ".png"})
_HEADERS = frozenset({"id", "clip", "clip_id", "file", "filename", "file_name", "name", "path", "video", "video_id"})
_NUMBERS = re.compile(r"-?\d+(,-?\d+)*")  # a count of frames, a label (-1: unknown) or several labels
_MAX_JSON = 512 << 20


@dataclass(frozen=True)
class IdList:
    """The test clips: ``ids`` in order, ``lines`` (from 1) where each was read, and in words the ``form`` it was in.

    ``folder``: the list is a listing, whose names follow the layout of the files. ``ordered``: its order is the
    official one.
    """

    path: Path
    form: str
    ids: tuple[str, ...]
    lines: tuple[int, ...]
    folder: bool = False
    ordered: bool = True

    def sha256(self) -> str:
        """The hash of the file, or of a folder's listing, one relative path a line."""
        if self.folder:
            return hashlib.sha256("".join(f"{name}\n" for name in self.ids).encode()).hexdigest()
        return sha256_file(self.path)


def read_ids(path: Path, split: str | None = None) -> IdList:
    """The test clips that ``path`` lists.

    An official csv (``path[,labels]``, or ``id[;label]``), an official json (a list of ``{"id": ...}`` or of texts), a
    text file (an id a line, or ``path frames labels`` in every line), or a folder (its videos, else its folders of
    images); of a ground truth (:mod:`tinkit.submission.truth`) the videos of ``split``. A header and the spaces around
    an id are passed over. Raises :class:`~tinkit.errors.UserError` for an empty or unreadable list and for an id that
    is there twice.
    """
    if path.is_dir():
        return _from_folder(path)
    require_file(path)
    with path.open("rb") as handle:
        start = handle.read(8)
    if start.startswith((b"ARROW1", b"PK\x03\x04")):
        raise UserError("is not a list of clips", file=path, expected="a csv, json or text file of ids, or a folder")
    with open_list(path) as handle:
        start = handle.read(4096)
    if path.suffix.lower() == ".json" or start.lstrip()[:1] in (b"[", b"{"):
        form, ids, lines = _from_json(path, split)
    elif path.suffix.lower() == ".csv":
        form, ids, lines = _from_csv(path)
    else:
        form, ids, lines = _from_text(path)
    if not ids:
        raise UserError("lists no clip", file=path, expected="an id a line, an official csv or json, or a folder")
    if unsound := next((name for name in ids if not is_text(name)), None):
        raise UserError(f"the id {unsound!r} is not text", file=path)
    _refuse_doubled(path, ids, lines, "entry" if form.startswith("json") else "line")
    return IdList(path, form, tuple(ids), tuple(lines))


def _from_json(path: Path, split: str | None) -> tuple[str, list[str], list[int]]:
    if path.stat().st_size > _MAX_JSON:
        raise UserError(f"larger than {_MAX_JSON >> 20} MiB", file=path, expected="a list of test clips")
    expected = 'a list of {"id": "78687"}, as the official test file, or of texts; or {"database": {ID: ...}}'
    content = parse_json(read_text(path), expected, path)
    if is_truth(content):
        truth = read_truth(path, split)
        return f"json: the videos of the subset {truth.subset}", list(truth.ids), list(range(1, len(truth.ids) + 1))
    if not isinstance(content, list):
        raise UserError("holds no list of clips", file=path, expected=expected)
    entries = [entry.get("id") if isinstance(entry, dict) else entry for entry in content]
    for number, entry in enumerate(entries, 1):
        if isinstance(entry, bool) or not isinstance(entry, str | int) or entry == "":
            raise UserError(f"entry {number} has no id", file=path, expected=expected)
    form = 'json: a list of {"id": ...}' if content and isinstance(content[0], dict) else "json: a list of ids"
    return form, [str(entry) for entry in entries], list(range(1, len(entries) + 1))


def _from_csv(path: Path) -> tuple[str, list[str], list[int]]:
    with open_list(path) as handle:
        first = next((line for _, line in read_lines(handle, path) if line), "")
    delimiter = ";" if ";" in first else ","
    ids, lines = _columns(path, delimiter)
    form = f"csv: what stands before the first {delimiter!r} of a line" if delimiter in first else "csv: an id a line"
    if ids and ids[0].lower() in _HEADERS:
        return f"{form}, header skipped", ids[1:], lines[1:]
    return form, ids, lines


def _from_text(path: Path) -> tuple[str, list[str], list[int]]:
    """An id a line, spaces in it too; unless numbers end every line, as in the lists of TSN and its descendants."""
    ids, lines = _columns(path, None)
    skip = bool(ids) and ids[0].split()[0].lower() in _HEADERS
    # Up to the first line that no number ends: most lists are none of paths, frames and labels.
    paths = list(takewhile(lambda name: name is not None, map(_before_numbers, ids[skip:])))
    if paths and len(paths) == len(ids) - skip:
        form, listed = "list: path frames labels", [name for name in paths if name is not None]
    else:
        skip = bool(ids) and ids[0].lower() in _HEADERS
        form, listed = "text: an id a line", ids[1:] if skip else ids
    return (f"{form}, header skipped", listed, lines[1:]) if skip else (form, listed, lines)


def _before_numbers(line: str) -> str | None:
    """What stands before the numbers that end ``line``; None where none do."""
    words = line.split()
    count = next((i for i, word in enumerate(reversed(words[1:])) if not _NUMBERS.fullmatch(word)), len(words) - 1)
    return line.rsplit(maxsplit=count)[0] if count else None


def _columns(path: Path, delimiter: str | None) -> tuple[list[str], list[int]]:
    """The first field of each line that is not blank (the whole line without a delimiter), and the lines."""
    ids: list[str] = []
    lines: list[int] = []
    with open_list(path) as handle:
        for number, line in read_lines(handle, path):
            if not line.strip():
                continue
            try:
                name = line if delimiter is None else split_row(line, delimiter, "csv")[0]
            except ValueError as error:
                raise UserError(str(error), file=path, line=number, expected="a csv row") from error
            name = name.lstrip("\ufeff").strip()  # a mark in the middle: files were put one after the other
            if not name:
                raise UserError("a row without an id", file=path, line=number)
            ids.append(name)
            lines.append(number)
    return ids, lines


def _refuse_doubled(path: Path, ids: Sequence[str], places: Sequence[int], word: str) -> None:
    seen: dict[str, int] = {}
    for name, place in zip(ids, places, strict=True):
        if name in seen:
            raise UserError(
                f"{name!r} is listed twice, in {word} {seen[name]} and in {word} {place}",
                file=path,
                line=place if word == "line" else None,
                fix="take one of the two out",
            )
        seen[name] = place


def _from_folder(path: Path) -> IdList:
    """Videos below ``path`` as relative paths, or, where there are none, the folders that hold images."""
    videos: list[str] = []
    frames: list[str] = []
    try:
        for name, kind in _walk(path, ""):
            (videos if kind == "video" else frames).append(name)
    except OSError as error:
        raise UserError(f"cannot be listed: {error.strerror}", file=error.filename or path) from error
    ids = sorted(videos or frames)
    if not ids:
        raise UserError(
            "holds neither videos nor folders of images",
            file=path,
            expected=f"files ending in {', '.join(sorted(VIDEOS))}",
        )
    form = f"folder: its {len(ids)} videos" if videos else f"folder: its {len(ids)} folders of images"
    if unsound := next((name for name in ids if not is_text(name)), None):
        raise UserError(f"holds the file {unsound!r}, whose name is not text", file=path, fix="rename it")
    return IdList(path, form, tuple(ids), tuple(range(1, len(ids) + 1)), folder=True, ordered=False)


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, str]]:
    """Each video and each folder of images below; hidden names and linked folders are passed over."""
    has_images = False
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
                continue
            suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - a Path for each of millions is slow
            if suffix in VIDEOS:
                yield f"{prefix}{entry.name}", "video"
            has_images |= suffix in _IMAGES
    if has_images and prefix:
        yield prefix[:-1], "frames"
