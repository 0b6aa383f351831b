"""A classifier that reads a stream: one frame in, its logits out, with what later frames need kept inside."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from tinkit.errors import UserError
from tinkit.models.classifier import Classifier
from tinkit.models.temporal.non_local import NonLocal
from tinkit.models.temporal.online import OnlineModule
from tinkit.models.video import VideoClassifier
from tinkit.temporal import TEMPORAL_MODULES, find_temporal

CAUSAL = tuple(row.name for row in TEMPORAL_MODULES if row.causal)
"""The values of ``model.temporal`` with which a stream can be read."""


class FrameStream:
    """N streams that ``model``, in evaluation mode, reads side by side; a context manager.

    A frame's logits are those that it has in a clip that begins with the stream's first frame. What is kept does not
    grow: one or two frames of each fold. A model reads for one ``FrameStream`` at a time. Raises
    :class:`~tinkit.errors.UserError` for a model whose logits of a frame depend on later frames.
    """

    def __init__(self, model: Classifier) -> None:
        self._model = _causal(model)
        self._modules = [module for module in model.modules() if isinstance(module, OnlineModule)]

    def __enter__(self) -> Self:
        for module in self._modules:
            module.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for module in self._modules:
            module.end()

    @torch.inference_mode()
    def step(self, frames: Tensor) -> Tensor:
        """The next frame of each stream, normalised, (N, C, H, W) -> its logits (N, num_classes)."""
        return self._model.frame_scores(frames)


def _causal(model: Classifier) -> VideoClassifier:
    row = find_temporal(model.temporal)
    if not isinstance(model, VideoClassifier) or row is None or not row.causal:
        raise UserError(
            f"a network with temporal = {model.temporal!r} looks ahead: it cannot read a stream",
            expected=f"temporal = {' or '.join(map(repr, CAUSAL))}",
        )
    if any(isinstance(module, NonLocal) for module in model.modules()) or model.segments_left != model.num_segments:
        raise UserError(
            "non-local blocks and temporal pooling look ahead: the network cannot read a stream",
            expected="a network without them",
        )
    if model.consensus.class_layers():
        raise UserError("relations need all frames of a clip", expected='consensus = "avg" or "identity"')
    return model
