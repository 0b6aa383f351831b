"""The classifier of clips: a 2D backbone on each frame, temporal modules in it, a classifier, and a consensus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from torch import Tensor, nn

from tinkit.architectures import ConsensusKind, NonLocalKind, Offsets, ShiftPlace
from tinkit.data.config.modality import FLOW_LENGTH, Modality, model_channels
from tinkit.defaults import IMAGES, OFFSET_INIT, RELATIONS_SAMPLED
from tinkit.errors import UserError
from tinkit.models.backbones.families import check_known
from tinkit.models.classifier import Classifier, check_numbers
from tinkit.models.consensus import make_consensus
from tinkit.models.foreign.files import read_checkpoint
from tinkit.models.foreign.load import ForeignReport, load_foreign
from tinkit.models.fused import FusedWeights, fused_features
from tinkit.models.hub import fetching
from tinkit.models.modality import check_modality, first_convolution, read_modality
from tinkit.models.temporal.non_local import NonLocal, add_non_local
from tinkit.models.temporal.placed import ModuleSettings
from tinkit.models.temporal.pool import add_temporal_pool, stage_segments
from tinkit.models.temporal.put import check_keys, put_modules, temporal_module
from tinkit.temporal import Temporal
from tinkit.timm_import import import_timm


class VideoClassifier(Classifier):
    """Clips (B, T, C, H, W), normalised, to logits (B, num_classes), float32 or better.

    ``backbone`` is a timm image model, ``backbone_kwargs`` further keywords for it (``img_size`` where it fixes that,
    ``drop_path_rate``). ``temporal``: ``tin`` interlaces and ``tsm`` shifts the features before one module of each
    block, ``rtcn`` makes that module a convolution over time (:mod:`tinkit.models.temporal.rtcn`), ``tsn`` leaves
    frames alone.
    That module is the one that :mod:`tinkit.models.backbones.families` has for the backbone's family (ResNet, as
    published:
    ``conv1``). ``place`` names another: one in the same blocks (``conv2``) or, in any image model, full names with
    ``*`` for any one part (``blocks.*.attn``). ``shift_div`` is the share of the channels that moves (default: 4 for
    TIN and r-TCN, 8 for TSM); ``offset_init`` where their offsets start, in frames; ``offsets`` what TIN's depend
    on (:class:`~tinkit.models.TemporalInterlace`). TIN moves in every block; TSM in
    every second one where a ResNet's third stage has 23 blocks or more, as its repository does, or in a ResNet as
    ``shift_place`` says (:mod:`tinkit.models.temporal.shift`).

    In a ResNet, ``non_local`` puts blocks of that kind (:mod:`tinkit.models.temporal.non_local`) behind the blocks that
    ``non_local_places`` counts in each stage, or in the published places, and ``temporal_pool`` halves the frames
    before the second stage (TSM and TSN only).

    ``consensus`` makes a clip's logits of its frames (:mod:`tinkit.models.consensus`). ``avg``: their mean, before any
    softmax. ``identity``: each frame keeps its own, and the model gives (B, T, num_classes), in training and testing
    alike. ``trn``, ``trn_multiscale``: relations between frames, of which the latter draws ``relations_sampled`` a
    scale in training, and in testing too with ``sample_in_test``; the classifier gives 256 features a frame then, and
    the consensus ends in the classes.

    ``modality`` is what a segment holds: an image (C = 3), ``flow_length`` pairs of optical flow, as many RGB
    differences, or a spectrogram of sound (C = 1); the first convolution is turned to it, weights and all
    (:mod:`tinkit.models.modality`).

    ``pretrained`` is False, True (timm's ImageNet weights, from the network or its cache), or a file: a checkpoint that
    :func:`~tinkit.models.load_foreign` knows. ``pretrained_report`` tells what was taken from a file.

    ``zero_init_last`` is timm's start of a ResNet: the last BatchNorm weight of every residual branch is zero, and a
    fresh model's logits do not depend on its temporal modules at all; False starts them at one. Other families start as
    timm has them (ConvNeXt's branches near zero, Swin-v2's at zero). ``classifier_std`` is
    the start of the classifier's weights (published: 0.001, from ImageNet weights). In a short training from scratch
    both published starts cost most of what could be learnt.

    The state dict is the backbone's under ``backbone.`` and ``classifier.``; TIN and r-TCN add ``temporal.`` under the
    modules that they change, non-local blocks ``non_local<n>.`` under stages, relations ``consensus.``; shifts and
    pools add nothing. Raises :class:`~tinkit.errors.UserError` for settings that cannot be, naming the layer.
    """

    kind: ClassVar[Literal["image", "clip"]] = "image"

    def __init__(
        self,
        backbone: str = IMAGES.backbone,
        temporal: Temporal = "tin",
        num_classes: int = 313,
        num_segments: int = IMAGES.num_segments,
        shift_div: int | None = None,
        dropout: float = IMAGES.dropout,
        *,
        pretrained: bool | str | Path = False,
        offset_init: float = OFFSET_INIT,
        place: str | None = None,
        zero_init_last: bool = IMAGES.zero_init_last,
        classifier_std: float = IMAGES.classifier_std,
        backbone_kwargs: Mapping[str, Any] | None = None,
        shift_place: ShiftPlace = "blockres",
        temporal_pool: bool = False,
        non_local: NonLocalKind | None = None,
        non_local_subsample: bool = True,
        non_local_places: Mapping[str, Sequence[int]] | None = None,
        consensus: ConsensusKind = "avg",
        relations_sampled: int = RELATIONS_SAMPLED,
        sample_in_test: bool = False,
        modality: Modality = "rgb",
        flow_length: int = FLOW_LENGTH,
        offsets: Offsets = "clip",
    ) -> None:
        super().__init__()
        row = temporal_module(temporal)
        check_numbers(num_classes=num_classes, num_segments=num_segments, dropout=dropout)
        check_keys(row, place, shift_place, temporal_pool=temporal_pool, offsets=offsets)
        check_modality(modality, flow_length)
        check_known(backbone)
        self.temporal = temporal
        self.num_segments = num_segments
        self.modality, self.flow_length = modality, flow_length
        self.shift_div = row.shift_div if shift_div is None else shift_div
        self.backbone = _make_backbone(
            backbone, backbone_kwargs or {}, imagenet=pretrained is True, zero_init_last=zero_init_last
        )
        segments = stage_segments(num_segments, temporal_pool=temporal_pool)
        settings = ModuleSettings(num_segments, 1 if self.shift_div is None else self.shift_div, offset_init, offsets)
        put_modules(row, self.backbone, backbone, settings, segments, place=place, shift_place=shift_place)
        if non_local is not None:
            add_non_local(self.backbone, segments, non_local, subsample=non_local_subsample, places=non_local_places)
        if temporal_pool:
            add_temporal_pool(self.backbone, num_segments)
        self.segments_left = num_segments // 2 if temporal_pool else num_segments
        self.dropout = nn.Dropout(dropout)
        self.consensus = make_consensus(
            consensus,
            self.segments_left,
            num_classes,
            relations_sampled=relations_sampled,
            sample_in_test=sample_in_test,
        )
        self.classifier = nn.Linear(_features_of(self.backbone), self.consensus.in_features)
        nn.init.normal_(self.classifier.weight, std=classifier_std)
        nn.init.zeros_(self.classifier.bias)
        self._fused = FusedWeights()
        self.pretrained_report = self._read_weights(None if isinstance(pretrained, bool) else pretrained)

    def forward(self, video: Tensor) -> Tensor:
        """(B, T, C, H, W) -> (B, num_classes), or (B, T, num_classes) with ``consensus = "identity"``."""
        if video.ndim != 5 or video.shape[1] != self.num_segments:
            channels = model_channels(self.modality, self.flow_length)
            raise ValueError(f"expected clips (B, {self.num_segments}, {channels}, H, W), got {tuple(video.shape)}")
        each = self.frame_scores(video.flatten(0, 1)).unflatten(0, (video.shape[0], self.segments_left))
        return cast(Tensor, self.consensus(each))

    def frame_scores(self, frames: Tensor) -> Tensor:
        """(B*T, C, H, W) -> what the consensus reads of each frame: its logits, or a relation's features."""
        features = fused_features(self._fused, self.backbone, frames)
        features = self.backbone(frames) if features is None else features
        return cast(Tensor, self.classifier(self.dropout(features)))

    def class_layers(self) -> dict[str, nn.Linear]:
        """The layers whose outputs are the classes, by name: what another number of classes replaces.

        The classifier; with relations those that the consensus ends in, one a scale.
        """
        ends = self.consensus.class_layers() or {"": self.classifier}
        return {f"consensus.{name}" if name else "classifier": layer for name, layer in ends.items()}

    def _read_weights(self, file: str | Path | None) -> ForeignReport | None:
        """Load a file of weights, and turn the first convolution to the modality once those of RGB are in it."""
        weights = {} if file is None else read_checkpoint(file)
        report = load_foreign(weights, self) if weights else None
        read_modality(self.backbone, self.modality, self.flow_length)
        if report is not None and self.modality != "rgb":
            first = f"backbone.{first_convolution(self.backbone)[0]}.weight"
            if first not in report.used.values():  # the file is of this modality itself, and fits only now
                report = load_foreign(weights, self)
        return report


def data_config(model: VideoClassifier) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and standard deviation by channel, for pixels in 0..1, that the backbone's weights were made with."""
    config = cast(dict[str, tuple[float, ...]], model.backbone.pretrained_cfg)
    return tuple(config["mean"]), tuple(config["std"])


def freeze_partial_bn(model: nn.Module) -> None:
    """Freeze every ``BatchNorm2d`` (or its synchronised form) but the first: statistics and affine parameters.

    ``model.train()`` sets them to training again, so call this after each. As published for TIN ("partial BN").
    Norms of non-local blocks learn: frozen at zero, where they start, they would keep the blocks from doing anything.
    """
    own = {module.norm for module in model.modules() if isinstance(module, NonLocal)}
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm)]
    for norm in [norm for norm in norms if norm not in own][1:]:
        norm.eval().requires_grad_(requires_grad=False)


