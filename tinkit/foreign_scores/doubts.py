"""Scores that may not be what they are said to be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinkit.scores import ScoreTable

_ROWS = 1 << 14  # rows looked at: enough to tell a kind
_CLOSE = 1e-3
_MOST_VIEWS = 10_000


def doubts(table: ScoreTable) -> Iterator[str]:
    """What is strange about valid scores of this kind and task, a sentence each."""
    scores = table.scores[np.flatnonzero(table.valid)[:_ROWS]].astype(np.float64)
    if not scores.size:
        return
    low, high, sums = float(scores.min()), float(scores.max()), scores.sum(axis=1)
    total = float(np.median(sums))
    even = bool((np.abs(sums - total) <= _CLOSE * max(1.0, abs(total))).all())
    views = round(total) if even and low >= 0 and abs(total - round(total)) <= _CLOSE * max(1.0, total) else 0
    if (scores == scores[:, :1]).all():
        yield "every class of a clip has the same score: they tell nothing"
    elif len(scores) > 1 and (scores == scores[:1]).all():
        yield "all clips have the same scores"
    if table.info.kind == "logits" and low >= 0 and high <= 1:
        yield "all logits lie between 0 and 1: are they probabilities? Then say --kind probabilities"
    elif table.info.kind == "logits" and 2 <= views <= _MOST_VIEWS:
        yield (
            f"every row adds up to {views}: a sum of probabilities over {views} views is neither logits nor"
            f" probabilities. Then say --kind probabilities --sum-of {views}"
        )
    if table.info.kind == "probabilities" and high > 1 + 1e-5:
        sum_of = f"; every row adds up to {views}: say --sum-of {views} for sums over views" if views > 1 else ""
        yield f"the highest score is {high:.4g}, which is not a probability{sum_of}"
    elif table.info.kind == "probabilities" and table.info.task == "single-label" and views != 1:
        yield f"the probabilities of a clip add up to {total:.4g} in the middle, and not to 1, as a softmax's do"
