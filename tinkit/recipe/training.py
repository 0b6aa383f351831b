"""The recipe tables that say how a model is built, trained and saved. Importing this needs no PyTorch."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tinkit.metrics import MetricName
from tinkit.table import Table

AmpChoice = Literal["auto", "off", "bf16", "fp16"]
TrialMark = Literal["clips", "steps"]


class OptimConfig(Table):
    """``[optim]``: the optimiser, the batch and the length of training."""

    name: str = "sgd"
    """A timm optimiser name; ``sgd`` is with or without Nesterov as ``nesterov`` says."""
    lr: float = Field(gt=0)
    """The learning rate at the end of the warm-up; never rescaled."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """What a step keeps of the one before."""
    nesterov: bool = False
    """Nesterov's momentum, with ``sgd``."""
    weight_decay: float = Field(default=5e-4, ge=0)
    """How much of a weight a step takes off, before the learning rate."""
    batch: int = Field(ge=1)
    """Clips a step, over all processes. The learning rate is never rescaled."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Clips in memory at once; it must divide ``batch``. Left out: all of them."""
    epochs: int = Field(ge=1)
    """How often the training split is gone through; more than ``schedule.warmup_epochs``."""
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


class ScheduleConfig(Table):
    """``[schedule]``: the learning rate by iteration."""

    kind: Literal["cosine", "step", "plateau"] = "cosine"
    """How the rate falls: along a cosine, at ``milestones``, or when validation stops getting better."""
    warmup_epochs: float = Field(default=1.0, ge=0)
    """Epochs until the rate is ``optim.lr``."""
    warmup: Literal["linear", "exponential"] = "linear"
    """How the rate rises: by equal steps, or by equal factors."""
    warmup_start: float = Field(default=0.1, gt=0, le=1)
    """The learning rate at step 0, as a multiple of ``optim.lr``."""
    t_max: float | None = Field(default=None, gt=0)
    """Epochs from the start of training to the cosine's lowest point, as X-Temporal counts them; the rate rises again
    after it. Left out: TIN's formula, which ends at the last epoch."""
    milestones: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Epochs at which ``step`` multiplies the rate by ``factor``."""
    factor: float = Field(default=0.1, gt=0, lt=1)
    """What ``step`` and ``plateau`` multiply the rate by."""
    patience: int = Field(default=5, ge=0)
    """``plateau`` tolerates N validations in a row without a better metric, and lowers the rate at the next."""

    @model_validator(mode="after")
    def _keys_belong_to_kinds(self) -> ScheduleConfig:
        if (self.kind == "step") != bool(self.milestones):
            raise ValueError('milestones are given exactly when kind = "step"')
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, not {list(self.milestones)}")
        if self.t_max is not None and self.kind != "cosine":
            raise ValueError('t_max is for kind = "cosine"')
        if self.t_max is not None and self.t_max <= self.warmup_epochs:
            raise ValueError(f"t_max {self.t_max:g} must be more than warmup_epochs {self.warmup_epochs:g}")
        return self


class LossConfig(Table):
    """``[loss]``: what is minimised."""

    name: Literal["bce", "asymmetric", "focal", "lsep", "wlsep", "cross_entropy"] | None = None
    """Left out: ``bce`` for multi-label, ``cross_entropy`` for single-label. ``lsep`` and ``wlsep`` are the ranking
    losses of the owner of Multi-Moments in Time."""
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """What the whole loss is multiplied by, and with it the gradient. mmaction2's training on Multi-Moments in Time
    multiplies a binary cross-entropy that is averaged over 313 classes by 160."""
    reduction: Literal["mean", "sum"] = "mean"
    """Over classes, in ``bce``, ``focal`` and ``asymmetric``. The mean of C classes has gradients C times smaller than
    the sum, at the same rate. Both timm's asymmetric loss and the binary cross-entropy of Multi-Moments in Time's owner
    sum."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """The share of a clip's target that is spread evenly over the classes, or, multi-label, that moves to 1/2."""
    gamma: float = Field(default=2.0, ge=0)
    """The exponent of ``focal``."""
    alpha: float | None = Field(default=None, gt=0, lt=1)
    """The weight of positives in ``focal``; negatives have ``1 - alpha``. Left out: no weights."""
    gamma_neg: float = Field(default=4.0, ge=0)
    """The exponent of ``asymmetric`` for negatives."""
    gamma_pos: float = Field(default=1.0, ge=0)
    """The exponent of ``asymmetric`` for positives."""
    margin: float = Field(default=0.05, ge=0, lt=1)
    """``asymmetric`` takes this off the probability of negatives."""
    class_balance: float | None = Field(default=None, gt=0, lt=1)
    """Weigh classes by their effective number of clips, with this beta (0.999, say); not in ``lsep``. Left out: all
    alike."""
    soft_labels: str | None = None
    """A score file of the training split whose probabilities are mixed into the targets."""
    soft_weight: float = Field(default=0.5, gt=0, le=1)
    """The share of the soft labels in a target."""


