"""Validation of a run under way: one view of every clip, raw and averaged weights, metrics, events and samples."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from tinkit import metrics
from tinkit.data.clips.testing import TestClips
from tinkit.data.decode.clip_reader import notes_text
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.flow.folders import FlowFiles
from tinkit.data.manifest.manifest import Manifest
from tinkit.engine.distributed.signals import StopSignal
from tinkit.engine.distributed.world import World
from tinkit.engine.evaluation.score import Scored, likeliest, probabilities_of, score_split
from tinkit.engine.runs.log import Reporter, RunLog
from tinkit.engine.runtime.build import Pixels
from tinkit.engine.training.sample_images import sample_lines, sample_strip, visible
from tinkit.models import record_steering
from tinkit.recipe import Recipe
from tinkit.scores import mark_labels

_LIKELIEST = 3  # classes shown under a sample clip


class Validator:
    """Measures weights on the validation split; every process scores its share, the main one measures."""

    def __init__(self, recipe: Recipe, manifest: Manifest, pixels: Pixels, reporter: Reporter, world: World) -> None:
        views = recipe.test.model_copy(update={"views": "1x1", "sampling": "even", "flip": False})
        self.clips = TestClips(manifest, recipe.clip, views, FlowFiles.of(recipe.data), DecodeSettings.of(recipe.data))
        self._recipe, self._pixels = recipe, pixels
        self._reporter, self._world = reporter, world
        self._labels = mark_labels(manifest.table["labels"].to_pylist(), len(manifest.classes)) if world.main else None

    def __call__(self, model: nn.Module, log: RunLog | None, done: int, stop: StopSignal) -> dict[str, float]:
        """The metrics of ``model`` by name, from 0 to 1, on the main process; nothing on the others.

        With a ``log`` (of the main process) offsets, gains and sample clips go to its events after ``done`` steps.
        """
        with record_steering(model) as recorded:
            scored = score_split(
                model,  # type: ignore[arg-type]  # an average of a classifier is one
                self._pixels,
                self.clips,
                self._recipe.train,
                self._reporter,
                batch=self._recipe.test.batch,
                average="logits",
                title="validation",
                amp=self._recipe.train.amp,
                world=self._world,
                stop=stop,
            )
        if scored is None or self._labels is None:
            return {}
        if scored.reasons:
            self._reporter.say(f"validation: {len(scored.reasons)} clips cannot be decoded and do not count")
        if scored.notes:
            self._reporter.say(f"validation: {notes_text(scored.notes)}")
        if log is not None:
            log.steering(done, recorded)
            self._show_samples(scored, log, done)
        result = metrics.evaluate(scored.scores, self._labels, self.clips.manifest.task, valid=scored.valid)
        return dict(result.values)

    def _show_samples(self, scored: Scored, log: RunLog, done: int) -> None:
        manifest, most = self.clips.manifest, self._recipe.train.samples
        for number, index in enumerate(np.flatnonzero(scored.valid)[:most].tolist()):
            row, logits = manifest.row(index), torch.from_numpy(scored.scores[index])
            found = likeliest(probabilities_of(logits, manifest.task), manifest.classes, _LIKELIEST)
            lines = sample_lines(row.id, [manifest.classes[label] for label in row.labels or ()], found)
            log.sample(
                done, number, sample_strip(visible(self.clips[index]["frames"][0], self._recipe.clip.modality), lines)
            )
