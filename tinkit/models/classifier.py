"""What every classifier of clips has, whatever its network: the one base of those of images and of clips."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import nn

from tinkit.data.config.modality import FLOW_LENGTH, Modality
from tinkit.errors import UserError
from tinkit.models.temporal.interlace import TemporalInterlace


class Classifier(nn.Module):
    """Clips (B, T, C, H, W), normalised, to logits (B, num_classes), float32 or better.

    ``kind`` says what ``backbone`` looks at: each frame by itself (``image``, with temporal modules in it), or space
    and time at once (``clip``). ``temporal`` is the recipe's ``model.temporal``. ``family`` and ``variant`` name a
    network of clips (``slowfast``) and the code base whose choices it follows; both are empty for an image backbone.
    ``num_segments`` is T, ``modality`` what a segment holds, ``flow_length`` how many pairs of flow or differences.
    """

    kind: ClassVar[Literal["image", "clip"]]
    temporal: str
    family: str = ""
    variant: str = ""
    num_segments: int
    modality: Modality = "rgb"
    flow_length: int = FLOW_LENGTH
    backbone: nn.Module
    dropout: nn.Dropout
    classifier: nn.Linear

    def class_layers(self) -> dict[str, nn.Linear]:
        """The layers whose outputs are the classes, by name: what another number of classes replaces."""
        return {"classifier": self.classifier}

    def steering_modules(self) -> dict[str, TemporalInterlace]:
        """The modules that interlace, by name, in the order of the forward pass; none unless it is a TIN."""
        return {name: module for name, module in self.named_modules() if isinstance(module, TemporalInterlace)}


def check_numbers(*, dropout: float, **counts: int) -> None:
    """Raise :class:`~tinkit.errors.UserError` for a count below 1, which it names, and a ``dropout`` out of range."""
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"{name} is {value}", expected="1 or more")
    if not 0 <= dropout <= 1:
        raise UserError(f"dropout is {dropout:g}", expected="a probability, 0 to 1")
