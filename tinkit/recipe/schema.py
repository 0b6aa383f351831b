"""A whole recipe as one frozen type. Each table's class lives beside the thing that it configures."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, FailFast, Field, field_validator, model_validator

from tinkit.data.config.dataset import DataConfig
from tinkit.data.config.views import ClipConfig, TestRule, ViewConfig, ViewsText, check_views
from tinkit.defaults import defaults_of
from tinkit.errors import UsageError, did_you_mean, short
from tinkit.metrics import MetricName
from tinkit.recipe.model import ModelConfig
from tinkit.recipe.training import (
    EmaConfig,
    LossConfig,
    MixConfig,
    OptimConfig,
    SaveConfig,
    ScheduleConfig,
    TrainConfig,
)
from tinkit.table import Table

_LONGEST_NAME = 200


class Published(Table):
    """A ``[[published]]`` entry: one number that somebody reported for this recipe, with how it was measured."""

    number: float
    """In percent, as papers print it."""
    metric: MetricName
    """What was measured."""
    views: ViewsText
    """Temporal x spatial views, as in ``2x3``."""
    average: Literal["logits", "probabilities"] | None = None
    """What was averaged over the views. Left out: not stated, or a single view."""
    sampling: TestRule | None = None
    """The temporal rule of the views. Left out, as the next six may be: as in ``[test]``, or not stated."""
    stride: int | None = Field(default=None, ge=1)
    """Frames from one to the next in dense sampling."""
    fps: float | None = Field(default=None, gt=0)
    """Frames of a view a second, in dense sampling by frame rate."""
    scale: int | None = Field(default=None, ge=1)
    """What the short side of a frame was resized to, in pixels."""
    crop: int | None = Field(default=None, ge=1)
    """Width and height of a crop, in pixels."""
    flip: bool | None = None
    """Whether the mirror image of every view was tested too."""
    num_segments: int | None = Field(default=None, ge=1)
    """Frames of a view."""
    split: str = "val"
    """The split that it was measured on."""
    source: str
    """Who reported it."""
    note: str = ""
    """What a reader must know before comparing."""
    spread: float | None = Field(default=None, ge=0)
    """Points of the metric by which an honest repetition may differ, where that is known."""


def known_keys(table: type[BaseModel], prefix: str = "") -> set[str]:
    """The dotted keys of a table, and of those in it but for lists of tables."""
    keys: set[str] = set()
    for name, field in table.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys |= known_keys(inner, f"{prefix}{name}.")
        else:
            keys.add(f"{prefix}{name}")
    return keys


def _fits_any(pattern: str, known: Iterable[str]) -> bool:
    """Whether a pattern is about a key, or about a name that a key's own table has (``model.backbone_kwargs.x``)."""
    if len(pattern) > _LONGEST_NAME:
        return False
    return any(fnmatchcase(key, pattern) or pattern.startswith(f"{key}.") for key in known)


class Recipe(Table):
    """A training recipe, resolved: every key has a value."""

    name: str
    """The run's folder below ``runs/``; the file's name unless given."""
    description: str = ""
    """What ``tinkit recipes`` says of it."""
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
    published: Annotated[tuple[Published, ...], FailFast()] = ()
    """Numbers that somebody reported for it; a recipe's own replace its parent's."""
    departs: tuple[str, ...] = ()
    """The keys of training whose values are not those that the published numbers were measured with. Found where a
    recipe is loaded, kept in a run's."""
    sources: dict[str, str] = Field(default_factory=dict)
    """Key patterns (``optim.*``) to ``published: WHERE``, ``assumed: WHY`` or ``changed``, of the values that this file
    or its parents give; the longest pattern that fits counts. Once loaded: every marked key and its mark."""

    @model_validator(mode="before")
    @classmethod
    def _frames_of_the_network(cls, values: Any) -> Any:
        """A network over space and time has another usual number of frames than ``[clip]`` by itself."""
        if isinstance(values, dict) and isinstance(model := values.get("model"), dict):
            clip, usual = values.get("clip", {}), defaults_of(model.get("temporal")).num_segments
            if isinstance(clip, dict) and "num_segments" not in clip:
                return values | {"clip": clip | {"num_segments": usual}}
        return values

    @field_validator("name")
    @classmethod
    def _one_folder(cls, name: str) -> str:
        if "/" in name or not name.isprintable() or name in ("", ".", "..") or len(name.encode()) > _LONGEST_NAME:
            raise ValueError(f"a run's name is one folder, without a slash, of at most {_LONGEST_NAME} bytes")
        return name

    @field_validator("sources")
    @classmethod
    def _published_or_assumed(cls, sources: dict[str, str]) -> dict[str, str]:
        known = known_keys(cls)
        for pattern, mark in sources.items():
            if pattern not in known and not _fits_any(pattern, known):
                raise ValueError(f"{short(pattern)} fits no key{did_you_mean(pattern, known)}")
            if mark.split(":")[0] not in ("published", "assumed", "changed"):
                raise ValueError(
                    f"{short(pattern)} is marked {short(mark)}; write 'published: WHERE' or 'assumed: WHY'"
                )
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
    def _networks_of_clips_read_rgb(self) -> Recipe:
        if self.model.is_3d and self.clip.modality != "rgb":
            raise ValueError(f'clip.modality "{self.clip.modality}": a network with model.temporal = "3d" reads RGB')
        return self

    @model_validator(mode="after")
    def _clips_are_whole(self) -> Recipe:
        if self.optim.batch % self.clip.repeats:
            raise ValueError(
                f"optim.batch {self.optim.batch} must be a multiple of clip.repeats {self.clip.repeats}: a step holds "
                "that many cuttings of each of its clips"
            )
        return self

    @model_validator(mode="after")
    def _sound_can_be_tested(self) -> Recipe:
        try:
            check_views(self.clip, self.test)
        except UsageError as error:
            raise ValueError(f"{error.problem}; expected {error.expected}") from None
        if self.clip.modality == "audio" and self.data.layout.media == "frames":
            raise ValueError("clip.modality 'audio': folders of images (data.media = 'frames') have no sound")
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
