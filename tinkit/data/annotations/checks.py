"""What every annotation must hold, whatever its layout: ids once, paths below the root, labels that are classes.

A million rows are checked by columns; only an error looks at a single row.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.data.annotations.rows import Rows, regroup
from tinkit.errors import did_you_mean
from tinkit.metrics import Task

_INTEGER = r"^[+-]?\d{1,9}$"
# A component that is `..`, an absolute path, a drive letter, or a control character (NUL above all).
ESCAPE = r"(?:^|[/\\])\.\.(?:[/\\]|$)|^[/\\]|^[A-Za-z]:[/\\]|[\x00-\x1f\x7f]"


def check_ids(rows: Rows) -> None:
    """Refuse an empty id, and an id that stands twice (both lines are named)."""
    empty = _first(pc.or_kleene(pc.is_null(rows.ids), pc.equal(rows.ids, "")))
    if empty is not None:
        raise rows.fail(empty, "the row has no id", expected="the name of a clip")
    codes = rows.ids.dictionary_encode().indices.to_numpy()
    if len(codes) and int(codes.max()) + 1 == len(codes):
        return
    # A dictionary numbers values as they first appear, so the first row that does not bring a new one is a double.
    second = int(np.flatnonzero(codes != np.arange(len(codes)))[0])
    first = int(np.flatnonzero(codes == codes[second])[0])
    raise rows.fail(
        second,
        f"the id {rows.ids[second].as_py()!r} stands on {rows.unit} {int(rows.lines[first])} already",
        expected="every clip once",
        fix="delete one of the two, or give each an id of its own",
    )


def check_paths(rows: Rows) -> None:
    """Refuse a path that is empty or leads out of the data set's folder."""
    paths = rows.paths
    bad = _first(
        pc.or_kleene(pc.fill_null(pc.match_substring_regex(paths, ESCAPE), True), pc.equal(pc.fill_null(paths, ""), ""))
    )
    if bad is not None:
        raise rows.fail(
            bad,
            f"the path {paths[bad].as_py()!r} does not lie below the data set's folder",
            expected="a relative path without '..' and without control characters",
        )


def label_indices(rows: Rows, classes: tuple[str, ...], task: Task) -> pa.Array:
    """The labels as class indices: list<int32>, one list a row, a label that is said twice kept once.

    A word that is a class's name is that class; otherwise it is a number from 0. Raises
    :class:`~tinkit.errors.UserError` for a row without a label, for two labels in a single-label set, and for a word
    that is neither a name nor a number in range.
    """
    if rows.labels is None:
        raise rows.fail(0, "the row has no label", expected="labels", fix=_UNLABELLED)
    counts = pc.list_value_length(rows.labels).fill_null(0).to_numpy()
    if (counts == 0).any():
        raise rows.fail(int((counts == 0).argmax()), "the row has no label", expected="a label", fix=_UNLABELLED)
    words, parents = pc.fill_null(rows.labels.flatten(), ""), pc.list_parent_indices(rows.labels).to_numpy()
    indices = _indices(rows, words, parents, classes)
    indices, parents = _once(indices, parents, len(classes))
    counts = np.bincount(parents, minlength=len(rows.ids))
    if task == "single-label" and (counts > 1).any():
        bad = int((counts > 1).argmax())
        raise rows.fail(
            bad,
            f"the row has {counts[bad]} labels: {', '.join(rows.labels[bad].as_py())}",
            expected="one label",
            fix="set data.task = 'multi-label' if a clip may have several",
        )
    return regroup(pa.array(indices, pa.int32()), parents, len(rows.ids))


_UNLABELLED = "name the split in data.unlabelled if its labels are not known"


def _indices(rows: Rows, words: pa.Array, parents: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """(M,) int64 of every word, in the order of the file."""
    named = pc.index_in(words, pa.array(classes, words.type))
    is_integer = pc.match_substring_regex(words, _INTEGER)
    _refuse_numbers_as_names(rows, words, parents, is_integer, classes)
    numbers = pc.if_else(is_integer, words, "-1").cast(pa.int64())
    indices = pc.coalesce(named.cast(pa.int64()), numbers).to_numpy()
    bad = (indices < 0) | (indices >= len(classes))
    if not bad.any():
        return indices
    at = int(bad.argmax())
    word = words[at].as_py()
    if is_integer[at].as_py():
        problem, expected = f"the label {word} is out of range", f"0 to {len(classes) - 1} ({len(classes)} classes)"
    else:
        problem = f"{word!r} is not a class{did_you_mean(word, classes)}"
        expected = f"the name of a class, or its number, 0 to {len(classes) - 1}"
    raise rows.fail(int(parents[at]), problem, expected=expected, fix=_UNLABELLED if word in ("-1", "0") else None)


def _refuse_numbers_as_names(
    rows: Rows, words: pa.Array, parents: np.ndarray, is_integer: pa.Array, classes: tuple[str, ...]
) -> None:
    """Where classes are *named* by numbers other than their own, a number in a label could mean two things."""
    twofold = [name for index, name in enumerate(classes) if name.lstrip("+-").isdigit() and name != str(index)]
    at = _first(pc.and_(is_integer, pc.is_in(words, pa.array(twofold, words.type)))) if twofold else None
    if at is not None:
        word = words[at].as_py()
        raise rows.fail(
            int(parents[at]),
            f"the label {word} is the name of class {classes.index(word)}, and a number of its own",
            expected="names that are not numbers, or that number the classes from 0 in order",
            fix="rename the classes",
        )


def _once(indices: np.ndarray, parents: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and their rows with what a row says twice kept once, in the order of the file."""
    _, first = np.unique(parents.astype(np.int64) * num_classes + indices, return_index=True)
    first.sort()
    return indices[first], parents[first]


def _first(mask: pa.Array) -> int | None:
    """The index of the first True, or None."""
    index = pc.index(mask, pa.scalar(True)).as_py()
    return None if index < 0 else int(index)
