"""Labels for video files that belong to no data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinkit.data.clips.testing import load_noted_views
from tinkit.data.config.views import ViewConfig
from tinkit.data.decode.clip_reader import BrokenClip, Note
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.layouts.layout import Media
from tinkit.data.sampling.flips import flip_permutation
from tinkit.engine.evaluation.protocol import check_segments
from tinkit.engine.evaluation.score import Scorer, likeliest, probabilities_of
from tinkit.engine.runs.checkpoint import read_header
from tinkit.engine.runs.load import load_model, prepare_to_test
from tinkit.engine.runs.non_finite import NonFiniteError, require_finite_values
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.way_back import told_of_run
from tinkit.engine.runtime.device import amp_of_test, choose_device
from tinkit.engine.runtime.pixels import Pixels


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one file, or why there are none."""

    path: Path
    labels: tuple[tuple[str, float], ...]
    """(class, probability), likeliest first."""
    reason: str = ""
    notes: tuple[Note, ...] = ()
    """Notes on how the file was read: that it was turned, for example, or cut off."""


def predict(run: Run, weights: str, paths: Sequence[Path], views: ViewConfig | None, top: int) -> list[Prediction]:
    """Score each file with the run's model; a file that cannot be decoded gets a reason instead of labels.

    ``views`` replaces the recipe's. Raises :class:`~tinkit.errors.UserError` for views that the model cannot see, and
    for non-finite scores.
    """
    recipe = run.load_recipe()
    config = views or recipe.test
    check_segments(recipe, config)
    model, _, checkpoint = load_model(run, weights, config.num_segments)
    info = read_header(checkpoint)["info"]
    swap = flip_permutation(info["classes"], recipe.clip.flip_labels)
    device = choose_device()
    prepare_to_test(model)
    pixels = Pixels(model, device, channels_last=recipe.train.channels_last)
    amp = amp_of_test(recipe, config, device.type)
    scorer = Scorer(model, pixels, info["task"], config.average, amp, config.mirrored, swap)
    predictions = []
    for path in paths:
        try:
            media: Media = "frames" if path.is_dir() else "video"
            template = recipe.data.layout.frame_template
            frames, notes = load_noted_views(path, media, recipe.clip, config, template, DecodeSettings.of(recipe.data))
        except BrokenClip as error:
            predictions.append(Prediction(path, (), error.reason))
            continue
        scores = scorer(frames[None])[0].mean(0)
        try:
            require_finite_values(scores[None].cpu().numpy(), (), [str(path)].__getitem__, "scores")
        except NonFiniteError as error:
            raise told_of_run(error, run, weights) from None
        if config.average == "logits":
            scores = probabilities_of(scores, info["task"])
        predictions.append(Prediction(path, likeliest(scores, info["classes"], top), notes=tuple(notes)))
    return predictions
