"""Scores of a split: every clip's views through the model, averaged, one row a clip; shared among processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinkit.data.clips import TestClips
from tinkit.data.loading import Batch, test_loader
from tinkit.engine.blocks import Block, Blocks
from tinkit.engine.build import Pixels, loader_workers
from tinkit.engine.config import AmpChoice, TrainConfig
from tinkit.engine.distributed import World
from tinkit.engine.log import Reporter
from tinkit.engine.precision import autocast
from tinkit.engine.signals import StopSignal
from tinkit.errors import Interrupted
from tinkit.metrics import Task
from tinkit.models import Classifier

_BLOCK = 256  # clips scored, by all processes together, before they are brought together and saved


@dataclass(frozen=True)
class Scored:
    """Scores of some rows of a manifest, in its order."""

    scores: np.ndarray
    """(N, C) float32; NaN where ``valid`` is False."""
    valid: np.ndarray
    """(N,) bool: the clip could be decoded."""
    reasons: dict[int, str]
    """Row to what was wrong with its clip."""


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

    ``batch`` is clips a forward, ``amp`` its precision. Batches are dealt out to the processes whole, in turn, so that
    the model sees the same clips together whatever their number. ``swap`` is as in :func:`score_views`. With ``blocks``
    the work is saved there as it goes, and a later call goes on from it, with any number of processes.

    After a signal to ``stop``, to whichever process, all of them end their batch, save and raise
    :class:`~tinkit.errors.Interrupted`.
    """
    world, task = world or World(), clips.manifest.task
    result = _Result(len(clips) if world.main else 0, len(clips.manifest.classes), blocks)
    done = world.share(result.restore() if world.main else 0)
    shard = _Shard(range(done, len(clips)), batch, world)
    pending: list[_Piece] = []
    was_training = model.training
    model.eval()
    loader = iter(test_loader(clips, batch=batch, workers=loader_workers(train), indices=shard.rows))
    try:
        with (reporter if world.main else Reporter(quiet=True)).progress(title, len(clips), done) as meter:
            for rows in shard.rounds():
                if (part := next(loader, None)) is not None:
                    frames, mirrored = part["frames"], clips.config.mirrored
                    views = score_views(model, pixels, frames, average, task, amp, mirrored, swap)
                    pending.append(_piece(part, views, keep_views=blocks is not None and blocks.keep_views))
                signal = 0 if rows.stop == len(clips) else _signal(world, stop)
                if signal or rows.stop == len(clips) or rows.stop - done + shard.clips_a_round > _BLOCK:
                    result.take(range(done, rows.stop), world.gather(pending))
                    pending, done = [], rows.stop
                meter.advance(len(rows))
                if signal:
                    kept = "interrupted; what was scored is kept" if blocks else "interrupted"
                    raise Interrupted(kept, number=signal, fix="the same command goes on")
    finally:
        loader.close()  # type: ignore[attr-defined]  # a generator: its workers end now
        model.train(was_training)
    return result.scored() if world.main else None


@dataclass(frozen=True)
class _Piece:
    """What one process has made of one batch."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    """(n, C); NaN for a broken clip."""
    reasons: dict[int, str]
    views: NDArray[np.float32] | None
    """(V, n, C)"""


class _Shard:
    """This process' batches of consecutive rows: batch b belongs to process b modulo their number."""

    def __init__(self, rows: range, batch: int, world: World) -> None:
        self._all = rows
        self.clips_a_round = batch * world.size
        """Clips scored while each process scores a batch."""
        offsets = np.arange(len(rows))
        self.rows = rows.start + offsets[offsets // batch % world.size == world.rank]
        """int64: the rows of this process, in order. Only the very last batch of all can be short."""

    def rounds(self) -> Iterator[range]:
        """The rows that all processes score while each scores a batch; in the last round some may have none."""
        for start in range(self._all.start, self._all.stop, self.clips_a_round):
            yield range(start, min(self._all.stop, start + self.clips_a_round))


class _Result:
    """What the main process holds: the rows scored so far, which are saved as blocks where there are any."""

    def __init__(self, rows: int, classes: int, blocks: Blocks | None) -> None:
        self._scores = np.full((rows, classes), np.nan, np.float32)
        self._reasons: dict[int, str] = {}
        self._blocks = blocks

    def restore(self) -> int:
        """Take over what an interrupted test has left; returns how many rows that is."""
        done = 0
        for block in self._blocks.restore() if self._blocks else ():
            self._scores[done : done + len(block.scores)] = block.scores
            self._reasons |= block.reasons
            done += len(block.scores)
        return done

    def take(self, rows: range, shares: list[list[_Piece]] | None) -> None:
        """Put together what all processes have made of ``rows``; nothing to do on the others, whose shares are None."""
        if shares is None:
            return
        pieces = sorted((piece for share in shares for piece in share), key=lambda piece: int(piece.rows[0]))
        reasons: dict[int, str] = {}
        for piece in pieces:
            self._scores[piece.rows] = piece.scores
            reasons |= piece.reasons
        self._reasons |= reasons
        if self._blocks is not None:
            views = [piece.views for piece in pieces if piece.views is not None]
            joined = np.concatenate(views, axis=1) if views else None
            self._blocks.save(Block(rows.start, self._scores[rows.start : rows.stop], reasons, joined))

    def scored(self) -> Scored:
        """All of it."""
        valid = np.ones(len(self._scores), bool)
        valid[list(self._reasons)] = False
        return Scored(self._scores, valid, self._reasons)


def _piece(batch: Batch, views: Tensor, *, keep_views: bool) -> _Piece:
    rows, broken = batch["index"].numpy(), np.flatnonzero(~batch["valid"].numpy())
    scores = views.mean(1).cpu().numpy()
    scores[broken] = np.nan
    single = None
    if keep_views:
        single = views.movedim(1, 0).cpu().numpy()
        single[:, broken] = np.nan
    return _Piece(rows, scores, {int(rows[i]): batch["reason"][i] for i in broken}, single)


def _signal(world: World, stop: StopSignal | None) -> int:
    """The signal that some process was sent, as all of them see it; 0 for none."""
    if stop is None or not world.total(float(stop.number != 0))[0]:
        return 0
    numbers = world.gather(stop.number)
    return int(world.share(max(numbers) if numbers else 0))
