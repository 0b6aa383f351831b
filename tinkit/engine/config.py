"""The recipe tables that say how a model is built, trained and saved. Importing this needs no PyTorch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tinkit.metrics import MetricName


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelConfig(_Table):
    """``[model]``: the classifier."""

    backbone: str = "resnet50"
    """A timm model name."""
    temporal: Literal["tin", "tsm", "tsn"] = "tin"
    shift_div: int = Field(default=4, ge=1)
    """The fold is ``channels // shift_div``: 4 in TIN, 8 in TSM. TSN ignores it."""
    dropout: float = Field(default=0.8, ge=0, lt=1)
    offset_init: float = Field(default=0.5, gt=-2, lt=2)
    """The offset at zero input, in frames (TIN)."""
    pretrained: bool | str = True
    """True for timm's ImageNet weights, false for a random start, or the path of a file of weights."""
    zero_init_last: bool = True
    """Start the last BatchNorm weight of every residual branch at zero, as timm does; false: at one."""
    classifier_std: float = Field(default=0.001, gt=0)
    """Standard deviation of the classifier's weights at the start."""
    partial_bn: bool = True
    """Freeze every BatchNorm2d but the first, statistics and affine."""


class OptimConfig(_Table):
    """``[optim]``: the optimiser, the batch and the length of training."""

    name: str = "sgd"
    """A timm optimiser name; ``sgd`` is with or without Nesterov as ``nesterov`` says."""
    lr: float = Field(gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=5e-4, ge=0)
    batch: int = Field(ge=1)
    """Clips a step, over all processes. The learning rate is never rescaled."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Clips in memory at once; it must divide ``batch``. None: all of them."""
    epochs: int = Field(ge=1)
    clip_grad: float = Field(default=20.0, ge=0)
    """The largest norm of the gradient; larger ones are scaled down. 0: no clipping."""
    groups: Literal["published", "single"] = "published"
    """``published``: the multiples of TSN and TIN by kind of parameter; ``single``: one group for everything."""
    fc_lr5: bool = True
    """The classifier's weight learns at 5 times, its bias at 10 times the rate (``groups = "published"``)."""

    @model_validator(mode="after")
    def _micro_batch_divides(self) -> OptimConfig:
        if self.micro_batch is not None and self.batch % self.micro_batch:
            raise ValueError(f"micro_batch {self.micro_batch} does not divide batch {self.batch}")
        return self


class ScheduleConfig(_Table):
    """``[schedule]``: the learning rate by iteration."""

    kind: Literal["cosine", "step"] = "cosine"
    warmup_epochs: float = Field(default=1.0, ge=0)
    warmup_start: float = Field(default=0.1, gt=0, le=1)
    """The learning rate at step 0, as a multiple of ``optim.lr``; it rises linearly."""
    milestones: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Epochs at which ``step`` multiplies the rate by ``factor``."""
    factor: float = Field(default=0.1, gt=0, lt=1)

    @model_validator(mode="after")
    def _milestones_belong_to_steps(self) -> ScheduleConfig:
        if (self.kind == "step") != bool(self.milestones):
            raise ValueError('milestones are given exactly when kind = "step"')
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, not {list(self.milestones)}")
        return self


class LossConfig(_Table):
    """``[loss]``: what is minimised."""

    name: Literal["bce", "cross_entropy"] | None = None
    """None: ``bce`` (mean over clips and classes) for multi-label, ``cross_entropy`` for single-label."""


class TrainConfig(_Table):
    """``[train]``: how the steps are computed; nothing here should change the science but ``seed`` and ``amp``."""

    seed: int = Field(default=0, ge=0)
    amp: Literal["off", "bf16"] = "off"
    channels_last: bool = True
    workers: int | None = Field(default=None, ge=0)
    """Loader processes; None: one a core, at most 8. The clips and crops do not depend on it."""
    val_every: int = Field(default=1, ge=1)
    """Validate after every so many epochs, and after the last."""
    metric: MetricName | None = None
    """What ``best`` means; None: ``sample_map`` for multi-label, ``top1`` for single-label."""
    max_broken: float = Field(default=0.01, ge=0, le=1)
    """The share of an epoch's clips that may be undecodable before the run stops with their list. Five clips are
    borne in any case, unless it is 0, which bears none."""


class SaveConfig(_Table):
    """``[save]``: checkpoints."""

    every: int | None = Field(default=None, ge=1)
    """Save ``last`` after every so many steps too; it is saved after every epoch in any case."""
