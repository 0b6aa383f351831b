"""What clips, classes and columns are called in a file, and that each can stand there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tinkit.errors import UserError
from tinkit.files.text import is_text
from tinkit.submission.spec import Challenge
from tinkit.submission.text import field_text


def file_names(clips: Sequence[str], challenge: Challenge) -> list[str]:
    """What the file calls each clip, unquoted.

    Raises :class:`~tinkit.errors.UserError` for names that collide or cannot be written.
    """
    names: list[str] = []
    clip_of: dict[str, str] = {}
    for clip in clips:
        name = challenge.file_name(clip)
        if name in clip_of:
            raise UserError(
                f"{clip_of[name]!r} and {clip!r} would both be called {name!r}",
                fix=f'a challenge file with `filename = "id"`; it has {challenge.filename!r}',
            )
        clip_of[name] = clip
        try:
            quoted(name, challenge)
        except ValueError as error:
            raise UserError(f"the clip {clip!r} cannot be written: {error}") from error
        names.append(name)
    return names


def label_texts(classes: Sequence[str], challenge: Challenge, path: Path | None) -> list[str]:
    """Every class's label, unquoted; ``path`` is the file that the classes are of.

    Raises :class:`~tinkit.errors.UserError` for labels that cannot be told apart or cannot be written.
    """
    if challenge.labels == "index":
        return [str(index + challenge.first_index) for index in range(len(classes))]
    seen: dict[str, int] = {}
    for index, label in enumerate(classes):
        try:
            quoted(label, challenge)
            if challenge.rows == "pairs" and challenge.syntax == "text" and challenge.pair_delimiter in label:
                raise ValueError(f"{label!r} holds {challenge.pair_delimiter!r}, which parts labels and scores")
        except ValueError as error:
            raise UserError(f"class {index}: {error}", file=path, fix="correct the category file") from error
        if label in seen:
            raise UserError(f"classes {seen[label]} and {index} are both called {label!r}", file=path)
        seen[label] = index
    return list(classes)


def header_line(challenge: Challenge, classes: tuple[str, ...]) -> str:
    """The line that names the columns; empty where the challenge has none.

    Raises :class:`~tinkit.errors.UserError` for names that cannot stand there, and for another number of names.
    """
    if not challenge.header or challenge.syntax == "json":
        return ""
    row = challenge.header_row(len(classes), classes)
    if len(row) != 1 + challenge.width_of(len(classes)):
        raise UserError(
            f"the challenge names {len(row) - 1} columns, and there are {challenge.width_of(len(classes))}",
            fix="change `columns`",
        )
    try:
        names = [quoted(name, challenge) for name in row]
    except ValueError as error:
        raise UserError(f"the header cannot be written: {error}", fix="change `id_column` or `columns`") from error
    if len(set(row)) < len(row):
        raise UserError("the header would name two columns alike", fix="change `id_column` or `columns`")
    return challenge.delimiter.join(names) + "\n"


def quoted(value: str, challenge: Challenge) -> str:
    """``value`` as it stands in a row of text; in JSON as it is. Raises :class:`ValueError` where it cannot."""
    if challenge.syntax == "text":
        return field_text(value, challenge.delimiter, challenge.quoting)
    if not value:
        raise ValueError("an empty text")
    if not is_text(value):
        raise ValueError(f"{value!r} is not text")
    return value
