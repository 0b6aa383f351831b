"""What a score file says of itself: the JSON in its metadata, which any program may have written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import get_args

from tinkit.errors import UserError
from tinkit.files.json import parse_json
from tinkit.metrics import Task
from tinkit.scores.numbers import is_positive
from tinkit.scores.table import VERSION, Kind, ScoreInfo

REWRITE = "write it again with `tinkit test`, or import foreign scores with `tinkit scores import`"


def info_text(info: ScoreInfo) -> str:
    """``info`` as the JSON that stands in a file."""
    return json.dumps(dataclasses.asdict(info), ensure_ascii=False)


def parse_info(raw: bytes | None, path: Path) -> ScoreInfo:
    """What the JSON ``raw`` of the file ``path`` says. Raises a UserError for what no score file says."""
    if raw is None:
        raise UserError("an Arrow file, but not a score file: its metadata has no key 'tinkit'", file=path, fix=REWRITE)
    try:
        data = parse_json(raw, "the metadata of a score file", path, file_names=True)
        version = data["version"]
    except (KeyError, TypeError) as error:
        raise UserError(f"the metadata 'tinkit' is not what it should be ({error!r})", file=path) from error
    if version != VERSION:
        raise UserError(
            f"score file of version {version!r}",
            file=path,
            expected=f"version {VERSION}",
            fix="use the version of tinkit that wrote it",
        )
    # Other tools may write more than we know and leave out what has a default, but not what the numbers are.
    fields = {item.name for item in dataclasses.fields(ScoreInfo)}
    data = {"dataset": "", "dataset_version": ""} | {
        name: value for name, value in data.items() if name in fields and value is not None
    }
    if missing := [name for name in ("kind", "task", "classes", "split") if name not in data]:
        raise UserError(f"metadata without the keys {', '.join(missing)}", file=path, fix=REWRITE)
    for name in ("classes", "trained_on"):
        if not isinstance(data.get(name, []), list):
            raise UserError(f"metadata: {name} must be a list", file=path)
        if name in data:
            data[name] = tuple(data[name])
    info = ScoreInfo(**data)
    check_info(info, path)
    return info


def check_info(info: ScoreInfo, path: str | Path) -> None:
    """Raise a UserError when a value of ``info`` is not of its kind (any program may have written it)."""
    for name, known in (("kind", get_args(Kind)), ("task", get_args(Task))):
        if getattr(info, name) not in known:
            raise UserError(f"{name} is {getattr(info, name)!r}", file=path, expected=f"one of {', '.join(known)}")
    texts = [
        getattr(info, name) for name in ("dataset", "dataset_version", "split", "views", "average", "weights", "run")
    ]
    hashes = [*info.hashes, *info.hashes.values()] if isinstance(info.hashes, dict) else [None]
    if not all(_is_text(text) for text in [*texts, *info.classes, *info.trained_on, *hashes]):
        raise UserError("metadata whose names are not all text", file=path)
    if not isinstance(info.trial, bool):
        raise UserError(f"trial is {info.trial!r}", file=path, expected="true or false")
    if not isinstance(info.protocol, dict) or not all(
        isinstance(name, str) and isinstance(value, str | int | float) for name, value in info.protocol.items()
    ):
        raise UserError(
            f"protocol is {info.protocol!r}", file=path, expected="names, each with one number, text, true or false"
        )
    if info.view is not None and (isinstance(info.view, bool) or not isinstance(info.view, int) or info.view < 0):
        raise UserError(f"view is {info.view!r}", file=path, expected="a number from 0, or null for all views")
    if info.gflops is not None and not is_positive(info.gflops):
        raise UserError(f"gflops is {info.gflops!r}", file=path, expected="a number above 0, or null")
    if not info.classes:
        raise UserError("no classes", file=path, expected="a name for every column of scores")
    if len(set(info.classes)) < len(info.classes):
        doubled = next(name for name in info.classes if info.classes.count(name) > 1)
        raise UserError(f"class {doubled!r} is named twice", file=path)


def _is_text(value: object) -> bool:
    """Whether it is text that can be written: JSON can spell half a character, which UTF-8 cannot."""
    return isinstance(value, str) and value.encode(errors="replace").decode() == value
