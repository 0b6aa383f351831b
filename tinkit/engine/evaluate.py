"""Scores of a split: every clip's views through the model, averaged, one row a clip."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tinkit.data.clips import TestClips
from tinkit.data.loading import test_loader
from tinkit.engine.build import Pixels, loader_workers
from tinkit.engine.config import TrainConfig
from tinkit.engine.log import Reporter
from tinkit.files import atomic_path, write_atomic
from tinkit.models import VideoClassifier

_BLOCK = 256  # clips scored between two saves of a resumable test


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
def score_views(model: VideoClassifier, pixels: Pixels, frames: Tensor, average: str, task: str, amp: str) -> Tensor:
    """Clip scores (B, C) float32 of ``frames`` (B, V, T, 3, H, W) uint8, averaged over the V views.

    ``average`` is ``logits`` or ``probabilities`` (sigmoid or softmax by ``task``, then the mean).
    """
    clips, views = frames.shape[:2]
    video = pixels(frames.flatten(0, 1))
    with torch.autocast(video.device.type, torch.bfloat16, enabled=amp == "bf16"):
        logits = model(video)
    logits = logits.float().unflatten(0, (clips, views))
    if average == "logits":
        return logits.mean(1)
    return (logits.sigmoid() if task == "multi-label" else logits.softmax(-1)).mean(1)


def score_split(
    model: VideoClassifier,
    pixels: Pixels,
    clips: TestClips,
    train: TrainConfig,
    reporter: Reporter,
    *,
    batch: int,
    average: str,
    title: str,
    partial: Path | None = None,
    key: str = "",
) -> Scored:
    """Score every row of the clips' manifest.

    ``batch`` is clips a forward. With ``partial`` (a folder) the work is saved there block by block under ``key``, and
    a later call with the same key goes on from it; the caller removes the folder when the result is safe.
    """
    manifest = clips.manifest
    total, classes = len(manifest), len(manifest.classes)
    scores = np.full((total, classes), np.nan, np.float32)
    reasons: dict[int, str] = {}
    done = 0
    if partial is not None:
        done = _restore(partial, key, scores, reasons)
    was_training = model.training
    model.eval()
    with reporter.progress(title, total, done) as meter:
        # One loader for all that is left: blocks only decide how often the work is saved.
        loader = iter(test_loader(clips, batch=batch, workers=loader_workers(train), indices=range(done, total)))
        start = done
        for batch_of_clips in loader:
            frames, index, valid = batch_of_clips["frames"], batch_of_clips["index"], batch_of_clips["valid"]
            part = score_views(model, pixels, frames, average, manifest.task, train.amp).cpu().numpy()
            rows, good = index.numpy(), valid.numpy()
            scores[rows[good]] = part[good]
            reasons |= {int(rows[i]): batch_of_clips["reason"][i] for i in np.flatnonzero(~good)}
            done += len(rows)
            meter.advance(len(rows))
            if partial is not None and done - start >= _BLOCK and done < total:
                _save(partial, start, done, scores, reasons)
                start = done
    model.train(was_training)
    valid_rows = np.ones(total, bool)
    valid_rows[list(reasons)] = False
    return Scored(scores, valid_rows, reasons)


def _save(partial: Path, start: int, stop: int, scores: np.ndarray, reasons: dict[int, str]) -> None:
    failed = {row: reason for row, reason in reasons.items() if start <= row < stop}
    with atomic_path(partial / f"{start:010d}.npz") as temporary, temporary.open("wb") as handle:
        np.savez(handle, scores=scores[start:stop], reasons=np.array(json.dumps(failed)))


def _restore(partial: Path, key: str, scores: np.ndarray, reasons: dict[int, str]) -> int:
    """Fill in what an interrupted test saved under the same key; returns how many rows that is."""
    key_file = partial / "key"
    if not key_file.is_file() or key_file.read_text() != key:
        shutil.rmtree(partial, ignore_errors=True)
        write_atomic(key_file, key)
        return 0
    done = 0
    for path in _blocks(partial):
        if int(path.stem) != done:
            break
        with np.load(path) as block:
            part = block["scores"]
            reasons |= {int(row): reason for row, reason in json.loads(str(block["reasons"])).items()}
        scores[done : done + len(part)] = part
        done += len(part)
    return done


def _blocks(partial: Path) -> Iterator[Path]:
    yield from sorted(path for path in partial.glob("*.npz") if not path.name.startswith("."))
