"""What a checkpoint's header must be before anything goes by it: JSON of the right kinds, however it came there.

A checksum says that a file is as it was written, not that a training wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tinkit.errors import UserError

_DEEPEST = 40  # how deep lists and tables may lie in each other: a recipe's or an optimiser's lie five deep
_MOST = 1 << 62


class Info(dict[str, Any]):
    """What a training writes of itself. Asked for something that is not there, it names the checkpoint."""

    def __init__(self, content: Mapping[str, Any], path: Path) -> None:
        super().__init__(content)
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise _wrong(self._path, f"it does not tell {key!r}")


def check_header(header: dict[str, Any], path: Path, progress: Mapping[str, str]) -> dict[str, Any]:
    """``header`` with its ``info`` as :class:`Info`, if all in it that is known is of the right kind.

    ``progress`` has the kind of each of its entries: ``int``, ``float``, ``float | None``, ``dict[str, float]``. Raises
    :class:`~tinkit.errors.UserError`, which names the file and the entry.
    """
    if _is_deeper(header, _DEEPEST):
        raise _wrong(path, f"it is nested more than {_DEEPEST} deep")
    where = header.get("progress")
    if not isinstance(where, dict):
        raise _wrong(path, "its progress is not a table")
    for name, value in where.items():
        kind = progress.get(name)
        if kind is None:
            raise _wrong(path, f"its progress has an entry {name[:60]!r} that is not known")
        if kind in KINDS and not KINDS[kind](value):
            raise _wrong(path, f"progress.{name} is not of the kind {kind}")
    if header.get("weights") not in (None, "raw", "ema"):
        raise _wrong(path, "it does not say which weights it means in words that are known")
    info = header.get("info")
    if not isinstance(info, dict):
        raise _wrong(path, "its info is not a table")
    for name, (kind, check) in _INFO.items():
        if name in info and not check(info[name]):
            raise _wrong(path, f"info.{name} is not {kind}")
    _check_optimizer(header, path)
    return header | {"info": Info(info, path)}


def _check_optimizer(header: Mapping[str, Any], path: Path) -> None:
    packed = header.get("optimizer")
    if packed is not None:
        state: Any = packed.get("state") if isinstance(packed, dict) else None
        groups: Any = packed.get("param_groups") if isinstance(packed, dict) else None
        whole = isinstance(state, dict) and all(
            key.isdecimal() and len(key) < 10 and isinstance(value, dict) for key, value in state.items()
        )
        if not whole or not isinstance(groups, list) or not all(_is_group(group) for group in groups):
            raise _wrong(path, "its optimiser is not a state and groups of parameters")
        numbers = [number for group in groups for number in group["params"]]
        if sorted(numbers) != list(range(len(numbers))) or any(int(key) >= len(numbers) for key in state):
            raise _wrong(path, "its optimiser's parameters are not counted through")
    if not isinstance(header.get("scaler"), dict | None) or not isinstance(header.get("ema", False), bool):
        raise _wrong(path, "its scaler or its ema is not what they are")


def _is_group(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("params"), list) and all(map(_is_int, value["params"]))


def _is_int(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST


def _is_float(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < _MOST)


def _is_text(value: Any) -> bool:
    # a half of a surrogate pair can be printed nowhere
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_clips(value: Any) -> bool:
    return isinstance(value, dict) and _is_int(value.get("count")) and _is_text(value.get("ids", ""))


KINDS: dict[str, Callable[[Any], bool]] = {
    "int": _is_int,
    "float": _is_float,
    "float | None": lambda value: value is None or _is_float(value),
    "dict[str, float]": lambda value: isinstance(value, dict) and all(map(_is_float, value.values())),
}
_INFO: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "classes": ("a list of names", _is_texts),
    "trained_on": ("a list of splits", _is_texts),
    "task": ("a task", lambda value: value in ("multi-label", "single-label")),
    "dataset": ("a name", _is_text),
    "recipe": ("a table", lambda value: isinstance(value, dict)),
    "clips": ("a count of clips and a hash of their ids", _is_clips),
    "origin": ("a table of text", lambda value: isinstance(value, dict) and all(map(_is_text, value.values()))),
    "mean_of": ("a table of text", lambda value: isinstance(value, dict) and all(map(_is_text, value.values()))),
}


def _is_deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def _wrong(path: Path, what: str) -> UserError:
    return UserError(
        f"its header is not that of a checkpoint: {what}", file=path, expected="a checkpoint that tinkit wrote"
    )
