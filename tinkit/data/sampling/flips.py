"""What a mirror image does to the labels: classes that say left become those that say right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UserError

FlipLabels = Literal["left_right"] | Sequence[tuple[int, int]]

_OTHER = {"left": "right", "right": "left"}
# Whole words; an underscore or a digit ends one, as in turn_left or left2.
_LEFT_RIGHT = re.compile(r"(?<![^\W\d_])(left|right)(?![^\W\d_])")


def flip_permutation(classes: Sequence[str], flip_labels: FlipLabels) -> NDArray[np.int64]:
    """Which class each of ``classes`` becomes when its clip is mirrored; (C,) int64, its own inverse.

    ``flip_labels`` is pairs of classes (indices from 0) that change places, or ``"left_right"``: two classes do whose
    names, upper and lower case taken as one, become each other when the words left and right are exchanged. All others
    stay. Serves labels (``y[permutation]`` of a multi-hot row, ``permutation[y]`` of an index) and the class columns of
    a mirrored view's scores (``scores[:, permutation]``).

    Raises :class:`~tinkit.errors.UserError` for a pair that names no class, or a class that is named twice.
    """
    permutation = np.arange(len(classes), dtype=np.int64)
    pairs = _left_right(classes) if isinstance(flip_labels, str) else _checked(len(classes), flip_labels)
    for a, b in pairs:
        permutation[[a, b]] = b, a
    return permutation


def _left_right(classes: Sequence[str]) -> list[tuple[int, int]]:
    """The pairs of classes whose names become each other, each once."""
    index = {name.casefold(): number for number, name in enumerate(classes)}
    pairs = []
    for name, a in index.items():
        b = index.get(_LEFT_RIGHT.sub(lambda word: _OTHER[word[0]], name), a)
        if a < b:
            pairs.append((a, b))
    return pairs


def _checked(count: int, flip_labels: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    seen: set[int] = set()
    for pair in flip_labels:
        for index in pair:
            if not 0 <= index < count:
                raise UserError(
                    f"clip.flip_labels: the pair {list(pair)} names class {index}, of which there are {count}",
                    expected=f"pairs of class indices from 0 to {count - 1}, such as [[2, 4]], or 'left_right'",
                    fix="see the classes of the data set with `tinkit data stats`",
                )
            if index in seen:
                raise UserError(
                    f"clip.flip_labels: class {index} is named twice, the second time in the pair {list(pair)}",
                    expected="pairs in which every class occurs once at most; each is exchanged both ways",
                    fix="leave one of its pairs out",
                )
            seen.add(index)
    return list(flip_labels)
