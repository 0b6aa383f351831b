"""Where a network looks: class activation over space and time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tinkit.data.clips.testing import TestClips
from tinkit.data.config.modality import Modality
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.flow.folders import FlowFiles
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.runs.load import load_model
from tinkit.engine.runs.run import Run
from tinkit.engine.runtime.device import choose_device, limit_threads
from tinkit.engine.runtime.pixels import Pixels
from tinkit.models import Classifier
from tinkit.models.consensus import Average
from tinkit.timm_import import import_timm


@dataclass(frozen=True, eq=False)
class Seen:
    """A clip as the model was given it: ``frames`` (T, C, H, W) uint8 of ``modality``, and, where the network is known
    to have one, the ``activation`` (T', h, w) float32 of a class. ``reason`` says why there are no frames."""

    id: str
    modality: Modality
    frames: NDArray[np.uint8] | None = None
    activation: NDArray[np.float32] | None = None
    reason: str = ""


@torch.inference_mode()
def class_activation(model: Classifier, clip: Tensor, index: int) -> NDArray[np.float32] | None:
    """The activation (T', h, w) of class ``index`` in ``clip`` (1, T, C, H, W), as the model reads it.

    ``w_c . f(t, y, x)``: the classifier's weights of the class on the features before they are pooled, whose mean over
    space and time is the class's logit less its bias (Zhou et al., "Learning deep features for discriminative
    localization", CVPR 2016, equation 2). None for a network in which something stands between average pooling and the
    classifier, or between that and the logits.
    """
    pooling = import_timm().layers.SelectAdaptivePool2d
    pools = [module for module in model.backbone.modules() if isinstance(module, pooling)]
    if len(pools) != 1 or not _is_average(pools[0]) or not isinstance(getattr(model, "consensus", None), Average):
        return None
    taken: list[Tensor] = []
    handle = pools[0].register_forward_pre_hook(lambda _module, given: taken.append(given[0]))
    try:
        logits = model(clip)
    finally:
        handle.remove()
    weight, bias = model.classifier.weight, model.classifier.bias
    if len(taken) != 1 or taken[0].ndim != 4 or taken[0].shape[1] != weight.shape[1]:
        return None
    activation = torch.einsum("c,tchw->thw", weight[index].float(), taken[0].float())
    if not torch.allclose(activation.mean() + bias[index], logits[0, index].float(), rtol=1e-2, atol=1e-2):
        return None
    return activation.cpu().numpy()


def _is_average(pool: nn.Module) -> bool:
    return getattr(pool, "pool_type", "") in ("avg", "fast", "fastavg")


def look_at(
    run: Run, weights: str, split: str, wanted: Sequence[tuple[str, str | None]], *, activations: bool = True
) -> Iterator[Seen]:
    """The clips of ``split`` that ``wanted`` names as (id, class), in that order, one view each.

    Raises :class:`~tinkit.errors.UserError` where the data, the manifest or the weights are not at hand.
    """
    recipe = run.load_recipe()
    manifest = open_manifest(recipe.data, split)
    manifest.require_media()
    views = recipe.test.model_copy(update={"views": "1x1", "flip": False})
    clips = TestClips(manifest, recipe.clip, views, FlowFiles.of(recipe.data), DecodeSettings.of(recipe.data))
    rows = {name: row for row, name in enumerate(manifest.table["id"].to_pylist())}
    model, _, _ = load_model(run, weights, views.num_segments)
    limit_threads()
    pixels = Pixels(model, choose_device(), channels_last=recipe.train.channels_last)
    modality = recipe.clip.modality
    for name, label in wanted:
        if name not in rows:
            yield Seen(name, modality, reason=f"the manifest of {split} has no such clip")
            continue
        item = clips[rows[name]]
        if item["broken"]:
            yield Seen(name, modality, reason=item["reason"])
            continue
        frames = item["frames"][0]
        found = None
        if activations and label in manifest.classes:
            found = class_activation(model, pixels(frames[None]), manifest.classes.index(label))
        yield Seen(name, modality, frames.numpy(), found)
