"""One training step: forward, loss, backward, clip, update; over micro-batches, processes and precisions alike."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tinkit.data.clips.batch import Batch
from tinkit.engine.distributed.world import World
from tinkit.engine.runtime.pixels import Pixels
from tinkit.engine.runtime.precision import autocast
from tinkit.engine.training.learner import Learner
from tinkit.engine.training.loss import Loss
from tinkit.engine.training.mixing import Mixer
from tinkit.engine.training.soft_labels import SoftLabels
from tinkit.recipe import Recipe


@dataclass(frozen=True)
class StepResult:
    """What a step came to, over all processes."""

    loss: float
    """The mean over the valid clips; 0 if there was none."""
    grad_norm: float
    """Before clipping; 0 if no clip was valid."""
    clips: int
    valid: int
    broken: int
    left_out: int
    """Clips that are not valid, for whatever reason."""
    stop: bool
    """Some process was asked to stop."""

    @property
    def finite(self) -> bool:
        """Whether loss and gradient are finite. If not, the weights were left as they were."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


@dataclass(frozen=True)
class Objective:
    """What a step's clips are trained towards: targets, softened and mixed, and the loss of logits against them."""

    loss: Loss
    mixer: Mixer
    soft_labels: SoftLabels | None = None


class TrainStep:
    """Holds what a step needs; calling it with a batch changes the weights.

    The gradient is the sum over all processes' valid clips divided by their number, whatever the micro-batch and the
    number of processes.
    """

    def __init__(self, recipe: Recipe, learner: Learner, objective: Objective, pixels: Pixels, world: World) -> None:
        self._recipe, self._learner, self._objective = recipe, learner, objective
        self._pixels, self._world = pixels, world
        self._device = next(learner.model.parameters()).device
        self.begun = False
        """Whether the newest step has got as far as to change the model: until then, all wait for each other."""

    def __call__(self, batch: Batch, step: int, *, stop: bool = False) -> StepResult:
        """Train on this process' share of the step's clips. ``step`` counts from 0 over the whole run."""
        # What dropout draws depends on the step alone, so that a resumed run draws the same.
        torch.manual_seed(step_seed(self._recipe.train.seed, step, self._world.rank))
        self.begun = False
        bad = [bool(reason) for reason in batch["reason"]]
        counts = self._world.total(
            len(bad), int(batch["valid"].sum()), int(batch["broken"].sum()), sum(bad), float(stop)
        )
        self.begun = True
        clips, valid, broken, left_out, stops = (int(count) for count in counts)
        loss = norm = 0.0
        if valid:
            before = self._buffers() if self._recipe.train.nan_steps else None
            loss = self._backward(batch, step, valid)
            norm = self._update(step, loss)
            if before is not None and not math.isfinite(loss + norm):
                torch._foreach_copy_(list(self._learner.model.buffers()), before)
        return StepResult(loss, norm, clips, valid, broken, left_out, stops > 0)

    def _backward(self, batch: Batch, step: int, valid: int) -> float:
        """Gradients of the mean loss over the step's ``valid`` clips; returns that loss."""
        learner = self._learner
        share = len(batch["index"])
        size = min(share, self._recipe.optim.micro_batch or share)
        learner.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self._device)
        for start in range(0, share, size):
            video, target, good = self._piece(batch, slice(start, start + size), step)
            with self._accumulating(last=start + size >= share):
                with autocast(self._device.type, self._recipe.train.amp):
                    logits = learner.network(video)
                loss = self._objective.loss(logits, target, good) / valid
                # processes' gradients are averaged; what is wanted is their sum
                scaled = loss * self._world.size
                (scaled if learner.scaler is None else learner.scaler.scale(scaled)).backward()
            total += loss.detach()
        (summed,) = self._world.total(total.item())
        return summed

    def _piece(self, batch: Batch, part: slice, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """A micro-batch on the device: the normalised video, its target, and which clips count."""
        target = batch["labels"][part].to(self._device, non_blocking=True)
        if (soft_labels := self._objective.soft_labels) is not None:
            target = soft_labels.soft(target, batch["index"][part])
        good = batch["valid"][part].to(self._device, non_blocking=True)
        mixer = self._objective.mixer
        amp = "off" if mixer.mixes else self._recipe.train.amp  # mixed in float32
        video, target = mixer(self._pixels(batch["frames"][part], amp), target, good, step)
        return video, target, good

    def _accumulating(self, *, last: bool) -> Any:
        """Processes exchange gradients in the last micro-batch only."""
        if isinstance(self._learner.network, DistributedDataParallel) and not last:
            return self._learner.network.no_sync()
        return nullcontext()

    def _update(self, step: int, loss: float) -> float:
        """Clip the gradient and change the weights, unless loss or gradient are non-finite; returns the norm."""
        learner = self._learner
        if learner.scaler is not None:
            learner.scaler.unscale_(learner.optimizer)
        bound = self._recipe.optim.clip_grad or math.inf
        norm = float(nn.utils.clip_grad_norm_(learner.model.parameters(), bound))
        if learner.scaler is not None:
            if not math.isfinite(loss):
                learner.scaler.update()
                return norm
            # a gradient beyond fp16's range is an everyday event there: the scaler skips it and lowers its scale
            learner.scaler.step(learner.optimizer)
            learner.scaler.update()
            norm = norm if math.isfinite(norm) else 0.0
        elif math.isfinite(loss + norm):
            learner.optimizer.step()
        else:
            return norm
        if learner.ema is not None:
            learner.ema.update(learner.model, step + 1)
        return norm

    def _buffers(self) -> list[Tensor]:
        return [buffer.clone() for buffer in self._learner.model.buffers()]


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of everything random in a step but the clips themselves, in one process."""
    digest = blake2b(f"step\0{seed}\0{step}\0{rank}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
