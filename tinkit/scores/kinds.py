"""From one kind of scores to another. Each asks the table's kind first, so nothing is squashed twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.files.large import large_array
from tinkit.metrics import Task
from tinkit.scores.table import Kind, ScoreTable

CLIP = 1e-6  # probabilities nearer to 0 or 1 than this have no trustworthy logit in float32
_BLOCK = 1 << 20  # score values converted at a time

Matrix = NDArray[np.float32]
Values = NDArray[np.float64] | NDArray[np.float32]
Precision = TypeVar("Precision", np.float32, np.float64)


def to_kind(table: ScoreTable, kind: Kind) -> ScoreTable:
    """``table`` as ``kind``: :func:`to_logits`, :func:`to_probabilities` or :func:`to_ranks`."""
    match kind:
        case "logits":
            return to_logits(table)
        case "probabilities":
            return to_probabilities(table)
        case "ranks":
            return to_ranks(table)


def to_probabilities(table: ScoreTable) -> ScoreTable:
    """Sigmoid (multi-label) or softmax (single-label) of logits; probabilities as they are.

    Raises :class:`~tinkit.errors.UserError` for ranks, which no longer say how sure the model was.
    """
    return _convert(table, "probabilities", lambda block: squash(block, table.info.task))


def squash(logits: NDArray[Precision], task: Task) -> NDArray[Precision]:
    """Probabilities of ``logits`` (n, C), finite, in the precision they come in: sigmoid or softmax, as ``task`` says.

    Float32 makes every sigmoid above 17 a 1 and below -88 a 0, float64 above 37 and below -709.
    """
    from scipy.special import expit, softmax  # here: most commands convert nothing and need not wait for the import

    return expit(logits) if task == "multi-label" else softmax(logits, axis=1)


def rows_as(table: ScoreTable, rows: NDArray[np.int64], kind: Kind) -> Values:
    """The scores of ``rows``, all valid, as ``kind``, (n, C); what rounding put above 1 is cut off.

    Float32, but probabilities of logits are float64: in float32, every logit above 17 has the probability 1.
    """
    scores = table.scores[rows]
    if kind == "probabilities" and table.info.kind == "logits":
        return squash(scores.astype(np.float64), table.info.task)
    part = dataclasses.replace(
        table,
        ids=[""] * len(rows),
        scores=scores,
        valid=np.ones(len(rows), bool),
        labels=[None] * len(rows),
        source=[""] * len(rows),
    )
    scores = to_kind(part, kind).scores
    return scores if kind == "logits" else np.minimum(scores, np.float32(1))


def to_logits(table: ScoreTable) -> ScoreTable:
    """Logits as they are; of probabilities ``log(p / (1 - p))`` (multi-label) or ``log p`` (single-label).

    Probabilities are first kept ``CLIP`` away from 0 and 1. Each is the inverse of :func:`to_probabilities`, for
    single-label up to a constant a row, which no softmax and no ranking sees. Raises UserError for ranks.
    """
    return _convert(table, "logits", lambda block: _logit(block, table.info.task))


def to_ranks(table: ScoreTable) -> ScoreTable:
    """The place of each class in its row's ranking, from 0 (lowest) to 1 (highest), equal scores sharing the mean."""
    return _convert(table, "ranks", _ranks)


def _convert(table: ScoreTable, kind: Kind, change: Callable[[Matrix], Matrix]) -> ScoreTable:
    have = table.info.kind
    if have == kind:
        return table
    if have == "ranks":
        raise UserError(
            f"ranks cannot be turned into {kind}", fix="use the method mean-ranks, or the scores themselves"
        )
    scores = large_array(table.scores.shape)
    step = max(1, _BLOCK // len(table.info.classes))
    for start in range(0, len(scores), step):
        part = slice(start, start + step)
        scores[part] = change(table.scores[part])
    scores[~table.valid] = np.nan
    return dataclasses.replace(table, scores=scores, info=dataclasses.replace(table.info, kind=kind))


# Not scipy.special's: its softmax gives the same bits in the same time, and importing it takes longer (0.15 s) than to
# squash 30,000 clips of 313 classes.
def _sigmoid(block: NDArray[Precision]) -> NDArray[Precision]:
    # exp of a negative number only, so that no logit overflows.
    small = np.exp(-np.abs(block))
    top = np.where(block >= 0, block.dtype.type(1), small)
    return top / (1 + small)


def _softmax(block: NDArray[Precision]) -> NDArray[Precision]:
    powers = np.exp(block - block.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _logit(block: Matrix, task: Task) -> Matrix:
    kept = np.clip(block.astype(np.float64), CLIP, 1 - CLIP)
    # numpy's logarithms give the bits of scipy's logit in half of its time
    return (np.log(kept) - np.log1p(-kept) if task == "multi-label" else np.log(kept)).astype(np.float32)


def _ranks(block: Matrix) -> Matrix:
    # scipy.stats.rankdata gives the same more slowly, and its import takes half a second
    width = block.shape[1]
    order = np.argsort(block, axis=1, kind="stable")
    ranked = np.take_along_axis(block, order, axis=1)
    place = np.arange(width)
    # where a run of equal scores begins; the last column ends the last run
    new = np.ones((len(block), width + 1), bool)
    new[:, 1:-1] = ranked[:, 1:] != ranked[:, :-1]
    first = np.maximum.accumulate(np.where(new[:, :-1], place, 0), axis=1)
    last = np.minimum.accumulate(np.where(new[:, 1:], place, width)[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(block.shape, np.float32)
    np.put_along_axis(ranks, order, ((first + last) / 2 / max(1, width - 1)).astype(np.float32), axis=1)
    return ranks
