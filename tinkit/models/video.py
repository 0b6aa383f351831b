"""The classifier of clips: a 2D backbone on each frame, a temporal module in it, the average of the frames' logits."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from tinkit.errors import UserError, did_you_mean
from tinkit.models.chain import may_chain, run_chain
from tinkit.models.checkpoints import read_checkpoint
from tinkit.models.foreign import ForeignReport, load_foreign
from tinkit.models.places import Place, family_of, places_in
from tinkit.models.temporal import TemporalConv2d, TemporalInterlace, TemporalShift
from tinkit.timm_import import import_timm

Temporal = Literal["tin", "tsm", "tsn"]
SHIFT_DIV: dict[str, int] = {"tin": 4, "tsm": 8, "tsn": 1}  # published; TSN moves nothing


class VideoClassifier(nn.Module):
    """Clips (B, T, 3, H, W), normalised, to logits (B, num_classes), float32 or better.

    ``backbone`` is a timm ResNet of any kind and depth. ``temporal``: ``tin`` interlaces and ``tsm`` shifts the
    features before a convolution of the residual branches, ``tsn`` leaves frames alone. ``place`` names that
    convolution (published: ``conv1``). ``shift_div`` is the share of the channels that moves (default: 4 for TIN, 8 for
    TSM); ``offset_init`` where TIN's offsets start, in frames. TIN moves in every block; TSM in every second one where
    the third stage has 23 blocks or more, as its repository does.

    ``pretrained`` is False, True (timm's ImageNet weights, from the network or its cache), or a file: a checkpoint that
    :func:`~tinkit.models.load_foreign` knows. What was taken from a file is told by ``pretrained_report``.

    ``zero_init_last`` is timm's start of a ResNet: the last BatchNorm weight of every residual branch is zero, and a
    fresh model's logits do not depend on its temporal modules at all; False starts them at one. ``classifier_std`` is
    the start of the classifier's weights (published: 0.001, from ImageNet weights). In a short training from scratch
    both published starts cost most of what could be learnt.

    The state dict is the backbone's under ``backbone.``, with ``temporal.`` under the convolutions that a TIN precedes,
    and ``classifier.``. Raises :class:`~tinkit.errors.UserError` for settings that cannot be, naming the layer.
    """

    def __init__(
        self,
        backbone: str = "resnet50",
        temporal: Temporal = "tin",
        num_classes: int = 313,
        num_segments: int = 8,
        shift_div: int | None = None,
        dropout: float = 0.8,
        pretrained: bool | str | Path = False,
        offset_init: float = 0.5,
        place: str = "conv1",
        zero_init_last: bool = True,
        classifier_std: float = 0.001,
    ) -> None:
        super().__init__()
        _check_settings(temporal, num_classes, num_segments, dropout)
        family = family_of(backbone)
        self.temporal = temporal
        self.num_segments = num_segments
        self.shift_div = SHIFT_DIV[temporal] if shift_div is None else shift_div
        self.backbone = _make_backbone(backbone, imagenet=pretrained is True, zero_init_last=zero_init_last)
        if temporal != "tsn":
            for spot in places_in(self.backbone, family, place, alternate=temporal == "tsm"):
                module = _make_temporal(temporal, spot, num_segments, self.shift_div, offset_init)
                setattr(spot.block, spot.attribute, TemporalConv2d(spot.convolution, module))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(cast(int, self.backbone.num_features), num_classes)
        nn.init.normal_(self.classifier.weight, std=classifier_std)
        nn.init.zeros_(self.classifier.bias)
        self.pretrained_report: ForeignReport | None = None
        if not isinstance(pretrained, bool):
            self.pretrained_report = load_foreign(read_checkpoint(pretrained), self)

    def forward(self, video: Tensor) -> Tensor:
        """(B, T, 3, H, W) -> (B, num_classes): the average over frames of each frame's logits, before any softmax."""
        if video.ndim != 5 or video.shape[1] != self.num_segments:
            raise ValueError(f"expected clips (B, {self.num_segments}, 3, H, W), got {tuple(video.shape)}")
        frames = video.flatten(0, 1)
        features = run_chain(self.backbone, frames) if may_chain(self.backbone, frames) else self.backbone(frames)
        logits = self.classifier(self.dropout(features)).unflatten(0, (video.shape[0], self.num_segments))
        return logits.mean(1, dtype=torch.promote_types(logits.dtype, torch.float32))

    def steering_modules(self) -> dict[str, TemporalInterlace]:
        """The modules that interlace, by name, in the order of the forward pass; none for TSM and TSN."""
        return {name: module for name, module in self.named_modules() if isinstance(module, TemporalInterlace)}


def data_config(model: VideoClassifier) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and standard deviation by channel, for pixels in 0..1, that the backbone's weights were made with."""
    config = cast(dict[str, tuple[float, ...]], model.backbone.pretrained_cfg)
    return tuple(config["mean"]), tuple(config["std"])


def freeze_partial_bn(model: nn.Module) -> None:
    """Freeze every ``BatchNorm2d`` (or its synchronised form) but the first: statistics and affine parameters.

    ``model.train()`` sets them to training again, so call this after each. As published for TIN ("partial BN").
    """
    for norm in [module for module in model.modules() if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm)][1:]:
        norm.eval().requires_grad_(False)


def _check_settings(temporal: str, num_classes: int, num_segments: int, dropout: float) -> None:
    kinds = get_args(Temporal)
    if temporal not in kinds:
        raise UserError(
            f"no temporal module is called {temporal!r}{did_you_mean(temporal, kinds)}", expected=", ".join(kinds)
        )
    for name, value in (("num_classes", num_classes), ("num_segments", num_segments)):
        if value < 1:
            raise UserError(f"{name} is {value}", expected="1 or more")
    if not 0 <= dropout <= 1:
        raise UserError(f"dropout is {dropout:g}", expected="a probability, 0 to 1")


def _make_backbone(name: str, *, imagenet: bool, zero_init_last: bool) -> nn.Module:
    timm = import_timm()
    try:
        return cast(
            nn.Module, timm.create_model(name, pretrained=imagenet, num_classes=0, zero_init_last=zero_init_last)
        )
    except Exception as error:  # the hub, the network, the disk and timm all fail in their own ways
        if not imagenet:
            raise
        raise UserError(
            f"the pretrained weights of {name!r} could not be fetched: {str(error).splitlines()[0][:200]}",
            fix="name a local file instead (pretrained = 'weights.pth'), or start from none (pretrained = false)",
        ) from error


def _make_temporal(kind: Temporal, spot: Place, num_segments: int, shift_div: int, offset_init: float) -> nn.Module:
    channels = spot.convolution.in_channels
    if kind == "tin":
        try:
            return TemporalInterlace(channels, num_segments, shift_div, offset_init)
        except UserError as error:
            raise UserError(f"{spot.name}: {error.problem}", expected=error.expected) from error
    if channels // max(shift_div, 1) == 0:
        raise UserError(f"{spot.name}: shift_div {shift_div} of {channels} channels leaves none to shift")
    return TemporalShift(num_segments, shift_div)
