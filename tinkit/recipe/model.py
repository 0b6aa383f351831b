"""The recipe table that says which network is built. Importing this needs no PyTorch."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from tinkit.architectures import ARCHS, ConsensusKind, NonLocalKind, Offsets, ShiftPlace, Variant3D
from tinkit.defaults import OFFSET_INIT, RELATIONS_SAMPLED, SPEED_RATIO, left_out_model, left_out_words
from tinkit.table import Table
from tinkit.temporal import (
    KEYS,
    SPACE_TIME,
    TEMPORAL_MODULES,
    TemporalChoice,
    find_temporal,
    published_shift_divs,
    taking,
    titles_taking,
)

_AS_PUBLISHED: Any = None  # no value of the table: what is left out is filled in before anything is checked
_WHAT = "; ".join(f"``{row.name}`` {row.what}" for row in TEMPORAL_MODULES)

# The keys that are of training alone, those of networks over space and time, and those that these share with others.
_OF_TRAINING = frozenset({"partial_bn", "sync_bn"})
_OF_CLIPS = frozenset({"variant", "speed_ratio", "lateral_kernel", "stem_pool"})
_OF_ALL = frozenset({"backbone", "dropout", "pretrained", "zero_init_last", "classifier_std"})
_IGNORED = frozenset({"temporal", "shift_div", "offset_init"})  # so that --set model.temporal=tsn suits any recipe


class ModelConfig(Table):
    """``[model]``: the classifier.

    Most keys are of an image backbone with a temporal module in it; those of a network over space and time
    (``temporal = "3d"``) come last. One that would change nothing is refused where it is given another value. What is
    left out is as published for the network (:mod:`tinkit.defaults`); no table has a None but where it means none.
    """

    backbone: str = Field(
        default=_AS_PUBLISHED,
        description='A timm model name; with ``temporal = "3d"`` a 3D network: ``slowfast_50``, ``r2plus1d_18``. '
        + left_out_words("backbone"),
    )
    temporal: TemporalChoice = Field(
        default="tin",
        description=f"What is done to the features of neighbouring frames: {_WHAT}; with ``3d`` the network looks at "
        "space and time at once.",
    )
    shift_div: int | None = Field(
        default=None,
        ge=1,
        description=f"The fold is ``channels // shift_div``. Left out: {published_shift_divs()}; others ignore it.",
    )
    place: str | None = None
    """The modules whose input moves, ``*`` for any one part of a name (``blocks.*.attn``). Left out: those of the
    backbone's family, which for ResNets are the published ones."""
    shift_place: ShiftPlace = "blockres"
    """Where a ResNet's features are shifted: inside the residual branch, in every block of any depth, before two
    convolutions, or before the whole block."""
    offset_init: float = Field(
        default=OFFSET_INIT,
        gt=-2,
        lt=2,
        description=f"The offset at zero input, in frames ({titles_taking('offset_init')}); others ignore it.",
    )
    offsets: Offsets = Field(
        default="clip",
        description=f"What offsets depend on ({titles_taking('offsets')}): each clip, as published; or nothing: each "
        "layer learns them once for all clips, or they stay fixed at ``offset_init``.",
    )
    temporal_pool: bool = Field(
        default=False,
        description=f"Halve the frames before a ResNet's second stage ({titles_taking('temporal_pool')}).",
    )
    non_local: NonLocalKind | None = None
    """Non-local blocks of this kind behind a ResNet's blocks. Left out: none."""
    non_local_subsample: bool = True
    """Let them see a quarter of the positions, the maxima of 2 x 2."""
    non_local_places: dict[str, tuple[int, ...]] | None = None
    """The blocks, from 0, that one stands behind, by stage: ``{ layer2 = [0, 2] }``. Left out: the published places."""
    consensus: ConsensusKind = "avg"
    """How frames become a clip: the mean of their logits, every frame by itself, or relations between frames (TRN)."""
    relations_sampled: int = Field(default=RELATIONS_SAMPLED, ge=1)
    """Relations a scale of ``trn_multiscale`` in a training step."""
    sample_in_test: bool = False
    """Draw them in testing too, as TRN's own code does, in place of counting all."""
    dropout: float = Field(
        default=_AS_PUBLISHED,
        ge=0,
        lt=1,
        description="Share of the features that are dropped before the classifier. " + left_out_words("dropout"),
    )
    pretrained: bool | str = Field(
        default=_AS_PUBLISHED,
        description="True for timm's ImageNet weights, false for a random start, or the path of a file of weights. "
        + left_out_words("pretrained"),
    )
    backbone_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further settings that timm's model takes: ``{ img_size = 256 }``, ``{ drop_path_rate = 0.1 }``."""
    zero_init_last: bool = Field(
        default=_AS_PUBLISHED,
        description="Start the last BatchNorm weight of every residual branch at zero, as timm does; false: at one. "
        + left_out_words("zero_init_last"),
    )
    classifier_std: float = Field(
        default=_AS_PUBLISHED,
        gt=0,
        description="Standard deviation of the classifier's weights at the start. " + left_out_words("classifier_std"),
    )
    partial_bn: bool = Field(
        default=_AS_PUBLISHED,
        description="Freeze every BatchNorm2d but the first, statistics and affine. " + left_out_words("partial_bn"),
    )
    sync_bn: bool = False
    """Batch statistics over all processes, not each one's own (CUDA only; nothing changes on one process)."""
    variant: Variant3D | None = None
    """Whose 3D network of that name it is, and so whose weights fit. Left out: X-Temporal's where it has one."""
    speed_ratio: int | None = Field(
        default=None,
        ge=1,
        description="SlowFast: how many frames the fast pathway sees for one of the slow one. "
        f"Left out: {SPEED_RATIO}.",
    )
    lateral_kernel: int | None = Field(default=None, ge=1)
    """SlowFast: the lateral connections' kernel over time. Left out: the variant's."""
    stem_pool: bool | None = None
    """X-Temporal's R(2+1)D: a 3 x 3 max-pool behind the stem. Left out: yes."""

    @property
    def is_3d(self) -> bool:
        """Whether the network looks at space and time at once."""
        return self.temporal == SPACE_TIME

    @property
    def moves_channels(self) -> bool:
        """Whether ``shift_div`` means anything."""
        row = find_temporal(self.temporal)
        return row is not None and row.shift_div is not None

    @property
    def fixed_frames(self) -> str | None:
        """Why a test must show as many frames as training did; None where it need not."""
        row = find_temporal(self.temporal)
        if row is not None and row.fixed_frames is not None:
            return row.fixed_frames
        if self.consensus in ("trn", "trn_multiscale"):
            return "relations between frames have weights for the place of each"
        return None

    def network_arguments(self) -> dict[str, Any]:
        """The keys that are of the network, as its constructor calls them: that of
        :class:`~tinkit.models.VideoClassifier`, or for ``3d`` of :class:`~tinkit.models.Video3D`."""
        names = _OF_ALL | _OF_CLIPS if self.is_3d else type(self).model_fields.keys() - _OF_CLIPS - _OF_TRAINING
        arguments = {name: getattr(self, name) for name in names}
        if self.is_3d:
            arguments["arch"] = arguments.pop("backbone")
        return arguments

    @model_validator(mode="before")
    @classmethod
    def _left_out_is_as_published(cls, values: Any) -> Any:
        """So that a recipe means what the constructor of its network does, and shows and saves it."""
        if not isinstance(values, dict):
            return values
        usual = left_out_model(values.get("temporal", cls.model_fields["temporal"].default))
        return values | {key: value for key, value in usual.items() if values.get(key) is None}

    @model_validator(mode="after")
    def _backbone_is_of_the_kind(self) -> ModelConfig:
        if self.is_3d != (self.backbone in ARCHS):
            raise ValueError(
                f'backbone {self.backbone!r} with temporal = "{self.temporal}": "{SPACE_TIME}" goes with '
                f"{', '.join(ARCHS)}, the others with timm's image models"
            )
        return self

    @model_validator(mode="after")
    def _keys_have_a_meaning(self) -> ModelConfig:
        fields, row = type(self).model_fields, find_temporal(self.temporal)
        own = frozenset(row.keys) if row is not None else frozenset()
        if self.is_3d:
            meaningless = frozenset(fields) - _OF_ALL - _OF_CLIPS - _OF_TRAINING - _IGNORED
        else:
            meaningless = _OF_CLIPS | frozenset(KEYS) - own - _IGNORED
        for name in fields:  # in their order
            if name in meaningless and getattr(self, name) != fields[name].get_default(call_default_factory=True):
                of = f"; it is for {' and '.join(taking(name))}" if name in KEYS else ""
                raise ValueError(f'{name} means nothing with temporal = "{self.temporal}"{of}')
        if self.is_3d and (self.pretrained is True or self.partial_bn):
            raise ValueError(
                "a 3D network has no ImageNet weights and no BatchNorm2d: set pretrained = false, or a file of "
                "weights, and partial_bn = false"
            )
        if self.shift_place != "blockres" and self.place is not None:
            raise ValueError("shift_place says where, and so does place: leave out one of them")
        return self
