"""Validation of a run under way: one view of every clip, raw and averaged weights, metrics, events and samples."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from tinkit import metrics
from tinkit.data.clips.testing import TestClips
from tinkit.data.decode.clip_reader import notes_text, unusable_text
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.flow.folders import FlowFiles
from tinkit.data.manifest.manifest import Manifest
from tinkit.engine.evaluation.score import Scored, Scorer, likeliest, probabilities_of, score_split
from tinkit.engine.runs.log import RunLog
from tinkit.engine.runtime.pixels import Pixels
from tinkit.engine.runtime.session import Session
from tinkit.engine.training.sample_images import sample_lines, sample_strip, visible
from tinkit.inspection.classes import class_values, value_name
from tinkit.inspection.confusion import confusion_counts
from tinkit.models import record_steering
from tinkit.recipe import Recipe
from tinkit.scores import mark_labels

_LIKELIEST = 3  # classes shown under a sample clip


class Validator:
    """Measures weights on the validation split; every process scores its share, the main one measures."""

    def __init__(self, recipe: Recipe, manifest: Manifest, pixels: Pixels, session: Session) -> None:
        views = recipe.test.model_copy(update={"views": "1x1", "sampling": "even", "flip": False})
        self.clips = TestClips(manifest, recipe.clip, views, FlowFiles.of(recipe.data), DecodeSettings.of(recipe.data))
        self._recipe, self._pixels, self._session = recipe, pixels, session
        known = manifest.table["labels"].to_pylist() if session.world.main else None
        self._labels = None if known is None else mark_labels(known, len(manifest.classes))

    def __call__(self, model: nn.Module, log: RunLog | None, done: int) -> dict[str, float]:
        """The metrics of ``model`` by name, from 0 to 1, on the main process; nothing on the others.

        With a ``log`` (of the main process) offsets, gains and sample clips go to its events after ``done`` steps.
        """
        recipe, task = self._recipe, self.clips.manifest.task
        # an average of a classifier is one
        scorer = Scorer(model, self._pixels, task, "logits", recipe.train.amp)  # type: ignore[arg-type]
        with record_steering(model) as recorded:
            scored = score_split(
                scorer, self.clips, recipe.train, self._session, batch=recipe.test.batch, title="validation"
            )
        if scored is None or self._labels is None:
            return {}
        reporter = self._session.reporter
        if scored.reasons:
            reporter.say(f"validation: {unusable_text(scored.reasons.values())} and do not count")
        if scored.notes:
            reporter.say(f"validation: {notes_text(scored.notes)}")
        if log is not None:
            log.steering(done, recorded)
            self._show_samples(scored, log, done)
        result = metrics.evaluate(scored.scores, self._labels, task, valid=scored.valid)
        if log is not None:
            self._log_classes(scored, log, done)
        return dict(result.values)

    def _log_classes(self, scored: Scored, log: RunLog, done: int) -> None:
        task, names = self.clips.manifest.task, self.clips.manifest.classes
        assert self._labels is not None
        scores, marks = scored.scores[scored.valid], self._labels[scored.valid]
        values = class_values(scores, marks, task, confusion_counts(scores, marks))
        log.classes(done, f"val_{value_name(task)}", dict(zip(names, values.tolist(), strict=True)))

    def _show_samples(self, scored: Scored, log: RunLog, done: int) -> None:
        manifest, most = self.clips.manifest, self._recipe.train.samples
        for number, index in enumerate(np.flatnonzero(scored.valid)[:most].tolist()):
            row, logits = manifest.row(index), torch.from_numpy(scored.scores[index])
            found = likeliest(probabilities_of(logits, manifest.task), manifest.classes, _LIKELIEST)
            lines = sample_lines(row.id, [manifest.classes[label] for label in row.labels or ()], found)
            log.sample(
                done, number, sample_strip(visible(self.clips[index]["frames"][0], self._recipe.clip.modality), lines)
            )
