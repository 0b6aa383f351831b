"""One clip as a data set gives it."""

from __future__ import annotations

from collections.abc import Collection
from typing import NotRequired, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinkit.data.decode.clip_reader import Note
from tinkit.data.manifest.manifest import Manifest, ManifestRow


class ClipItem(TypedDict):
    """One clip. ``frames`` uint8, (T, C, size, size) in training, (V, T, C, crop, crop) in testing."""

    frames: Tensor
    labels: Tensor
    """float32 (C,) of 0 and 1 for a multi-label task, an int64 scalar otherwise; zeros where ``labelled`` is False."""
    labelled: bool
    index: int
    """The clip's row in the manifest."""
    valid: bool
    broken: bool
    """It could not be decoded. A clip without a label, or too short to train on, is not valid but not broken either."""
    reason: str
    """Why the clip is not valid; empty if it is."""
    notes: NotRequired[list[Note]]
    """What users should know about a valid clip: that it was turned or cut off, for example."""
    mirrored: NotRequired[bool]
    """In training: whether the frames are mirror images."""


def make_item(
    manifest: Manifest,
    index: int,
    row: ManifestRow,
    frames: NDArray[np.uint8],
    reason: str,
    *,
    broken: bool,
    notes: Collection[Note] = (),
) -> ClipItem:
    """The item of ``row`` at ``index``; ``reason`` says why it is not valid, if it is not."""
    return {
        "frames": torch.from_numpy(frames).movedim(-1, -3),
        "labels": label_tensor(manifest, row),
        "labelled": row.labels is not None,
        "index": index,
        "valid": not reason,
        "broken": broken,
        "reason": reason,
        "notes": sorted(notes),
    }


def label_tensor(manifest: Manifest, row: ManifestRow) -> Tensor:
    """The labels of a clip as :class:`ClipItem` holds them; zeros where they are unknown."""
    if manifest.task == "single-label":
        return torch.tensor(row.labels[0] if row.labels else 0, dtype=torch.int64)
    labels = torch.zeros(len(manifest.classes), dtype=torch.float32)
    labels[list(row.labels or ())] = 1.0
    return labels
