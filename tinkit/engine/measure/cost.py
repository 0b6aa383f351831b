"""What a network costs: its parameters, and the multiplications of one clip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from tinkit.data.config.views import ViewConfig, image_shape
from tinkit.engine.runtime.build import build_model
from tinkit.models import Classifier
from tinkit.models.modality import pixels_of
from tinkit.recipe import Recipe


@dataclass(frozen=True)
class Cost:
    """Parameters, in millions, and multiplications of one clip, in billions (what papers call GFLOPs)."""

    parameters: float
    giga_products: float


def cost_of(model: Classifier, video: Tensor) -> Cost:
    """What one forward pass of ``model``, which is on ``meta`` for testing, costs on ``video`` (1, T, C, H, W).

    Nothing is computed: tensors have shapes only. The model's normalisations pass their input on afterwards.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):  # counted as nothing, and slow on tensors without values
            module.forward = _unchanged  # type: ignore[assignment]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(video)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Cost(parameters / 1e6, counter.get_total_flops() / 2e9)  # PyTorch counts additions too


def gflops_of_test(recipe: Recipe, classes: int, views: ViewConfig) -> float:
    """The billions of multiplications that a test by ``views`` takes for one clip, all its views together."""
    with torch.device("meta"):
        model = build_model(recipe, classes, pretrained=False, num_segments=views.num_segments).eval()
    segments = views.num_segments or recipe.clip.num_segments
    shape = (1, segments, len(pixels_of(model).mean), *image_shape(recipe.clip, views))
    return views.count * cost_of(model, torch.empty(shape, device="meta")).giga_products


def _unchanged(x: Tensor) -> Tensor:
    return x
