"""Lists for other kits, written: a line a clip, and the names of the classes beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinkit.data.export.clips import ClipsToList, ListedClip
from tinkit.data.export.formats import ListFormat
from tinkit.errors import UserError
from tinkit.files.atomic import check_place
from tinkit.files.group import file_group, recover, writing_in
from tinkit.files.system_errors import read_errors, write_errors


@dataclass(frozen=True)
class ListOptions:
    """How lines are written: the prefix of paths (None: relative to the data set), separator, and placeholder label."""

    prefix: Path | None = None
    delimiter: str = " "
    placeholder: int | None = None


def list_texts(form: ListFormat, splits: Sequence[ClipsToList], options: ListOptions) -> dict[str, str]:
    """The text of every split's list by the name of its file.

    Raises :class:`~tinkit.errors.UserError` for what the kit could not read: segments, spaces in paths, labels.
    """
    offset = needs_offset(form, splits)
    return {
        form.file.format(split=one.split): "".join(_line(form, clip, options, offset=offset) for clip in one.clips)
        for one in splits
    }


def needs_offset(form: ListFormat, splits: Sequence[ClipsToList]) -> bool:
    """Whether a clip is a segment that does not begin with its video: then every line says where it begins.

    Raises :class:`~tinkit.errors.UserError` where the kit cannot read segments.
    """
    clips = [clip for one in splits for clip in one.clips]
    lost = next((clip for clip in clips if clip.segment and not form.offset and (clip.start or not form.frames)), None)
    if lost is not None:
        raise UserError(
            f"{lost.path} is a segment from frame {lost.start} on, which lists of {form.title} cannot say",
            fix="cut the videos into clips, or write them as folders of images and use --format mmaction2",
        )
    return any(clip.start for clip in clips)


def write_lists(folder: Path, texts: dict[str, str], form: ListFormat, classes: Sequence[str], *, force: bool) -> None:
    """Write the lists, and the names of the classes, into ``folder``: all of them or none.

    Raises :class:`~tinkit.errors.UserError` where a file with other content is there already, unless ``force``.
    """
    files = {form.classes: "".join(f"{name}\n" for name in classes)} | texts
    with write_errors(folder, "name another folder with --out"):
        folder.mkdir(parents=True, exist_ok=True)
    with writing_in(folder, *(folder / name for name in files)):
        recover(folder / form.classes)
        for name, text in files.items():
            check_place(folder / name)
            if not force and _differs(folder / name, text):
                raise UserError("exists already, with other content", file=folder / name, fix="--force to replace it")
        with file_group(folder / form.classes) as group:
            for name, text in files.items():
                group.place(name).write_text(text, encoding="utf-8", newline="")


def _differs(file: Path, text: str) -> bool:
    with read_errors(file):
        return file.exists() and file.read_bytes() != text.encode()


def _line(form: ListFormat, clip: ListedClip, options: ListOptions, *, offset: bool) -> str:
    path = clip.path if options.prefix is None else (options.prefix / clip.path).as_posix()
    _check_path(form, path, options.delimiter)
    fields = [path]
    if offset:
        fields.append(str(clip.start))
    if form.frames:
        if clip.frames is None:  # the caller has its clips opened before
            raise ValueError(f"the frames of {clip.path} are not known")
        fields.append(str(clip.frames))
    labels = [str(label) for label in _labels(form, clip, options.placeholder)]
    fields += labels if form.between_labels is None else [form.between_labels.join(labels)]
    return options.delimiter.join(fields) + "\n"


def _labels(form: ListFormat, clip: ListedClip, placeholder: int | None) -> tuple[int, ...]:
    if clip.labels is None:
        if placeholder is None:
            raise UserError(
                f"the labels of {clip.path} are not known", fix="--placeholder N writes N in place of unknown labels"
            )
        return (placeholder,)
    if len(clip.labels) > 1 and not form.several:
        raise UserError(
            f"{clip.path} has {len(clip.labels)} labels, and lists of {form.title} hold one a clip",
            fix="use --format tsn or mmaction2",
        )
    if not clip.labels and not form.none:
        raise UserError(
            f"{clip.path} has no label, which lists of {form.title} cannot say", fix="leave it out of the annotation"
        )
    return clip.labels


def _check_path(form: ListFormat, path: str, delimiter: str) -> None:
    """Refuse a path that the kit would cut in two."""
    if delimiter != " ":
        if delimiter in path or path != path.strip():
            raise UserError(
                f"the path {path!r} cannot stand before the separator {delimiter!r}", fix="use another --delimiter"
            )
    elif re.search(r"\s", path):
        fix = (
            "rename it"
            if form.delimiter_key is None
            else f"--delimiter , or another character that no path holds; the kit's {form.delimiter_key} says it too"
        )
        raise UserError(f"the path {path!r} holds a space, at which {form.title} would cut it", fix=fix)
