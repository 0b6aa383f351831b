"""From a recipe's tables to the model, ready on its device, as it is run, and the pixels it wants."""

from __future__ import annotations

import torch
from torch import nn

from tinkit.models import Classifier, Video3D, VideoClassifier, freeze_partial_bn
from tinkit.recipe import Recipe


def build_model(
    recipe: Recipe, num_classes: int, *, pretrained: bool | str | None = None, num_segments: int | None = None
) -> Classifier:
    """The recipe's classifier on the CPU.

    ``pretrained`` replaces the recipe's (False if weights are loaded later), ``num_segments`` the clip's.
    """
    start = recipe.model.pretrained if pretrained is None else pretrained
    model = _network(recipe, num_classes, num_segments or recipe.clip.num_segments, pretrained=start)
    if recipe.train.channels_last:
        lay_channels_last(model)
    if recipe.model.partial_bn:
        freeze_partial_bn(model)
    return model


def lay_channels_last(model: nn.Module) -> None:
    """Bring the weights of convolutions over space, and of those over time too, into channels_last."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in model.parameters():
        if parameter.dim() in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.dim()])


def _network(recipe: Recipe, num_classes: int, num_segments: int, *, pretrained: bool | str) -> Classifier:
    arguments = recipe.model.network_arguments() | {"num_classes": num_classes, "pretrained": pretrained}
    if recipe.model.is_3d:
        return Video3D(num_frames=num_segments, **arguments)
    clip = recipe.clip
    return VideoClassifier(num_segments=num_segments, modality=clip.modality, flow_length=clip.flow_length, **arguments)
