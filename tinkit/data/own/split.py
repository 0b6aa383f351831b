"""A training and a validation split: sources are kept together, classes shared out evenly."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tinkit.data.own.clips import OwnClip
from tinkit.errors import UserError


def split_clips(clips: Sequence[OwnClip], share: float, seed: int) -> tuple[OwnClip, ...]:
    """``clips`` with a split each: those that have one keep it; of the others about ``share`` are for validation.

    No source is in two splits, and every class is in training. Where a validation split is given, none is made.
    Raises :class:`~tinkit.errors.UserError` for clips of fewer than two sources, and where none can be held out.
    """
    if any(clip.split == "val" for clip in clips):
        return tuple(clip if clip.split else replace(clip, split="train") for clip in clips)
    free = [at for at, clip in enumerate(clips) if clip.split in (None, "train")]
    sources = sorted({clips[at].source for at in free})
    if len(sources) < 2:
        raise UserError(
            f"the clips come from {len(sources)} source: they cannot be split",
            fix="name a column of sources with --source-column, or rename files that are not pieces of one video",
        )
    chosen = _validation([clips[at] for at in free], max(2, min(len(sources), round(1 / share))), seed)
    if not chosen.any():
        raise UserError(
            "no clip can be held out for validation: every class would lose its only clip, or its only source",
            fix="add clips of another source to a class, or say the splits in a column or in folders train and val",
        )
    marked = {at: "val" if held else "train" for at, held in zip(free, chosen, strict=True)}
    return tuple(replace(clip, split=marked.get(at, clip.split)) for at, clip in enumerate(clips))  # type: ignore[arg-type]


def _validation(clips: Sequence[OwnClip], folds: int, seed: int) -> np.ndarray:
    """(N,) bool: one part of ``folds``, with all clips of a source or none, and classes as in the whole."""
    from sklearn.model_selection import StratifiedGroupKFold

    counts = Counter(label for clip in clips for label in clip.labels)
    rarest = [min(clip.labels, key=lambda label: (counts[label], label), default="") for clip in clips]
    strata = np.unique(rarest, return_inverse=True)[1]
    groups = np.unique([clip.source for clip in clips], return_inverse=True)[1]
    folds = min(folds, int(np.bincount(strata).max()))
    if folds < 2:
        return _one_source(clips)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes with fewer clips than parts: told by the caller
        parts = list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(strata, strata, groups))
    held = np.zeros(len(clips), bool)
    held[max(parts, key=lambda part: len(np.unique(strata[part[1]])))[1]] = True
    held &= ~_only_there(clips, held)
    return held if held.any() else _one_source(clips)


def _one_source(clips: Sequence[OwnClip]) -> np.ndarray:
    """(N,) bool: the clips of the first source without which training has every class still; else none."""
    for source in sorted({clip.source for clip in clips}):
        held = np.array([clip.source == source for clip in clips])
        if not _only_there(clips, held).any():
            return held
    return np.zeros(len(clips), bool)


def _only_there(clips: Sequence[OwnClip], held: np.ndarray) -> np.ndarray:
    """(N,) bool: clips of the sources that must go back, since training would lack one of their classes."""
    trained = {label for clip, out in zip(clips, held, strict=True) if not out for label in clip.labels}
    back = {clip.source for clip, out in zip(clips, held, strict=True) if out and not set(clip.labels) <= trained}
    return np.array([clip.source in back for clip in clips])
