"""A whole recipe as one frozen type. Each table's class lives beside the thing that it configures."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tinkit.data.config import DataConfig
from tinkit.data.views import ClipConfig, TestRule, ViewConfig, ViewsText
from tinkit.engine.config import (
    EmaConfig,
    LossConfig,
    MixConfig,
    OptimConfig,
    SaveConfig,
    ScheduleConfig,
    TrainConfig,
)
from tinkit.engine.model_config import ModelConfig


class Published(BaseModel):
    """A ``[[published]]`` entry: one number that somebody reported for this recipe, with how it was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: float
    """In percent, as papers print it."""
    metric: Literal["sample_map", "class_map", "top1", "top5"]
    views: ViewsText
    """Temporal x spatial views, as in ``2x3``."""
    average: Literal["logits", "probabilities"] | None = None
    """What was averaged over the views; None: not stated, or a single view."""
    sampling: TestRule | None = None
    """The temporal rule of the views; this and the next five are None where ``[test]`` says it all or nothing is
    stated."""
    stride: int | None = Field(default=None, ge=1)
    scale: int | None = Field(default=None, ge=1)
    crop: int | None = Field(default=None, ge=1)
    flip: bool | None = None
    num_segments: int | None = Field(default=None, ge=1)
    split: str = "val"
    source: str
    note: str = ""
    spread: float | None = None
    """Points of the metric by which an honest repetition may differ, where that is known."""


class Recipe(BaseModel):
    """A training recipe, resolved: every key has a value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    data: DataConfig
    clip: ClipConfig = ClipConfig()
    model: ModelConfig = ModelConfig()
    optim: OptimConfig
    schedule: ScheduleConfig = ScheduleConfig()
    loss: LossConfig = LossConfig()
    mix: MixConfig = MixConfig()
    ema: EmaConfig = EmaConfig()
    train: TrainConfig = TrainConfig()
    save: SaveConfig = SaveConfig()
    test: ViewConfig = ViewConfig()
    published: tuple[Published, ...] = ()
    sources: dict[str, str] = Field(default_factory=dict)
    """Key patterns (``optim.*``) to ``published: WHERE`` or ``assumed: WHY``; the longest pattern that fits counts."""

    @field_validator("name")
    @classmethod
    def _one_folder(cls, name: str) -> str:
        if "/" in name or "\0" in name or name in ("", ".", ".."):
            raise ValueError("a run's name is one folder, without a slash")
        return name

    @field_validator("sources")
    @classmethod
    def _published_or_assumed(cls, sources: dict[str, str]) -> dict[str, str]:
        for pattern, mark in sources.items():
            if mark.split(":")[0] not in ("published", "assumed"):
                raise ValueError(f"{pattern!r} is marked {mark!r}; write 'published: WHERE' or 'assumed: WHY'")
        return sources

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Recipe:
        if self.schedule.warmup_epochs >= self.optim.epochs:
            raise ValueError(
                f"optim.epochs {self.optim.epochs} must be more than schedule.warmup_epochs "
                f"{self.schedule.warmup_epochs:g}"
            )
        return self

    @model_validator(mode="after")
    def _tests_show_as_many_frames(self) -> Recipe:
        why = self.model.fixed_frames
        if why is not None and self.test.num_segments not in (None, self.clip.num_segments):
            raise ValueError(
                f"test.num_segments {self.test.num_segments}: the model sees the {self.clip.num_segments} frames that "
                f"it was trained on, since {why}"
            )
        return self

    @model_validator(mode="after")
    def _soft_labels_are_not_swapped(self) -> Recipe:
        if self.loss.soft_labels is not None and self.clip.flip and self.clip.flip_labels:
            raise ValueError("loss.soft_labels are of clips as they are: set clip.flip = false, or no clip.flip_labels")
        return self

    @model_validator(mode="after")
    def _pairs_to_mix(self) -> Recipe:
        if (self.mix.mixup or self.mix.cutmix) and 1 in (self.optim.batch, self.optim.micro_batch):
            raise ValueError("mix.mixup and mix.cutmix need two clips or more in a micro-batch")
        return self
