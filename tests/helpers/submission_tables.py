"""Score tables for the tests of submissions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinkit.scores import ScoreInfo, ScoreTable
from tinkit.submission import Challenge, load_challenge

MULTI, SINGLE = "multi-label", "single-label"


def make_table(
    scores: Any,
    *,
    ids: Sequence[str] | None = None,
    kind: Any = "probabilities",
    task: Any = MULTI,
    classes: Sequence[str] | None = None,
    split: str = "test",
    invalid: Sequence[int] = (),
) -> ScoreTable:
    values = np.asarray(scores, np.float32)
    valid = np.ones(len(values), bool)
    valid[list(invalid)] = False
    values = np.where(valid[:, None], values, np.float32("nan"))
    names = tuple(classes) if classes is not None else tuple(f"class {i}" for i in range(values.shape[1]))
    clips = list(ids) if ids is not None else [f"c{i}" for i in range(len(values))]
    info = ScoreInfo(kind, task, names, "demo", "1", split)
    return ScoreTable(info, clips, values, valid, [None] * len(values), clips)


def challenge(name: str, **changes: Any) -> Challenge:
    built_in = load_challenge(name)[0]
    return Challenge.model_validate(built_in.model_dump(exclude_unset=True) | changes)
