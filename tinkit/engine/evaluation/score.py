"""Scores of a split: every clip's views through the model, averaged, one row a clip."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinkit.data.clips.testing import TestClips
from tinkit.engine.evaluation.partial import Block, Blocks
from tinkit.engine.evaluation.sharded import each_clip
from tinkit.engine.runtime.pixels import Pixels
from tinkit.engine.runtime.precision import autocast
from tinkit.engine.runtime.session import Session
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
    """Notes on the clips that were read, such as that they were turned, and how many have each."""
    made: int = 0
    """Rows that were scored now, and not by an interrupted test before."""
    seconds: float = 0.0
    """What that took: reading clips and the forward passes."""


@dataclass(frozen=True)
class Scorer:
    """A classifier, in evaluation mode on its device, and how its views are scored.

    Of a model that keeps frames apart (``consensus = "identity"``) a view's scores are the mean of its frames'.
    """

    model: Classifier
    pixels: Pixels
    task: Task
    average: str
    """What the scores are: ``logits``, or ``probabilities`` (sigmoid or softmax by ``task``)."""
    amp: AmpChoice = "off"
    """The precision of a forward pass."""
    mirrored: Sequence[bool] = ()
    """(V,) which views are mirror images."""
    swap: NDArray[np.int64] | None = None
    """(C,) the class that each becomes in a mirror image: ``mirrored`` views get their columns put back."""

    @torch.inference_mode()
    def __call__(self, frames: Tensor) -> Tensor:
        """Scores (B, V, C) float32 of the views ``frames`` (B, V, T, C', H, W) uint8; a clip's are their mean."""
        clips, views = frames.shape[:2]
        video = self.pixels(frames.flatten(0, 1), self.amp)
        with autocast(video.device.type, self.amp):
            logits = self.model(video)
        scores = logits.float().unflatten(0, (clips, views))
        if self.average != "logits":
            scores = probabilities_of(scores, self.task)
        if scores.dim() == 4:
            scores = scores.mean(2)
        if self.swap is not None and any(self.mirrored):
            images, columns = (torch.as_tensor(part, device=scores.device) for part in (self.mirrored, self.swap))
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
    scorer: Scorer,
    clips: TestClips,
    train: TrainConfig,
    session: Session,
    *,
    batch: int,
    title: str,
    blocks: Blocks | None = None,
) -> Scored | None:
    """Score every row of the clips' manifest; None on all processes but the main one.

    ``batch`` is clips a forward pass; the model is in evaluation mode meanwhile. The session's processes and ``stop``
    are as in :func:`~tinkit.engine.evaluation.sharded.each_clip`. With ``blocks`` the work is saved there as it
    proceeds, and a later call resumes from it, with any number of processes.
    """
    main = session.world.main
    kept = _Kept(len(clips) if main else 0, len(clips.manifest.classes), blocks)
    was_training, started = scorer.model.training, time.monotonic()
    scorer.model.eval()
    try:
        each_clip(scorer, clips, train, kept, session, batch=batch, title=title)
    finally:
        scorer.model.train(was_training)
    return replace(kept.scored(), seconds=time.monotonic() - started) if main else None


class _Kept:
    """What the main process holds: the rows scored so far, which are saved as blocks where there are any."""

    what = "scores"

    def __init__(self, rows: int, classes: int, blocks: Blocks | None) -> None:
        self._scores = np.full((rows, classes), np.nan, np.float32)
        self._reasons: dict[int, str] = {}
        self._notes = Counter[str]()
        self._blocks = blocks
        self._made = 0
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
        self._made += len(block.values)
        if self._blocks is not None:
            self._blocks.save(block)

    def scored(self) -> Scored:
        """All of it."""
        valid = np.ones(len(self._scores), bool)
        valid[list(self._reasons)] = False
        return Scored(self._scores, valid, self._reasons, dict(self._notes), self._made)

    def _hold(self, block: Block) -> None:
        self._scores[block.start : block.start + len(block.values)] = block.values
        self._reasons |= block.reasons
        self._notes.update(block.notes)
