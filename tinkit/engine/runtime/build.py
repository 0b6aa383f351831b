"""From a recipe's tables to the model, ready on its device, as it is run, and the pixels it wants."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from tinkit.models import Classifier, Video3D, VideoClassifier, freeze_partial_bn
from tinkit.models.video import Temporal
from tinkit.recipe import Recipe
from tinkit.recipe.model import ModelConfig


def build_model(
    recipe: Recipe, num_classes: int, pretrained: bool | str | None = None, num_segments: int | None = None
) -> Classifier:
    """The recipe's classifier on the CPU.

    ``pretrained`` replaces the recipe's (False if weights are loaded later), ``num_segments`` the clip's.
    """
    config = recipe.model
    start = config.pretrained if pretrained is None else pretrained
    frames = num_segments or recipe.clip.num_segments
    model = (
        _network_3d(config, num_classes, frames, start)
        if config.is_3d
        else _network(recipe, num_classes, frames, start)
    )
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


def _network(recipe: Recipe, num_classes: int, num_segments: int, pretrained: bool | str) -> VideoClassifier:
    config = recipe.model
    return VideoClassifier(
        backbone=config.backbone,
        temporal=cast(Temporal, config.temporal),
        num_classes=num_classes,
        num_segments=num_segments,
        shift_div=config.shift_div,
        dropout=config.dropout,
        pretrained=pretrained,
        offset_init=config.offset_init,
        place=config.place,
        shift_place=config.shift_place,
        temporal_pool=config.temporal_pool,
        non_local=config.non_local,
        non_local_subsample=config.non_local_subsample,
        non_local_places=config.non_local_places,
        consensus=config.consensus,
        relations_sampled=config.relations_sampled,
        sample_in_test=config.sample_in_test,
        zero_init_last=config.zero_init_last,
        classifier_std=config.classifier_std,
        backbone_kwargs=config.backbone_kwargs,
        modality=recipe.clip.modality,
        flow_length=recipe.clip.flow_length,
    )


def _network_3d(config: ModelConfig, num_classes: int, num_frames: int, pretrained: bool | str) -> Video3D:
    return Video3D(
        arch=config.backbone,
        num_classes=num_classes,
        num_frames=num_frames,
        variant=config.variant,
        dropout=config.dropout,
        speed_ratio=config.speed_ratio,
        lateral_kernel=config.lateral_kernel,
        stem_pool=config.stem_pool,
        zero_init_last=config.zero_init_last,
        classifier_std=config.classifier_std,
        pretrained=pretrained if isinstance(pretrained, str) else None,
    )
