"""The challenge of lags for a study: made by `tinkit synth`, decoded once by tinkit's decoder, with the true lags."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from benchmarks.demo import tinkit
from tinkit.data.clips.testing import TestClips
from tinkit.data.config.dataset import DataConfig
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.layouts.layout import Split
from tinkit.data.manifest.manifest import open_manifest
from tinkit.data.synth import SynthSpec, answers_path
from tinkit.data.synth.clips import draw_clip
from tinkit.data.synth.render import digit_targets
from tinkit.data.synth.scenes import digit_pools
from tinkit.files.atomic import atomic_path

SPEC = SynthSpec("sthv2", clips=600, val=300, test=1000, size=32, frames=8, lags=True)
KINDS = ("two", "half", "speed")


class LagClips(NamedTuple):
    """A split: frames (N, T, 3, H, W) uint8, classes (N,) as :data:`SPEC` numbers them, true lags (N,) in frames."""

    frames: Tensor
    labels: Tensor
    lags: Tensor


def make(root: Path) -> None:
    """Make the challenge in ``root``, or what is missing of it."""
    counts = ("--clips", str(SPEC.clips), "--val", str(SPEC.val), "--test", str(SPEC.test))
    shape = ("--size", str(SPEC.size), "--frames", str(SPEC.frames))
    tinkit("synth", SPEC.layout, root, "--lags", *counts, *shape, "--seed", str(SPEC.seed), "--workers", "0")


def load(root: Path, split: Split) -> LagClips:
    """A split as tinkit's data set for testing gives it, kept in a file beside the challenge, which is made first."""
    kept = root.with_name(f"{root.name}-{split}.pt")
    if kept.is_file():
        return LagClips(**torch.load(kept, weights_only=True))
    make(root)
    manifest = open_manifest(DataConfig(dataset=SPEC.layout, root=root), split)
    views = ViewConfig(views="1x1", scale=SPEC.size, crop=SPEC.size)
    items = list(
        TestClips(manifest, ClipConfig(num_segments=SPEC.frames, size=SPEC.size), views).each(range(len(manifest)))
    )
    if broken := [item["reason"] for item in items if item["broken"]]:
        raise SystemExit(f"{len(broken)} clips of {split} cannot be decoded: {broken[0]}")
    if split == "test":
        answers = pd.read_csv(answers_path(root), dtype={"id": str}).set_index("id")["labels"]
        labels = torch.tensor([int(answers[clip]) for clip in manifest.ids])
    else:
        labels = torch.stack([item["labels"] for item in items])
    names = [action.plain for action in SPEC.actions]
    own = torch.tensor([names.index(name) for name in manifest.classes])
    lags = _lags(split)
    found = LagClips(
        torch.cat([item["frames"] for item in items]),
        own[labels],
        torch.tensor([lags[clip] for clip in manifest.ids]),
    )
    with atomic_path(kept) as temporary:
        torch.save(found._asdict(), temporary)
    return found


def _lags(split: Split) -> dict[str, float]:
    """The true lag of every clip, by its id."""
    targets = digit_targets()
    pool = digit_pools(SPEC.seed, len(targets))[split]
    clips = (draw_clip(SPEC, split, number, pool, targets) for number in range(SPEC.count(split)))
    return {clip.id: float(clip.scene.digits[0].lag or 0) for clip in clips}
