"""What a run's network sees in clips, before its classifier: features of video files, or of every clip of a split."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinkit.data.clips import TestClips, load_views, require_files
from tinkit.data.config import DataConfig, Media
from tinkit.data.flow_files import FlowFiles
from tinkit.data.loading import test_loader
from tinkit.data.manifest import open_manifest
from tinkit.data.reader import BrokenClip
from tinkit.data.views import ViewConfig
from tinkit.engine.build import Pixels, choose_device, loader_workers
from tinkit.engine.checkpoint import read_header
from tinkit.engine.choices import amp_of_test, prepare_to_test
from tinkit.engine.log import Reporter
from tinkit.engine.plan import make_plan, manifest_labels
from tinkit.engine.precision import PRECISION, autocast
from tinkit.engine.protocol import check_segments, protocol_of
from tinkit.engine.run import Run
from tinkit.engine.test import load_model
from tinkit.errors import UserError
from tinkit.files import sha256_file
from tinkit.models import Classifier
from tinkit.scores.features import FeatureTable, check_ids, write_features

Row = NDArray[np.float32]  # (F,)
_OF_SCORES = ("kind", "average", "view")  # what a score file says that has no meaning for features


@dataclass(frozen=True)
class WrittenFeatures:
    """A feature file that was written."""

    path: Path
    clips: int
    width: int
    """Features of a clip."""
    reasons: dict[str, str]
    """Clip id to why its features are null."""


def pooled_features(model: Classifier, video: Tensor) -> Tensor:
    """(B, T, C, H, W), normalised, to (B, F) float32: what goes into the model's dropout, averaged over the frames.

    That is the backbone's output behind its pooling, before anything that is made for the classes.
    """
    seen: list[Tensor] = []
    watching = model.dropout.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        model(video)
    finally:
        watching.remove()
    (features,) = seen
    return features.float().reshape(len(video), -1, features.shape[-1]).mean(1)


def features_of_split(
    run: Run,
    weights: str,
    split: str,
    views: ViewConfig,
    reporter: Reporter,
    *,
    data: DataConfig | None = None,
    out: Path | None = None,
) -> WrittenFeatures:
    """Write the features of a split's clips, averaged over ``views``: the ids, and their order, of its score file.

    The file is ``features/SPLIT-VIEWS-WEIGHTS.arrow`` in the run's folder unless ``out`` names it. ``data`` replaces
    the recipe's (another root). A clip that cannot be decoded has null features.
    """
    recipe = run.load_recipe()
    check_segments(recipe, views)
    manifest = open_manifest(data or recipe.data, split)
    network = _Network(run, weights, views)
    plan = make_plan(run, recipe, manifest, views, weights, amp=network.amp, trial=False, apart=False)
    flow = FlowFiles.of(data or recipe.data)
    require_files(manifest, recipe.clip, flow)
    clips = TestClips(manifest, recipe.clip, views, flow)
    batch, workers = max(1, views.batch // views.count), loader_workers(recipe.train)
    rows: list[Row] = []
    reasons: dict[str, str] = {}
    with reporter.progress(f"features of {split} {views.views}", len(clips), 0) as meter:
        for part in test_loader(clips, batch=batch, workers=workers):
            rows += list(network.features(part["frames"]))
            named = zip(part["index"].tolist(), part["reason"], strict=True)
            reasons |= {manifest.ids[row]: reason for row, reason in named if reason}
            meter.advance(len(part["frames"]))
    path = out or run.folder / "features" / plan.path.name
    info, source = dataclasses.asdict(plan.info), manifest.table["source"].to_pylist()
    return _write(path, info, manifest.ids, rows, manifest_labels(manifest), source, reasons)


def features_of_files(run: Run, weights: str, paths: Sequence[Path], views: ViewConfig, out: Path) -> WrittenFeatures:
    """Write the features of video files, or folders of frames, averaged over ``views``; the ids are the paths.

    A file that cannot be decoded has null features. Raises :class:`~tinkit.errors.UserError` for a path given twice and
    for views that the model cannot see.
    """
    recipe = run.load_recipe()
    check_segments(recipe, views)
    ids = [str(path) for path in paths]
    check_ids(ids, out)
    network = _Network(run, weights, views)
    rows: list[Row | None] = []
    reasons: dict[str, str] = {}
    for path in paths:
        try:
            media: Media = "frames" if path.is_dir() else "video"
            frames = load_views(path, media, recipe.clip, views, recipe.data.layout.frame_template)
        except BrokenClip as error:
            reasons[str(path)] = error.reason
            rows.append(None)
            continue
        rows += list(network.features(frames[None]))
    info = {
        "task": network.info["task"],
        "classes": network.info["classes"],
        "split": "",
        "views": views.views,
        "protocol": protocol_of(views, recipe.clip) | {"precision": PRECISION[network.amp]},
        "weights": weights,
        "trained_on": network.info["trained_on"],
        "run": run.name,
        "hashes": {"recipe": run.recipe_hash(), "checkpoint": sha256_file(network.checkpoint)},
    }
    return _write(out, info, ids, rows, [None] * len(ids), ids, reasons)


class _Network:
    """A run's network, ready to test, and its pixels."""

    def __init__(self, run: Run, weights: str, views: ViewConfig) -> None:
        self._model, recipe, self.checkpoint = load_model(run, weights, views.num_segments)
        device = choose_device()
        self.info: dict[str, Any] = read_header(self.checkpoint)["info"]
        self.amp = amp_of_test(recipe, views, device.type)
        prepare_to_test(self._model)
        self._pixels = Pixels(self._model, device, recipe.train.channels_last)

    @torch.inference_mode()
    def features(self, frames: Tensor) -> NDArray[np.float32]:
        """The views (B, V, T, C, H, W) uint8 to features (B, F), averaged over them."""
        video = self._pixels(frames.flatten(0, 1))
        with autocast(video.device.type, self.amp):
            features = pooled_features(self._model, video)
        pooled: NDArray[np.float32] = features.unflatten(0, frames.shape[:2]).mean(1).cpu().numpy()
        return pooled


def _write(
    path: Path,
    info: dict[str, Any],
    ids: Sequence[str],
    rows: Sequence[Row | None],
    labels: Sequence[tuple[int, ...] | None],
    source: Sequence[str],
    reasons: dict[str, str],
) -> WrittenFeatures:
    kept = {name: value for name, value in info.items() if name not in _OF_SCORES}
    valid = np.array([name not in reasons for name in ids])
    if not valid.any():
        raise UserError(
            f"none of the {len(ids)} clips could be decoded: {next(iter(reasons.values()), 'none is there')}"
        )
    width = next(len(row) for row in rows if row is not None)
    features = np.stack([np.full(width, np.nan, np.float32) if row is None else row for row in rows])
    write_features(path, FeatureTable(kept, ids, features, valid, labels, source))
    return WrittenFeatures(path, len(ids), width, reasons)
