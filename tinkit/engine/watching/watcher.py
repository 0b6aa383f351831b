"""What a model says of a stream, frame by frame."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from tinkit.data.decode.clip_reader import Frame
from tinkit.data.sampling import crops
from tinkit.engine.evaluation.score import likeliest, probabilities_of
from tinkit.engine.runs.checkpoint import read_header
from tinkit.engine.runs.load import load_model, prepare_to_test
from tinkit.engine.runs.non_finite import NonFiniteError, require_finite_values
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.way_back import told_of_run
from tinkit.engine.runtime.device import amp_of_test, choose_device
from tinkit.engine.runtime.pixels import Pixels
from tinkit.engine.runtime.precision import autocast
from tinkit.errors import UserError
from tinkit.models.streaming import FrameStream


@dataclass(frozen=True)
class Reading:
    """What is known of a stream at a tick, ``seconds`` after its first frame.

    ``logits`` (C,) are the frame's own; ``mean`` (C,) float32 the mean of the latest frames' probabilities, and
    ``labels`` (class, probability) the likeliest by it, likeliest first.
    """

    seconds: float
    logits: NDArray[np.float32]
    mean: NDArray[np.float32]
    labels: tuple[tuple[str, float], ...]


class Watcher:
    """A run's model, and the state of the one stream that it watches; a context manager.

    Frames are cut as in a test: the short side resized to ``test.scale``, the middle ``test.crop`` pixels. ``window``
    frames are averaged (None: as many as a clip has). Raises :class:`~tinkit.errors.UserError` for a model that cannot
    read streams, and for one of optical flow, of differences, or of sound.
    """

    def __init__(self, run: Run, weights: str, top: int, window: int | None = None) -> None:
        self.recipe = recipe = run.load_recipe()
        if recipe.clip.modality != "rgb":
            raise UserError(f"clip.modality = {recipe.clip.modality!r}", expected="a model of frames, modality = 'rgb'")
        self._run, self._weights, self._top = run, weights, top
        self._model, _, checkpoint = load_model(run, weights)
        info = read_header(checkpoint)["info"]
        self.classes, self._task = tuple(info["classes"]), info["task"]
        self._stream = FrameStream(self._model)
        prepare_to_test(self._model)
        device = choose_device()
        self._pixels = Pixels(self._model, device, channels_last=recipe.train.channels_last)
        self._amp = amp_of_test(recipe, recipe.test, device.type)
        self._latest: deque[NDArray[np.float32]] = deque(maxlen=window or recipe.clip.num_segments)

    def __enter__(self) -> Self:
        self._stream.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.__exit__(kind, error, trace)

    def read(self, frame: Frame, seconds: float) -> Reading:
        """The reading at the next tick, which shows ``frame`` (H, W, 3) uint8.

        Raises :class:`~tinkit.errors.UserError` for non-finite logits, and
        :class:`~tinkit.data.decode.clip_reader.BrokenClip` for a frame that cannot be scaled.
        """
        config = self.recipe.test
        scaled = crops.scale_short_side(frame, config.scale)
        box = crops.centre(scaled.shape[1], scaled.shape[0], config.crop)
        pixels = torch.from_numpy(np.ascontiguousarray(crops.cut(scaled, box))).permute(2, 0, 1)
        video = self._pixels(pixels[None, None])
        with autocast(video.device.type, self._amp):
            logits = self._stream.step(video[:, 0])[0].float().cpu()
        try:
            require_finite_values(logits[None].numpy(), (), [f"the frame at {seconds:.2f} s"].__getitem__, "logits")
        except NonFiniteError as error:
            raise told_of_run(error, self._run, self._weights) from None
        self._latest.append(probabilities_of(logits, self._task).numpy())
        mean: NDArray[np.float32] = np.stack(self._latest).mean(0)
        return Reading(seconds, logits.numpy(), mean, likeliest(torch.from_numpy(mean), self.classes, self._top))
