"""A batch of clips, and how clips are stacked to one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict

import torch
from torch import Tensor

from tinkit.data.clips.item import ClipItem
from tinkit.data.decode.clip_reader import Note


class Batch(TypedDict):
    """Clips stacked: ``frames`` uint8 (B, T, C, H, W) or, in testing, (B, V, T, C, H, W)."""

    frames: Tensor
    labels: Tensor
    """float32 (B, C) of 0 and 1, or int64 (B,)."""
    labelled: Tensor
    """bool (B,)"""
    index: Tensor
    """int64 (B,): rows of the manifest."""
    valid: Tensor
    """bool (B,)"""
    broken: Tensor
    """bool (B,): not valid because they could not be decoded."""
    reason: list[str]
    notes: list[list[Note]]
    """For each clip, what users should know about it."""


def collate(items: Sequence[ClipItem], room: Callable[[tuple[int, ...]], Tensor] | None = None) -> Batch:
    """Stack clips to a batch; frames keep their channels_last memory. ``room`` makes the tensor they are put into."""
    parts = [item["frames"].movedim(-3, -1) for item in items]
    frames = torch.stack(parts, out=None if room is None else room((len(parts), *parts[0].shape)))
    return {
        "frames": frames.movedim(-1, -3),
        "labels": torch.stack([item["labels"] for item in items]),
        "labelled": torch.tensor([item["labelled"] for item in items]),
        "index": torch.tensor([item["index"] for item in items]),
        "valid": torch.tensor([item["valid"] for item in items]),
        "broken": torch.tensor([item["broken"] for item in items]),
        "reason": [item["reason"] for item in items],
        "notes": [item.get("notes", []) for item in items],
    }
