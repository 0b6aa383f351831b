"""What a key takes, in words: its type, its range or its choices, and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from tinkit.table import tables_in

_PLAIN = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    Any: "a value",
}


def expected(field: FieldInfo) -> str:
    """A key's type and range, then its description: ``a number above 0. The learning rate ...``."""
    words = _words(field.annotation, field.metadata)
    meaning = meaning_of(field)
    return f"{words}. {meaning}" if meaning else words


def meaning_of(field: FieldInfo) -> str:
    """A key's description on one line, or that of its table; empty if it has none."""
    text = field.description
    if text is None and (tables := tables_in(field.annotation)):
        text = (tables[0].__doc__ or "").partition("\n\n")[0]
    return " ".join((text or "").replace("``", "`").split())


def is_choice_of_types(field: FieldInfo) -> bool:
    """Whether a key takes values of several types, None apart."""
    return len(_branches(field.annotation)) > 1


def _branches(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, UnionType):
        return [branch for branch in get_args(annotation) if branch is not NoneType]
    return [annotation]


def _words(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = [
            part for found in arguments[1:] for part in (found.metadata if isinstance(found, FieldInfo) else [found])
        ]
        return _words(arguments[0], [*metadata, *inner])
    if origin in (Union, UnionType):
        return " or ".join(_words(branch, metadata) for branch in _branches(annotation))
    if origin is Literal:
        return f"one of: {', '.join(map(str, arguments))}" if len(arguments) > 1 else str(arguments[0])
    if origin in (tuple, list):
        return _list_words(arguments, metadata)
    if origin is dict:
        return f"a table of names, to each {_words(arguments[1])}"
    if tables_in(annotation):
        return "a table"
    if annotation is str and _limit(metadata, "max_length") == 1:
        return "one character"
    return _PLAIN.get(annotation, "a value") + _range(metadata)


def _list_words(items: Sequence[Any], metadata: Sequence[Any]) -> str:
    """A list of any length, or one of as many items as there are types."""
    if len(items) > 1 and items[-1] is not Ellipsis:
        words = [_words(item) for item in items]
        many = "a pair" if len(items) == 2 else f"{len(items)} values"
        return f"{many} in brackets" + (f", each {words[0]}" if len(set(words)) == 1 else f": {', '.join(words)}")
    least = "a list" if not _limit(metadata, "min_length") else "a list that is not empty"
    return f"{least}, each item {_words(items[0])}"


def _range(metadata: Sequence[Any]) -> str:
    """`` above 0 and below 1``; empty without bounds."""
    least, most = _limit(metadata, "ge"), _limit(metadata, "le")
    if least is not None and most is not None:
        return f" from {least} to {most}"
    bounds = {"above": _limit(metadata, "gt"), "at least": least, "below": _limit(metadata, "lt"), "at most": most}
    found = [f"{word} {limit}" for word, limit in bounds.items() if limit is not None]
    if found == [f"at least {least}"]:
        return f", {least} or more"
    return f" {' and '.join(found)}" if found else ""


def _limit(metadata: Sequence[Any], name: str) -> Any:
    return next((value for part in metadata if (value := getattr(part, name, None)) is not None), None)
