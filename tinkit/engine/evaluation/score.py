"""Scores of a split: every clip's views through the model, averaged, one row a clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinkit.data.clips.testing import TestClips
from tinkit.engine.distributed.signals import StopSignal
from tinkit.engine.distributed.world import World
from tinkit.engine.evaluation.partial import Block, Blocks
from tinkit.engine.evaluation.sharded import each_clip
from tinkit.engine.runs.log import Reporter
from tinkit.engine.runtime.build import Pixels
from tinkit.engine.runtime.precision import autocast
from tinkit.metrics import Task
from tinkit.models import Classifier
from tinkit.recipe.training import AmpChoice, TrainConfig


@dataclass(frozen=True)
class Scored:
    """Scores of some rows of a manifest, in its order."""

    scores: np.ndarray
    """(N, C) float32; NaN where ``valid`` is False."""
    valid: np.ndarray
    """(N,) bool: the clip could be decoded."""
    reasons: dict[int, str]
    """Row to what was wrong with its clip."""
    notes: dict[str, int]
    """What is worth saying of the clips that were read, such as that they were turned, and of how many."""


@torch.inference_mode()
def score_views(
    model: Classifier,
    pixels: Pixels,
    frames: Tensor,
    average: str,
    task: Task,
    amp: AmpChoice,
    mirrored: Sequence[bool] = (),
    swap: NDArray[np.int64] | None = None,
) -> Tensor:
    """Scores (B, V, C) float32 of each view of ``frames`` (B, V, T, C', H, W) uint8; a clip's scores are their mean.

    ``average`` says what they are, ``logits`` or ``probabilities`` (sigmoid or softmax by ``task``). ``swap`` (C,) is
    the class that each becomes in a mirror image: the views that ``mirrored`` (V) marks get their columns put back.
    Of a model that keeps frames apart (``consensus = "identity"``) a view's scores are the mean of its frames'.
    """
    clips, views = frames.shape[:2]
    video = pixels(frames.flatten(0, 1))
    with autocast(video.device.type, amp):
        logits = model(video)
    scores = logits.float().unflatten(0, (clips, views))
    if average != "logits":
        scores = probabilities_of(scores, task)
    if scores.dim() == 4:
        scores = scores.mean(2)
    if swap is not None and any(mirrored):
        images, columns = (torch.as_tensor(part, device=scores.device) for part in (mirrored, swap))
        scores = torch.where(images[:, None], scores[..., columns], scores)
    return scores


def probabilities_of(logits: Tensor, task: Task) -> Tensor:
    """(..., C) logits as probabilities: each class's own for a multi-label task, else those of all, which sum to 1."""
    return logits.sigmoid() if task == "multi-label" else logits.softmax(-1)


def likeliest(probabilities: Tensor, classes: Sequence[str], most: int) -> tuple[tuple[str, float], ...]:
    """Up to ``most`` (class, probability) of a clip's ``probabilities`` (C,), likeliest first."""
    values, indices = probabilities.topk(min(most, len(probabilities)))
    return tuple((classes[index], value) for index, value in zip(indices.tolist(), values.tolist(), strict=True))


def score_split(
    model: Classifier,
    pixels: Pixels,
    clips: TestClips,
    train: TrainConfig,
    reporter: Reporter,
    *,
    batch: int,
    average: str,
    title: str,
    amp: AmpChoice = "off",
    swap: NDArray[np.int64] | None = None,
    world: World | None = None,
    stop: StopSignal | None = None,
    blocks: Blocks | None = None,
) -> Scored | None:
    """Score every row of the clips' manifest; None on all processes but the main one.

    ``batch`` is clips a forward, ``amp`` its precision, ``swap`` as in :func:`score_views`; processes and ``stop`` are
    as in :func:`~tinkit.engine.evaluation.sharded.each_clip`. With ``blocks`` the work is saved there as it goes, and
    a later call goes on from it, with any number of processes.
    """
    world, task = world or World(), clips.manifest.task
    kept = _Kept(len(clips) if world.main else 0, len(clips.manifest.classes), blocks)

    def look(frames: Tensor) -> Tensor:
        return score_views(model, pixels, frames, average, task, amp, clips.views.mirrored, swap)

    was_training = model.training
    model.eval()
    try:
        each_clip(look, clips, train, reporter, kept, batch=batch, title=title, world=world, stop=stop)
    finally:
        model.train(was_training)
    return kept.scored() if world.main else None


class _Kept:
    """What the main process holds: the rows scored so far, which are saved as blocks where there are any."""

    what = "scores"

    def __init__(self, rows: int, classes: int, blocks: Blocks | None) -> None:
        self._scores = np.full((rows, classes), np.nan, np.float32)
        self._reasons: dict[int, str] = {}
        self._notes = Counter[str]()
        self._blocks = blocks
        self.saves = blocks is not None
        self.keep_views = blocks is not None and blocks.keep_views

    def restore(self) -> int:
        """Take over what an interrupted test has left; returns how many rows that is."""
        done = 0
        for block in self._blocks.restore() if self._blocks else ():
            self._hold(block)
            done += len(block.values)
        return done

    def take(self, block: Block) -> None:
        """Hold what all processes have made, and save it."""
        self._hold(block)
        if self._blocks is not None:
            self._blocks.save(block)

    def scored(self) -> Scored:
        """All of it."""
        valid = np.ones(len(self._scores), bool)
        valid[list(self._reasons)] = False
        return Scored(self._scores, valid, self._reasons, dict(self._notes))

    def _hold(self, block: Block) -> None:
        self._scores[block.start : block.start + len(block.values)] = block.values
        self._reasons |= block.reasons
        self._notes.update(block.notes)
