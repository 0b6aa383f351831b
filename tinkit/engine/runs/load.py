"""The model out of a run: its classifier with a checkpoint's weights, ready to test."""

from __future__ import annotations

from pathlib import Path

import torch

from tinkit.engine.distributed.world import World
from tinkit.engine.runs.non_finite import non_finite_names
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.weights import load_run_weights
from tinkit.engine.runtime.build import build_model
from tinkit.engine.runtime.device import choose_device, limit_threads
from tinkit.errors import UserError
from tinkit.models import Classifier
from tinkit.models.batch_norm import merge_batch_norm
from tinkit.recipe import Recipe


def load_model(
    run: Run, weights: str, num_segments: int | None = None, world: World | None = None
) -> tuple[Classifier, Recipe, Path]:
    """The run's classifier with a checkpoint's weights on the device, in evaluation mode.

    ``num_segments`` is the frames that it shall see (None: as in training). Where weights are non-finite, all that it
    gives is NaN.
    """
    recipe = run.load_recipe()
    state, path, header = load_run_weights(run, weights)
    model = build_model(recipe, len(header["info"]["classes"]), pretrained=False, num_segments=num_segments)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"does not fit the run's recipe: {error}", file=path) from error
    if non_finite_names(state):
        # An offset that is NaN leads out of the clip, and a ReLU may take NaN for zero: what such weights give would
        # look like scores. So it is NaN whatever they give, and whoever uses it names the clip.
        model.backbone.register_forward_hook(lambda _module, _given, features: torch.full_like(features, torch.nan))
    return model.to(choose_device(world)).eval(), recipe, path


def prepare_to_test(model: Classifier) -> None:
    """Make ``model``, loaded for a test and in evaluation mode, as fast as it gets: it can only test afterwards."""
    limit_threads()
    merge_batch_norm(model)
