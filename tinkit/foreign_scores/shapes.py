"""Scores in what a pickle, a file of ``torch.save``, JSON or an npz holds: containers of text, numbers and arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinkit.errors import UserError
from tinkit.foreign_scores.found import Found, Hints, as_ids, as_labels, as_matrix, stacked
from tinkit.foreign_scores.words import CLASSES, IDS, INSIDE, LABELS, SCORES, heads_of, named, word
from tinkit.pickles.arrays import LazyArray, Unknown
from tinkit.scores import Kind

_EXPECTED = (
    "ids and scores (clips, classes) in a dictionary, a dictionary or list of clips, or scores alone with --ids LIST"
)


def found_in(content: Any, hints: Hints, path: Path, depth: int = 0) -> Found:
    """The scores in ``content``. Raises :class:`~tinkit.errors.UserError` where there are none, or several sets."""
    match content:
        case np.ndarray() | LazyArray():
            return Found(as_matrix(content, path), None, None, "one array")
        case dict() if content:
            return _in_dictionary(content, hints, path, depth)
        case list() if content:
            return _in_list(content, hints, path)
    raise UserError(f"holds no scores ({_what(content)})", file=path, expected=_EXPECTED)


def _in_dictionary(content: dict[Any, Any], hints: Hints, path: Path, depth: int) -> Found:
    inner = [name for name in named(content, INSIDE) if isinstance(content[name], dict | list) and content[name]]
    if hints.head is not None and not heads_of(content):
        if inner and depth < 2:
            return found_in(content[inner[0]], hints, path, depth + 1)
        first = next(iter(content.values()))
        if isinstance(first, dict) and heads_of(first):
            return _by_id(content, hints, path)
    key, kind = _score_key(content, hints, path)
    if key is None and not (named(content, IDS) and not _is_row(next(iter(content.values())))):
        if inner and depth < 2:
            return found_in(content[inner[0]], hints, path, depth + 1)
        if len(content) == 1 and isinstance(next(iter(content.values())), np.ndarray | LazyArray):
            return found_in(next(iter(content.values())), hints, path)
        return _by_id(content, hints, path)
    if key is None:
        raise UserError(f"has the keys {_listed(content)}, none of which are scores", file=path, expected=_EXPECTED)
    value = content[key]
    if isinstance(value, dict | list) and word(key) in INSIDE and not _is_matrix(value):
        return found_in(value, hints, path, depth + 1)
    scores = stacked(value, path) if isinstance(value, list) else as_matrix(value, path)
    id_key = _id_key(content, hints, path)
    ids = None if id_key is None else as_ids(content[id_key], path)
    if ids is not None and len(ids) != len(scores):
        raise UserError(f"{len(ids)} ids and {len(scores)} rows of scores", file=path, expected="one id a row")
    columns, labels = _classes(content, scores.shape[1], path), None
    for name in named(content, LABELS):
        labels = labels or as_labels(content[name], len(scores))
    form = f"{key!r} of a dictionary" if ids is None else f"{id_key!r} and {key!r} of a dictionary"
    return Found(scores, ids, columns, form, labels, kind)


def _score_key(content: dict[Any, Any], hints: Hints, path: Path) -> tuple[Any, Kind | None]:
    """The key of the scores, None where no key says so, and the kind that it names."""
    if hints.scores is not None:
        if hints.scores not in content:
            raise UserError(f"has no {hints.scores!r}", file=path, expected=f"one of: {_listed(content)}")
        return hints.scores, SCORES.get(word(hints.scores))
    heads = heads_of(content)
    if hints.head is not None and hints.head not in heads:
        raise UserError(
            f"has no head {hints.head!r}", file=path, expected=f"one of: {', '.join(heads) or 'none, it has no heads'}"
        )
    if heads:
        if hints.head is None:
            raise UserError(
                f"holds the scores of {len(heads)} heads: {', '.join(heads)}",
                file=path,
                fix=f"import each into a score file of its own: --head {next(iter(heads))}",
            )
        return heads[hints.head], None
    keys = [key for key in named(content, SCORES) if isinstance(content[key], dict | list | np.ndarray | LazyArray)]
    kinds = {SCORES[word(key)] for key in keys} - {None}
    if len(kinds) > 1:
        raise UserError(
            f"holds scores of several kinds: {', '.join(map(str, keys))}", file=path, fix=f"say --scores {keys[0]}"
        )
    if not keys:
        ends = [key for key in content if word(key).endswith(("_output", "_logits", "_scores", "_probs"))]
        keys = ends if len(ends) == 1 else []
    return (keys[0], SCORES.get(word(keys[0]))) if keys else (None, None)


def _id_key(content: dict[Any, Any], hints: Hints, path: Path) -> Any:
    if hints.ids is not None:
        if hints.ids not in content:
            raise UserError(f"has no {hints.ids!r}", file=path, expected=f"one of: {_listed(content)}")
        return hints.ids
    return next(iter(named(content, IDS)), None)


def _classes(content: dict[Any, Any], width: int, path: Path) -> tuple[str, ...] | None:
    for name in named(content, CLASSES):
        value = content[name]
        if isinstance(value, np.ndarray) and value.dtype.kind not in "USO":
            continue
        if isinstance(value, list | np.ndarray) and all(isinstance(one, str | bytes) for one in value):
            if len(value) == width:
                return tuple(as_ids(value, path))
            if word(name) != "labels":
                raise UserError(f"{len(value)} classes and {width} columns of scores", file=path)
    return None


def _in_list(content: list[Any], hints: Hints, path: Path) -> Found:
    first = content[0]
    if isinstance(first, dict):
        return _records(content, hints, path)
    if len(content) in (2, 3) and (pair := _scores_and_labels(content, path)) is not None:
        return pair
    if isinstance(first, list) and len(first) == 2 and isinstance(first[0], str | bytes) and _is_row(first[1]):
        if not all(isinstance(one, list) and len(one) == 2 for one in content):
            raise UserError("holds entries that are not an id and a row of scores", file=path, expected=_EXPECTED)
        ids, rows = as_ids([one[0] for one in content], path), [one[1] for one in content]
        return Found(stacked(rows, path), ids, None, "a list of an id and a row of scores each")
    if len(content) == 1 and isinstance(first, np.ndarray) and first.ndim == 2:
        return Found(as_matrix(first, path), None, None, "one array")
    return Found(stacked(content, path), None, None, "a list of rows of scores, a clip each (mmaction2 0.x --out)")


def _scores_and_labels(content: list[Any], path: Path) -> Found | None:
    """PySlowFast's results: scores (N, C), and labels (N,) or (N, C)."""
    scores, labels = (value.read() if isinstance(value, LazyArray) else value for value in content[:2])
    if not isinstance(scores, np.ndarray) or scores.ndim != 2 or not isinstance(labels, np.ndarray | list):
        return None
    if len(labels) != len(scores):
        return None
    ids = None
    if len(content) == 3 and isinstance(content[2], list) and len(content[2]) == len(scores):
        ids = as_ids(content[2], path)
    known = as_labels(labels, len(scores))
    return Found(as_matrix(scores, path), ids, None, "scores and labels, as PySlowFast saves its results", known)


