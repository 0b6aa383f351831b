"""The ``[clip]`` and ``[test]`` tables of a recipe: how clips are cut for training and for testing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from tinkit.data.config.modality import FLOW_LENGTH, Modality
from tinkit.data.config.spectrogram import SpectrogramSettings
from tinkit.defaults import IMAGES
from tinkit.errors import UsageError
from tinkit.table import Table

TestRule = Literal["even", "centre", "random", "twice", "dense"]
Scale = Annotated[float, Field(gt=0, le=1)]

Fps = Annotated[float | None, Field(gt=0, le=1000, allow_inf_nan=False)]

Share = Annotated[float, Field(gt=0, le=1)]
Ratio = Annotated[float, Field(ge=0.01, le=100)]
Amount = Annotated[float, Field(ge=0, le=10)]
Hue = Annotated[float, Field(ge=0, le=0.5)]
_NUMBER = r"\d{1,3}(\.\d{1,6})?"
_RAND_AUGMENT = re.compile(
    rf"rand(-m\d{{1,3}}|-n[1-9]\d?|-p(0\.\d{{1,6}}|1)|-mstd{_NUMBER}|-mmax[1-9]\d{{0,2}}|-inc[01])*"
)

_SOUND = SpectrogramSettings()
_COLOURLESS = {"flow": "optical flow", "audio": "sound"}
# Published for flow and RGB differences; RGB has 0.66 too.
_SCALES_OF_MOTION = (1.0, 0.875, 0.75)


@dataclass(frozen=True)
class Views:
    """How many temporal samples of a clip, and how many spatial crops of each, are tested."""

    temporal: int
    spatial: int

    @property
    def count(self) -> int:
        """Views of a clip."""
        return self.temporal * self.spatial

    def __str__(self) -> str:
        return f"{self.temporal}x{self.spatial}"


def parse_views(text: str) -> Views:
    """``"2x3"`` is two temporal samples by three crops. Raises :class:`~tinkit.errors.UsageError` for anything else."""
    match = re.fullmatch(r"([1-9]\d{0,2})x(1|3|5|10)", text.strip().lower())
    if match is None:
        raise UsageError(
            f"{text!r} does not name views",
            expected="KxS: K temporal samples (1 to 999) by S crops (1, 3, 5 or 10), such as 1x1, 2x1 or 10x3",
        )
    return Views(int(match[1]), int(match[2]))


def _readable(text: str) -> str:
    try:
        return str(parse_views(text))
    except UsageError as error:
        raise ValueError(f"{error.problem}; expected {error.expected}") from None


ViewsText = Annotated[str, AfterValidator(_readable)]


def _check_rate(fps: float | None, sampling: str) -> None:
    if fps is not None and sampling != "dense":
        raise ValueError(f"fps = {fps:g} belongs to sampling = 'dense', not to {sampling!r}")


class ClipConfig(Table):
    """The ``[clip]`` table: the frames, crop and flip of a training clip."""

    num_segments: int = Field(
        IMAGES.num_segments,
        ge=1,
        le=1024,
        description="Frames of a clip that the model sees (T). Left out: 8; with model.temporal = '3d' 32.",
    )
    sampling: Literal["segments", "dense"] = Field(
        "segments", description="Training: a random frame of each segment, or T frames a stride apart."
    )
    stride: int = Field(2, ge=1, le=256, description="Distance between sampled frames in dense sampling, in frames.")
    fps: Fps = Field(
        None, description="Dense sampling by time: T frames at this many a second, whatever a clip's rate and stride."
    )
    short: Literal["spread", "first"] = Field("spread", description="Clips of fewer than T frames: spread, or frame 0.")
    crop: Literal["multiscale", "resized", "centre"] = Field(
        "multiscale", description="Training crop, at the frame's own size."
    )
    scales: tuple[Scale, ...] = Field(
        (1.0, 0.875, 0.75, 0.66),
        min_length=1,
        description="Sides of multiscale crops; for flow and rgb_diff without 0.66 unless given.",
    )
    area: tuple[Share, Share] = Field(
        (0.08, 1.0), description="Least and largest area of a resized crop, as a share of the frame's."
    )
    ratio: tuple[Ratio, Ratio] = Field(
        (3 / 4, 4 / 3), description="Least and largest width of a resized crop over its height."
    )
    rand_augment: str | None = Field(
        None, description="timm's RandAugment, such as rand-m7-n4-mstd0.5-inc1, alike for all frames of a clip."
    )
    colour_jitter: tuple[Amount, Amount, Amount, Hue] | None = Field(
        None, description="Random changes of brightness, contrast, saturation and hue, alike for all frames of a clip."
    )
    repeats: int = Field(
        1,
        ge=1,
        le=64,
        description="Cuttings of a clip in a step, drawn anew and decoded at once; optim.batch counts all.",
    )
    size: int = Field(224, ge=1, le=4096, description="Width and height of the model's input, in pixels.")
    flip: bool = Field(True, description="Mirror half of the training clips; off where left and right are labels.")
    flip_labels: Literal["left_right"] | tuple[tuple[int, int], ...] = Field(
        (),
        description="Classes that a flip exchanges: pairs of indices, or left_right: names that differ by those words.",
    )
    modality: Modality = Field(
        "rgb", description="What is read: frames, optical flow, differences of frames, or sound (audio)."
    )
    flow_length: int = Field(
        FLOW_LENGTH, ge=1, le=64, description="Flow pairs (rgb_diff: differences) that a segment stacks."
    )
    audio_rate: int = Field(
        _SOUND.rate, ge=1000, le=192_000, description="Sound is resampled to this many samples a second."
    )
    audio_window: float = Field(
        _SOUND.window, ge=1, le=1000, description="Milliseconds of sound that a column of the spectrogram looks at."
    )
    audio_hop: float = Field(
        _SOUND.hop, ge=1, le=1000, description="Milliseconds from one column of the spectrogram to the next."
    )
    audio_mels: int = Field(_SOUND.mels, ge=1, le=512, description="Mel bands: the height of the spectrogram.")
    audio_seconds: float = Field(_SOUND.seconds, ge=0.01, le=60, description="Seconds of sound that a segment holds.")

    @model_validator(mode="after")
    def _keys_go_together(self) -> Self:
        _check_rate(self.fps, self.sampling)
        for key, (least, most) in {"area": self.area, "ratio": self.ratio}.items():
            if least > most:
                raise ValueError(f"{key} is the least, then the largest: {least:g} is more than {most:g}")
        if self.modality in _COLOURLESS and (self.rand_augment is not None or self.colour_jitter is not None):
            raise ValueError(f"rand_augment and colour_jitter change colours: {_COLOURLESS[self.modality]} has none")
        if self.modality == "audio" and (self.sampling == "dense" or self.flip):
            key = "flip = true" if self.flip else "sampling = 'dense'"
            raise ValueError(f"{key} is about frames: with modality = 'audio' a clip is windows of sound")
        return self

    @field_validator("rand_augment")
    @classmethod
    def _known_to_timm(cls, text: str | None) -> str | None:
        if text is not None and not _RAND_AUGMENT.fullmatch(text):
            raise ValueError(
                f"{text!r} is not timm's RandAugment: rand, then any of -mN (magnitude), -nN (operations), -pX "
                "(probability of each), -mstdX, -mmaxN, -inc0 or -inc1, as in rand-m7-n4-mstd0.5-inc1"
            )
        return text

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_modality(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        match values.get("modality"):
            case "flow" | "rgb_diff":
                return {"scales": _SCALES_OF_MOTION} | values
            case "audio":
                return {"flip": False} | values
        return values

    @property
    def spectrogram(self) -> SpectrogramSettings:
        """How a segment of sound becomes an image."""
        return SpectrogramSettings(
            self.audio_rate, self.audio_window, self.audio_hop, self.audio_mels, self.audio_seconds
        )


class ViewConfig(Table):
    """The ``[test]`` table: the views of a clip at test time and how their scores are averaged."""

    views: ViewsText = Field("1x1", description="KxS: K temporal samples by S crops (1, 3, 5 or 10).")
    sampling: TestRule = Field("even", description="Temporal rule; centre is even with one sample.")
    stride: int = Field(2, ge=1, le=256, description="Distance between sampled frames in dense sampling, in frames.")
    fps: Fps = Field(None, description="Dense sampling by time: frames of a view a second; in place of the stride.")
    flip: bool = Field(False, description="Test the mirror image of every view too.")
    num_segments: int | None = Field(None, ge=1, le=1024, description="Frames of a view; left out: the clip's.")
    scale: int = Field(256, ge=1, le=4096, description="The short side of a frame is resized to this, in pixels.")
    crop: int = Field(224, ge=1, le=4096, description="Width and height of a crop, in pixels.")
    average: Literal["logits", "probabilities"] = Field("logits", description="What is averaged over views.")
    amp: Literal["auto", "off", "bf16", "fp16"] | None = Field(
        None,
        description="Mixed precision of the test; auto: bf16 where the device computes in it; left out: train.amp.",
    )
    batch: int = Field(8, ge=1, description="Views a forward pass; the views of a clip stay together.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_rate(self.fps, self.sampling)
        if self.crop > self.scale:
            raise ValueError(f"test.crop ({self.crop}) is larger than test.scale ({self.scale})")
        if self.sampling == "centre" and self.parsed.temporal > 1:
            raise ValueError(f"sampling = 'centre' is one temporal sample, views = {self.views!r} asks for more")
        if self.sampling == "twice" and self.parsed.temporal > 2:
            raise ValueError(
                f"sampling = 'twice' is two temporal samples at most, views = {self.views!r} asks for more"
            )
        if self.flip and self.parsed.spatial == 10:
            raise ValueError("ten crops hold the mirror images already; leave test.flip out")
        return self

    @property
    def parsed(self) -> Views:
        """``views`` as numbers."""
        return parse_views(self.views)

    @property
    def count(self) -> int:
        """V, the views of a clip, mirror images counted: K x S, or twice that with ``flip``."""
        return len(self.mirrored)

    @property
    def mirrored(self) -> tuple[bool, ...]:
        """(V,): which views are mirror images. Of ten crops the last five are; ``flip`` repeats all views mirrored."""
        views = self.parsed
        sample = (False,) * 5 + (True,) * 5 if views.spatial == 10 else (False,) * views.spatial
        plain = sample * views.temporal
        return plain + (True,) * len(plain) if self.flip else plain


def image_shape(clip: ClipConfig, views: ViewConfig | None = None) -> tuple[int, int]:
    """Height and width of what the model sees of a segment: in training, or with ``views`` in a test."""
    if clip.modality == "audio":
        return clip.spectrogram.mels, clip.spectrogram.columns
    side = clip.size if views is None else views.crop
    return side, side


def check_views(clip: ClipConfig, views: ViewConfig) -> None:
    """Raise :class:`~tinkit.errors.UsageError` for views that cannot be had of what ``clip`` reads."""
    if clip.modality != "audio":
        return
    faults = {
        f"{views.parsed.spatial} crops": views.parsed.spatial > 1,
        "mirror images": views.flip,
        "the rule dense": views.sampling == "dense",
    }
    for what in (what for what, asked in faults.items() if asked):
        raise UsageError(
            f"{what}: with clip.modality = 'audio' a view is windows of sound",
            expected="views Kx1 by the rules even, centre, random or twice, without flip",
            fix="test.views = '1x1' or '10x1', for example",
        )


def override_views(config: ViewConfig, **changes: str | float | None) -> ViewConfig:
    """``config`` with the given keys changed; None changes nothing.

    A stride, or another rule than dense, takes the place of the frame rate that ``config`` has.

    Raises :class:`~tinkit.errors.UsageError` for a value that cannot be. It names the command line's option, which is
    called as the key is, but for ``--segments``.
    """
    given: dict[str, str | float | None] = {key: value for key, value in changes.items() if value is not None}
    if given.get("stride") and given.get("fps"):
        raise UsageError("--stride and --fps are two ways to space frames", fix="leave one of them out")
    if "stride" in given or given.get("sampling", "dense") != "dense":
        given.setdefault("fps", None)
    try:
        return ViewConfig.model_validate(config.model_dump() | given)
    except ValidationError as error:
        problems = []
        for detail in error.errors():
            option = f"--{str(detail['loc'][0]).removeprefix('num_')} {detail['input']}: " if detail["loc"] else ""
            problems.append(option + detail["msg"].removeprefix("Value error, "))
        raise UsageError("\n".join(problems)) from error
