"""Models that read optical flow, RGB differences or sound: their first convolution, and the pixels they want.

The first convolution is turned from RGB weights as TSN does (Wang et al. 2016, arXiv 1608.00859, section 3.2,
"cross modality pre-training"): the weights' mean over red, green and blue, once for every channel of the new input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn

from tinkit.data.config.modality import FLOW_LENGTH, Modality, model_channels, read_channels
from tinkit.errors import UserError, did_you_mean
from tinkit.models.classifier import Classifier

_FLOW_MEAN = 0.5  # of 0..1: no motion, where the files hold -bound..bound as 0..255


@dataclass(frozen=True)
class WantedPixels:
    """From a segment as it is read, uint8 of ``channels``, to what a model wants.

    Divide by 255; where ``difference`` is True take :func:`differences`; then ``(x - mean) / std`` by channel. ``mean``
    and ``std`` have as many entries as the model has input channels.
    """

    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    difference: bool = False


def read_modality(backbone: nn.Module, modality: Modality, flow_length: int = FLOW_LENGTH) -> None:
    """Make ``backbone``, a timm image model that reads RGB, read ``modality``. RGB: nothing is touched.

    Only the first convolution changes, in place: it keeps its class and its names in the state dict. ``flow_length`` is
    how many pairs, or differences, a segment stacks. Temporal modules may be in their places already. Raises
    :class:`~tinkit.errors.UserError` for a modality that is not known and a backbone that does not begin with a
    convolution of three channels.
    """
    check_modality(modality, flow_length)
    if modality == "rgb":
        return
    name, conv = first_convolution(backbone)
    if conv.in_channels != 3 or conv.groups != 1:
        raise UserError(
            f"the backbone's first convolution, {name}, reads {conv.in_channels} channels in {conv.groups} groups and "
            f"cannot be turned to {modality!r}",
            expected="one of three channels (RGB) in one group",
        )
    conv.in_channels = model_channels(modality, flow_length)
    if isinstance(scale := getattr(conv, "scale", None), float):  # NFNet's: what it divides weights by, for three
        conv.scale = scale * math.sqrt(3 / conv.in_channels)  # type: ignore[assignment]
    with torch.no_grad():
        conv.weight = nn.Parameter(turn_rgb_weight(conv.weight, conv.in_channels), conv.weight.requires_grad)


def turn_rgb_weight(weight: Tensor, channels: int) -> Tensor:
    """(out, 3, kh, kw), the weight of a convolution of RGB, to (out, ``channels``, kh, kw), every channel the mean."""
    return weight.mean(1, keepdim=True).repeat(1, channels, 1, 1)


def first_convolution(backbone: nn.Module) -> tuple[str, nn.Conv2d]:
    """The name and module of the convolution that reads the image: the one that timm names, else the first there is.

    Raises :class:`~tinkit.errors.UserError` if there is none.
    """
    modules = dict(backbone.named_modules())
    named: Any = getattr(backbone, "pretrained_cfg", {}).get("first_conv") or ()
    for name in ((named,) if isinstance(named, str) else tuple(named), modules):
        for candidate in name:
            module = modules.get(candidate)
            if isinstance(module, nn.Conv2d):
                return candidate, module
    raise UserError("the backbone has no convolution that could read flow, differences or sound")


def pixels_of(model: Classifier) -> WantedPixels:
    """What the frames of a clip must become before ``model`` reads them.

    RGB: the mean and standard deviation that the backbone's weights were made with. Flow: 0.5 and the mean of those
    deviations (0.226 for ImageNet's). Differences are not normalised. (As the TSN and TSM repositories do.) Sound, an
    image of one channel: the mean of those means (0.449) and of those deviations.
    """
    config: Any = model.backbone.pretrained_cfg
    modality, length = model.modality, model.flow_length
    channels, wanted = read_channels(modality, length), model_channels(modality, length)
    if modality in ("flow", "audio"):
        mean, deviation = (sum(config[key]) / len(config[key]) for key in ("mean", "std"))
        centre = _FLOW_MEAN if modality == "flow" else mean
        return WantedPixels(channels, mean=(centre,) * wanted, std=(deviation,) * wanted)
    if modality == "rgb_diff":
        return WantedPixels(channels, mean=(0.0,) * wanted, std=(1.0,) * wanted, difference=True)
    return WantedPixels(channels, mean=tuple(config["mean"]), std=tuple(config["std"]))


def differences(frames: Tensor) -> Tensor:
    """(N, 3 * (L + 1), H, W), frame after frame, to (N, 3 * L, H, W): every frame less the one before it.

    Floating point; a channels_last input gives a channels_last output.
    """
    return frames[:, 3:] - frames[:, :-3]


def check_modality(modality: str, flow_length: int) -> None:
    """Raise :class:`~tinkit.errors.UserError` for a modality that is not known and a stack of nothing."""
    known = get_args(Modality)
    if modality not in known:
        raise UserError(f"no modality is called {modality!r}{did_you_mean(modality, known)}", expected=", ".join(known))
    if flow_length < 1:
        raise UserError(f"flow_length is {flow_length}", expected="1 or more")