def _records(content: list[Any], hints: Hints, path: Path) -> Found:
    """A list of dictionaries, one a clip."""
    if not all(isinstance(one, dict) for one in content):
        raise UserError("holds entries that are not dictionaries, as the first one is", file=path)
    first = content[0]
    key, kind = _score_key(first, hints, path)
    id_key = _id_key(first, hints, path)
    ids = None if id_key is None else as_ids([_of(one, id_key, n, path) for n, one in enumerate(content, 1)], path)
    if key is None:
        beside = {id_key, *named(first, LABELS)}
        names = [name for name in first if name not in beside and _is_number(first[name])]
        columns = [{str(name): one.get(name) for name in names} for one in content]
        return _by_class(columns, ids, path, "a list of dictionaries, one a clip, with a key a class")
    rows = [_item(_of(one, key, number, path)) for number, one in enumerate(content, 1)]
    form = f"a list of dictionaries, one a clip, with {key!r}"
    if isinstance(rows[0], dict) or _is_ranked(rows[0]):
        return _by_class([_scores_by_name(row, path) for row in rows], ids, path, form)
    labels = None
    for name in named(first, LABELS):
        labels = labels or as_labels([_item(one.get(name)) for one in content], len(content))
    return Found(stacked(rows, path), ids, None, form, labels, kind)


