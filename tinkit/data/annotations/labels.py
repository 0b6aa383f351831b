"""Labels of an annotation as class indices: by name or by number, from 0 or from 1, where either is beyond doubt."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.data.annotations.checks import first_true
from tinkit.data.config.dataset import DataConfig
from tinkit.data.layouts.rows import Rows, regroup
from tinkit.errors import did_you_mean
from tinkit.files.class_names import ClassNames

_INTEGER = r"^[+-]?\d{1,9}$"
_UNLABELLED = "name the split in data.unlabelled if its labels are not known"
_FEW_ROWS = 8  # of which labels cannot be told from the codes of a split
_SPLIT_CODES = (0, 1, 2)  # HMDB51: neither, training, testing


def label_indices(rows: Rows, classes: ClassNames, config: DataConfig) -> pa.Array:
    """The labels as class indices: list<int32>, one list a row, a label that is given twice kept once.

    A word that is a class's name is that class; otherwise it is a number, from 0 unless ``data.first_label`` or the
    numbers of the category file say otherwise. Raises :class:`~tinkit.errors.UserError` for a row without a label
    (unless ``data.negatives`` allows it), for two labels in a single-label set, for a word that is neither a name nor a
    number in range, and for numbers that could count from 0 or 1, or that are the codes of a split.
    """
    task = config.layout.task
    if rows.labels is None:
        raise rows.fail(0, "the row has no label", expected="labels", fix=_UNLABELLED)
    counts = pc.list_value_length(rows.labels).fill_null(0).to_numpy()
    if (counts == 0).any() and not config.negatives:
        bad = int((counts == 0).argmax())
        raise rows.fail(bad, "the row has no label", **_without_label(rows.ids[bad].as_py(), config))
    if not counts.any():
        raise rows.fail(0, "no row has a label", expected="labels of some clips at least", fix=_UNLABELLED)
    words, parents = pc.fill_null(rows.labels.flatten(), ""), pc.list_parent_indices(rows.labels).to_numpy()
    indices = _indices(rows, words, parents, classes, config)
    indices, parents = _once(indices, parents, len(classes.names))
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


def _without_label(name: str, config: DataConfig) -> dict[str, str]:
    """What was expected of a row without a label, and how to mend it."""
    mark = config.layout.separator
    other = next((found for found in ",;\t|" if mark and found != mark and found in name), None)
    if other is not None:
        return {
            "expected": f"id and label separated by {mark!r}",
            "fix": f"the row holds {other!r}: write {mark!r} in its place, or set dataset = 'list' and delimiter",
        }
    negatives = ", or set data.negatives = true if clips may belong to no class"
    return {"expected": "a label", "fix": _UNLABELLED + (negatives if config.layout.task == "multi-label" else "")}


def _indices(rows: Rows, words: pa.Array, parents: np.ndarray, classes: ClassNames, config: DataConfig) -> np.ndarray:
    """(M,) int64 of every word, in the order of the file."""
    names = classes.names
    named = pc.index_in(words, pa.array(names, words.type))
    is_integer = pc.match_substring_regex(words, _INTEGER)
    numbers = pc.if_else(is_integer, words, "-1").cast(pa.int64()).to_numpy(zero_copy_only=False)
    said = numbers[pc.and_(is_integer, pc.is_null(named)).to_numpy(zero_copy_only=False)]
    first = _first_label(rows, said, classes, config)
    _refuse_numbers_as_names(rows, words, parents, is_integer, names, first)
    if config.first_label is None and config.layout.split_codes and len(said) == len(words):
        _refuse_split_codes(rows, said, parents, len(names))
    indices = np.where(named.is_valid(), pc.fill_null(named, 0), numbers - first).astype(np.int64)
    bad = (indices < 0) | (indices >= len(names))
    if not bad.any():
        return indices
    at = int(bad.argmax())
    word, fix = words[at].as_py(), None
    known = f"{first} to {len(names) - 1 + first}"
    if is_integer[at].as_py():
        problem, expected = f"the label {word} is out of range", f"{known} ({len(names)} classes)"
        if config.first_label is None and first == 0 and said.min() >= 1 and said.max() == len(names):
            fix = "the labels may count from 1: if so, set data.first_label = 1"
    else:
        problem = f"{word!r} is not a class{did_you_mean(word, names)}"
        expected = f"the name of a class, or its number, {known}"
    raise rows.fail(int(parents[at]), problem, expected=expected, fix=_UNLABELLED if word in ("-1", "0") else fix)


def _first_label(rows: Rows, said: np.ndarray, classes: ClassNames, config: DataConfig) -> int:
    """The number of the first class in labels; where the category file counts from 1, the labels must show it."""
    if config.first_label is not None or classes.first != 1 or not len(said):
        return config.first_label or 0
    if (said == 0).any():
        return 0
    if (said == len(classes.names)).any():
        return 1
    raise rows.fail(
        0,
        "the labels are numbers, the category file counts from 1, and nothing shows whether the labels do, too",
        expected="a list with the label 0 or that of the last class, or data.first_label",
        fix="set data.first_label = 1 if they do, and 0 if they do not",
    )


def _refuse_numbers_as_names(
    rows: Rows, words: pa.Array, parents: np.ndarray, is_integer: pa.Array, names: tuple[str, ...], first: int
) -> None:
    """Where classes are *named* by numbers other than their own, a number in a label could mean two things."""
    twofold = [name for index, name in enumerate(names, first) if name.lstrip("+-").isdigit() and name != str(index)]
    at = first_true(pc.and_(is_integer, pc.is_in(words, pa.array(twofold, words.type)))) if twofold else None
    if at is not None:
        word = words[at].as_py()
        raise rows.fail(
            int(parents[at]),
            f"the label {word} is the name of class {names.index(word) + first}, and also a number",
            expected="names that are not numbers, or that number the classes from 0 in order",
            fix="rename the classes",
        )


def _refuse_split_codes(rows: Rows, said: np.ndarray, parents: np.ndarray, count: int) -> None:
    """HMDB51's lists say of each clip whether it is trained (1) or tested (2) on, or neither: no label at all."""
    if not len(said) or said.max() > _SPLIT_CODES[-1] or said.min() < _SPLIT_CODES[0]:
        return
    named_so = "_test_split" in rows.file.name
    few = len(said) < _FEW_ROWS or count <= len(_SPLIT_CODES) or len(np.unique(said)) < 2
    if not named_so and (few or (np.diff(said) >= 0).all() or _follow_folders(rows, said, parents)):
        return
    raise rows.fail(
        0,
        f"all labels are among 0, 1 and 2, and there are {count} classes: they look like the codes of a split (1: "
        "training, 2: testing), as in HMDB51's lists",
        expected="the number of each clip's class",
        fix="write a list of the clips of one split with their classes; if these are classes, set data.first_label = 0",
    )


def _follow_folders(rows: Rows, said: np.ndarray, parents: np.ndarray) -> bool:
    """Whether all clips of a folder have one label: then it is that of a class."""
    paths = rows.paths.take(pa.array(parents))
    folders = pc.replace_substring_regex(paths, pattern=r"/?[^/]*/?$", replacement="").dictionary_encode()
    codes = folders.indices.to_numpy()
    return len(np.unique(codes)) > 1 and len(np.unique(codes * 3 + said)) == len(np.unique(codes))


def _once(indices: np.ndarray, parents: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and their rows with what a row says twice kept once, in the order of the file."""
    _, first = np.unique(parents.astype(np.int64) * num_classes + indices, return_index=True)
    first.sort()
    return indices[first], parents[first]