class MixConfig(Table):
    """``[mix]``: mixup and cutmix of pairs of clips, all frames of a clip alike."""

    mixup: float = Field(default=0.0, ge=0)
    """The alpha of mixup's Beta distribution; 0: none."""
    cutmix: float = Field(default=0.0, ge=0)
    """The alpha of cutmix's; 0: none."""
    prob: float = Field(default=1.0, ge=0, le=1)
    """The share of steps that are mixed."""
    switch_prob: float = Field(default=0.5, ge=0, le=1)
    """Where both are on: the share of mixed steps that take cutmix."""


class EmaConfig(Table):
    """``[ema]``: an exponential moving average of the weights, validated and kept beside the raw ones."""

    decay: float | None = Field(default=None, gt=0, lt=1)
    """What a step keeps of the average (0.9998, say); left out: no average."""
    warmup: bool = False
    """Begin with a smaller decay: timm's ``1 - (1 + step)**(-2/3)``, while that is below ``decay``."""


class TrainConfig(Table):
    """``[train]``: how the steps are computed. Only ``seed``, ``amp``, ``splits`` and ``on_nan`` change the science."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of the order of clips, their crops, and the weights that start at random."""
    splits: tuple[Literal["train", "val"], ...] = ("train",)
    """The splits to train on. With ``val`` there is no validation, and no fusion is fitted on the run's val scores."""
    amp: AmpChoice = "off"
    """Mixed precision. ``auto`` is settled when a run is begun: ``bf16`` where the device computes in it, else ``off``.
    """
    channels_last: bool = True
    """The memory layout of images and weights: channels last, or first."""
    checkpoint_activations: bool = False
    """Keep only the blocks' inputs for the backward pass and compute the rest again: less memory, a third more time."""
    compile: bool = False
    """Run the model through ``torch.compile``."""
    workers: int | None = Field(default=None, ge=0)
    """Loader processes of each process; left out: one a core, at most 8. The clips and crops do not depend on it."""
    val_every: int = Field(default=1, ge=1)
    """Validate after every N epochs, and after the last."""
    metric: MetricName | None = None
    """What ``best`` means; left out: ``sample_map`` for multi-label, ``top1`` for single-label."""
    samples: int = Field(default=4, ge=0, le=64)
    """Validation clips that TensorBoard shows with their likeliest classes."""
    max_broken: float = Field(default=0.01, ge=0, le=1)
    """The share of an epoch's clips that may be undecodable before the run stops with their list. Five clips are
    tolerated in any case, unless it is 0, which tolerates none."""
    on_nan: str = "stop"
    """What a non-finite loss or gradient does: ``stop`` stops the run, ``skip:N`` leaves out up to N steps of it. The
    step's clips are listed in either case."""
    stall_limit: float = Field(default=600.0, gt=0, allow_inf_nan=False)
    """Seconds without a sign of life of a data worker, or without progress of a process, after which the work is given
    up; half a minute of waiting is nothing unusual on a busy disk."""

    trial: TrialMark | None = None
    """Written by ``tinkit train``: the run is a trial, of a part of the ``clips`` (``--limit``, ``--overfit``; for
    good) or of the ``steps`` (``--steps``; until all are done). None: a whole run."""

    @property
    def nan_steps(self) -> int:
        """How many steps with a non-finite loss or gradient are tolerated."""
        return int(self.on_nan.removeprefix("skip:")) if self.on_nan != "stop" else 0

    @field_validator("on_nan")
    @classmethod
    def _stop_or_skip(cls, text: str) -> str:
        if not re.fullmatch(r"stop|skip:[1-9]\d{0,5}", text):
            raise ValueError('write "stop", or "skip:N" to tolerate N such steps in a run')
        return text

    @model_validator(mode="after")
    def _splits_make_sense(self) -> TrainConfig:
        if self.splits not in (("train",), ("train", "val")):
            raise ValueError('splits are ["train"] or ["train", "val"]')
        return self


class SaveConfig(Table):
    """``[save]``: checkpoints. One is saved at the end of every epoch in any case."""

    every: int | str | None = None
    """Save also after every N steps (``500``), or when so much time has passed (``"10min"``)."""
    keep: int = Field(default=2, ge=1)
    """The newest checkpoints to keep; with two or more there is one to fall back on when the last is damaged."""

    @field_validator("every")
    @classmethod
    def _steps_or_minutes(cls, every: int | str | None) -> int | str | None:
        if every is None or re.fullmatch(r"[1-9]\d{0,8}" if isinstance(every, int) else r"[1-9]\d{0,4}min", str(every)):
            return every
        raise ValueError('write a number of steps, as in 500, or minutes, as in "10min"')

    def is_due(self, steps: int, seconds: float) -> bool:
        """Whether to save after so many steps of the run, so many seconds after the last time."""
        if self.steps is not None:
            return steps % self.steps == 0
        return self.minutes is not None and seconds >= 60 * self.minutes

    @property
    def minutes(self) -> int | None:
        """``every``, where it is a time."""
        return int(self.every.removesuffix("min")) if isinstance(self.every, str) else None

    @property
    def steps(self) -> int | None:
        """``every``, where it is a number of steps."""
        return self.every if isinstance(self.every, int) else None
