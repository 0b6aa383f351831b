"""One kind of scores becomes another, once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import expit, softmax
from scipy.stats import rankdata

from tests.helpers.score_files import INFO
from tinkit.errors import UserError
from tinkit.metrics import Task
from tinkit.scores import (
    Kind,
    ScoreTable,
    to_logits,
    to_probabilities,
    to_ranks,
)


def random_table(kind: Kind, task: Task) -> ScoreTable:
    scores = (np.random.default_rng(0).normal(size=(40, 7)) * 6).astype(np.float32)
    scores[3] = np.round(scores[3])
    scores[4] = 2
    scores[5] = np.nan
    info = dataclasses.replace(INFO, kind=kind, task=task, classes=tuple("abcdefg"))
    return ScoreTable(info, [str(i) for i in range(40)], scores, np.arange(40) != 5, [None] * 40, ["s"] * 40)


@pytest.mark.parametrize("task", ["multi-label", "single-label"])
def test_kinds_are_scipys_and_are_asked_first(task: Task) -> None:
    logits = random_table("logits", task)
    squashed = to_probabilities(logits)
    truth = expit(logits.scores) if task == "multi-label" else softmax(logits.scores, axis=1)
    np.testing.assert_allclose(squashed.scores, truth, rtol=1e-5, atol=1e-30)
    assert squashed.info.kind == "probabilities"
    assert to_probabilities(squashed) is squashed
    again = to_probabilities(to_logits(squashed))
    np.testing.assert_allclose(again.scores, truth, atol=1e-5)
    ranks = to_ranks(logits)
    kept = logits.valid
    np.testing.assert_allclose(ranks.scores[kept], (rankdata(logits.scores[kept], axis=1) - 1) / 6, atol=1e-6)
    assert np.isnan(ranks.scores[~kept]).all()
    assert to_logits(logits) is logits
    for change in (to_probabilities, to_logits):
        with pytest.raises(UserError, match="ranks cannot"):
            change(ranks)


def test_logits_of_certain_probabilities_are_finite() -> None:
    sure = dataclasses.replace(random_table("probabilities", "multi-label"), scores=np.ones((40, 7), np.float32))
    assert np.isfinite(to_logits(sure).scores[sure.valid]).all()
    huge = dataclasses.replace(random_table("logits", "multi-label"), scores=np.full((40, 7), -2e38, np.float32))
    np.testing.assert_array_equal(to_probabilities(huge).scores[huge.valid], 0)