def _by_id(content: dict[Any, Any], hints: Hints, path: Path) -> Found:
    """A dictionary of clips: each one's row, or its scores by class, or those of its heads."""
    ids, rows = as_ids(list(content), path), [_item(value) for value in content.values()]
    first = rows[0]
    form = "a dictionary of clips"
    if isinstance(first, dict) and (heads_of(first) or _score_key(first, hints, path)[0] is not None):
        key, kind = _score_key(first, hints, path)
        rows = [_item(_of(row, key, number, path)) for number, row in enumerate(rows, 1)]
        form = f"a dictionary of clips with {key!r}"
        if not (isinstance(rows[0], dict) or _is_ranked(rows[0])):
            return Found(stacked(rows, path), ids, None, form, kind=kind)
        first = rows[0]
    if isinstance(first, dict) or _is_ranked(first):
        return _by_class([_scores_by_name(row, path) for row in rows], ids, path, form)
    if not _is_row(first):
        raise UserError(f"holds no scores: has the keys {_listed(content)}", file=path, expected=_EXPECTED)
    return Found(stacked(rows, path), ids, None, form)


def _by_class(rows: Sequence[dict[str, Any]], ids: list[str] | None, path: Path, form: str) -> Found:
    """Rows that name their classes, all of them the same."""
    names = tuple(rows[0])
    if not names:
        raise UserError("holds no scores", file=path, expected=_EXPECTED)
    known = set(names)
    for number, row in enumerate(rows, 1):
        if row.keys() != known:
            odd = next(iter(known ^ row.keys()))
            raise UserError(
                f"clip {number} {'lacks' if odd in known else 'alone has'} the class {odd!r}",
                file=path,
                expected="a score for every class in every clip",
            )
    return Found(stacked([[row[name] for name in names] for row in rows], path), ids, names, form)


def _scores_by_name(value: Any, path: Path) -> dict[str, Any]:
    """``{class: score}``, or the same of a ranked list of ``{"label": class, "score": s}``."""
    if isinstance(value, dict):
        return {str(name): _item(score) for name, score in value.items()}
    if not _is_ranked(value):
        raise UserError("holds clips whose scores are written in different ways", file=path)
    found: dict[str, Any] = {}
    for entry in value:
        name = str(entry["label"])
        if name in found:
            raise UserError(f"class {name!r} is there twice in one clip", file=path)
        found[name] = entry["score"]
    return found


def _is_ranked(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and one.keys() >= {"label", "score"} for one in value)
    )


def _item(value: Any) -> Any:
    """The scores in what early mmaction2 1.x puts around them: ``{"item": scores}``."""
    return value["item"] if isinstance(value, dict) and set(value) == {"item"} else value


def _of(record: Any, key: Any, number: int, path: Path) -> Any:
    if not isinstance(record, dict) or key not in record:
        raise UserError(f"entry {number} has no {key!r}", file=path, expected="the keys of the first entry")
    return record[key]


def _is_row(value: Any) -> bool:
    if isinstance(value, LazyArray):
        return True
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiu" and value.ndim > 0
    return isinstance(value, list) and bool(value) and all(one is None or _is_number(one) for one in value)


def _is_matrix(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and _is_row(value[0])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _listed(content: dict[Any, Any]) -> str:
    names = [repr(name)[:40] for name in list(content)[:6]]
    return ", ".join(names) + (f" and {len(content) - 6} more" if len(content) > 6 else "")


def _what(content: Any) -> str:
    if isinstance(content, Unknown):
        return "it is an object of some program"
    return "it is empty" if isinstance(content, dict | list) else f"it is {type(content).__name__}"