def _make_backbone(name: str, kwargs: Mapping[str, Any], *, imagenet: bool, zero_init_last: bool) -> nn.Module:
    """timm's model without its classifier."""
    settings = {**kwargs, "pretrained": imagenet, "num_classes": 0}
    for key in ("global_pool", "features_only"):
        if key in kwargs and bool(kwargs[key]) is (key == "features_only"):
            raise UserError(f"backbone_kwargs: {key} = {kwargs[key]!r}", expected="one vector of features a frame")
    try:
        with fetching(name) if imagenet else nullcontext():
            backbone = _created(name, settings, zero_init_last=zero_init_last)
    # Broad, for only timm runs in here: its models raise anything for arguments that they do not take, and the hub, the
    # network and the disk have errors of their own.
    except Exception as error:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        if kwargs and (isinstance(error, TypeError | AssertionError) or not imagenet):
            raise UserError(f"{name!r} does not take its backbone_kwargs: {reason}") from error
        if not imagenet:
            raise UserError(f"timm does not make {name!r}: {reason}") from error
        raise UserError(
            f"the pretrained weights of {name!r} could not be fetched: {reason}",
            fix="name a local file instead (pretrained = 'weights.pth'), or start from none (pretrained = false)",
        ) from error

    if "img_size" in kwargs:  # not all of timm's models tell
        size = kwargs["img_size"]
        height, width = (size, size) if isinstance(size, int) else size
        backbone.pretrained_cfg = {**backbone.pretrained_cfg, "input_size": (3, height, width)}
    if "drop_rate" not in kwargs and getattr(backbone, "drop_rate", None):
        backbone.drop_rate = 0.0  # the dropout before the classifier is ours
    return cast(nn.Module, backbone)


def _created(name: str, settings: Mapping[str, Any], *, zero_init_last: bool) -> Any:
    create = import_timm().create_model
    if not zero_init_last:  # True is the default of timm's ResNets
        with suppress(TypeError):  # of a family that has no such setting
            return create(name, zero_init_last=False, **settings)
    return create(name, **settings)


def _features_of(backbone: Any) -> int:
    """How many features a frame has in the end: with some backbones more than behind their last block."""
    return int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)
