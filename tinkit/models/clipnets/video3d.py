"""The classifier of clips whose network looks at space and time at once: SlowFast, R3D, R(2+1)D and MC3."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from tinkit.architectures import ARCHS, VARIANTS_OF, Variant3D
from tinkit.defaults import CLIPS, SPEED_RATIO
from tinkit.errors import UserError, did_you_mean
from tinkit.models.classifier import Classifier, check_numbers
from tinkit.models.clipnets.blocks import start_weights
from tinkit.models.clipnets.r3d import Family, ResNet3d
from tinkit.models.clipnets.slowfast import VARIANTS, SlowFast, published_lateral_kernel
from tinkit.models.foreign.files import read_checkpoint
from tinkit.models.foreign.load import ForeignReport, load_foreign
from tinkit.temporal import SPACE_TIME

# Mean and standard deviation by channel, for pixels in 0..1, with which each code base trains.
PIXELS: dict[Variant3D, dict[str, tuple[float, ...]]] = {
    "x_temporal": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    "mmaction2": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    "pyslowfast": {"mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225)},
    "torchvision": {"mean": (0.43216, 0.394666, 0.37645), "std": (0.22803, 0.22145, 0.216989)},
}


class Video3D(Classifier):
    """Clips (B, T, 3, H, W), normalised, to logits (B, num_classes), float32 or better; T = ``num_frames``.

    ``arch`` is a family and its depth, one of :data:`tinkit.architectures.ARCHS`: ``slowfast_50``, ``r3d_18``,
    ``r2plus1d_34``, ``mc3_18``. ``variant`` says whose choices it follows, and so whose weights fit (None: the family's
    first in :data:`tinkit.architectures.VARIANTS_OF`); the family's module tells what they differ in.

    For SlowFast, ``speed_ratio`` is alpha of the paper: with 32 frames, 4 (the default) is its 8x8 and 8 its 4x16
    network. ``num_frames`` must be a multiple of it. ``lateral_kernel`` is the kernel over time of its lateral
    connections (None: as the variant published it). For X-Temporal's R(2+1)D, ``stem_pool`` pools 3x3 pixels behind the
    stem (None: yes, as in its recipe).

    ``zero_init_last`` starts the last BatchNorm weight of every residual branch at zero, as the SlowFast paper does;
    ``classifier_std`` is the start of the classifier's weights. ``pretrained`` is False or a file of weights that
    :func:`~tinkit.models.load_foreign` knows; ``pretrained_report`` tells what was taken from it.

    The state dict is the network's under ``backbone.``, and ``classifier.``; none of it depends on ``num_frames``.
    Raises :class:`~tinkit.errors.UserError` for settings that cannot be.
    """

    kind: ClassVar[Literal["image", "clip"]] = "clip"
    temporal = SPACE_TIME
    backbone: SlowFast | ResNet3d
    variant: Variant3D

    def __init__(
        self,
        arch: str = CLIPS.backbone,
        num_classes: int = 313,
        num_frames: int = CLIPS.num_segments,
        variant: Variant3D | None = None,
        dropout: float = CLIPS.dropout,
        *,
        speed_ratio: int | None = None,
        lateral_kernel: int | None = None,
        stem_pool: bool | None = None,
        zero_init_last: bool = CLIPS.zero_init_last,
        classifier_std: float = CLIPS.classifier_std,
        pretrained: bool | str | Path = False,
    ) -> None:
        super().__init__()
        self.family, self.depth = _family_and_depth(arch)
        self.variant = _variant_of(self.family, variant)
        self.num_segments = num_frames
        if pretrained is True:
            raise UserError("a 3D network has no ImageNet weights", expected="pretrained = a file of weights, or false")
        check_numbers(num_classes=num_classes, num_frames=num_frames, dropout=dropout)
        bias = True
        if self.family == "slowfast":
            _refuse("stem_pool", stem_pool, "R(2+1)D of X-Temporal (r2plus1d_*, variant x_temporal)")
            ratio = SPEED_RATIO if speed_ratio is None else speed_ratio
            self.backbone = _slowfast(self.depth, self.variant, num_frames, ratio, lateral_kernel)
            bias = VARIANTS[self.variant].classifier_bias
        else:
            _refuse("speed_ratio", speed_ratio, "SlowFast (slowfast_*)")
            _refuse("lateral_kernel", lateral_kernel, "SlowFast (slowfast_*)")
            self.backbone = _resnet3d(cast(Family, self.family), self.depth, self.variant, stem_pool=stem_pool)
        self.backbone.pretrained_cfg = PIXELS[self.variant]
        start_weights(self.backbone, zero_init_last=zero_init_last)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.backbone.num_features, num_classes, bias=bias)
        nn.init.normal_(self.classifier.weight, std=classifier_std)
        if bias:
            nn.init.zeros_(self.classifier.bias)
        self.pretrained_report: ForeignReport | None = None
        if not isinstance(pretrained, bool):
            self.pretrained_report = load_foreign(read_checkpoint(pretrained), self)

    def forward(self, video: Tensor) -> Tensor:
        """(B, T, 3, H, W) -> (B, num_classes), before any softmax."""
        if video.ndim != 5 or video.shape[1] != self.num_segments:
            raise ValueError(f"expected clips (B, {self.num_segments}, 3, H, W), got {tuple(video.shape)}")
        features = self.backbone(video.transpose(1, 2))
        logits: Tensor = self.classifier(self.dropout(features))
        return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _slowfast(
    depth: int, variant: Variant3D, num_frames: int, speed_ratio: int, lateral_kernel: int | None
) -> SlowFast:
    if speed_ratio < 1 or num_frames % speed_ratio:
        raise UserError(
            f"speed_ratio {speed_ratio} does not divide the clip's {num_frames} frames",
            expected="num_frames a multiple of speed_ratio, as 32 is of 4 (8x8) and of 8 (4x16)",
        )
    kernel = published_lateral_kernel(variant, depth, speed_ratio) if lateral_kernel is None else lateral_kernel
    if kernel < 1 or kernel % 2 == 0:
        raise UserError(f"lateral_kernel is {kernel}", expected="an odd number; published: 5 or 7")
    return SlowFast(depth, variant, num_frames, speed_ratio, kernel)


def _resnet3d(family: Family, depth: int, variant: Variant3D, *, stem_pool: bool | None) -> ResNet3d:
    if family == "r2plus1d" and variant == "x_temporal":
        return ResNet3d(family, depth, variant, stem_pool=stem_pool is None or stem_pool)
    _refuse("stem_pool", stem_pool, "R(2+1)D of X-Temporal (r2plus1d_*, variant x_temporal)")
    return ResNet3d(family, depth, variant)


def _family_and_depth(arch: str) -> tuple[str, int]:
    if arch not in ARCHS:
        raise UserError(f"no 3D network is called {arch!r}{did_you_mean(arch, ARCHS)}", expected=", ".join(ARCHS))
    family, depth = arch.rsplit("_", 1)
    return family, int(depth)


def _variant_of(family: str, variant: Variant3D | None) -> Variant3D:
    known = VARIANTS_OF[family]
    if variant is None:
        return known[0]
    if variant not in known:
        raise UserError(
            f"{family} has no variant {variant!r}{did_you_mean(variant, known)}", expected=" or ".join(known)
        )
    return variant


def _refuse(name: str, value: object, of: str) -> None:
    if value is not None:
        raise UserError(f"{name} is an option of {of} only", fix=f"leave {name} out")
