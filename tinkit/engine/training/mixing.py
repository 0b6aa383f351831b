"""Mixup (Zhang et al., ICLR 2018) and cutmix (Yun et al., ICCV 2019) of pairs of clips, all frames of a clip alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from tinkit.engine.training.loss import dense_target
from tinkit.recipe.training import MixConfig


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels: rows ``top`` to ``bottom``, columns ``left`` to ``right``, without the last."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        """In pixels."""
        return (self.bottom - self.top) * (self.right - self.left)


@dataclass(frozen=True)
class Mix:
    """How one step's clips are mixed: a clip keeps ``share`` (0..1) of itself, the rest is its partner's.

    With ``box`` the partner's part are the pixels inside it (cutmix), without it a share of every pixel (mixup).
    """

    share: float
    box: Box | None = None


class Mixer:
    """Mixes the clips of a step as the recipe's ``[mix]`` says.

    Whether, how and how much is drawn from (``seed``, step) alone, so that every process and every piece of a step
    mixes alike and a resumed run goes on as it would have. The pairs are made within a piece: unlike the clips and
    their crops, they change with the number of processes and with the size of a micro-batch.
    """

    def __init__(self, config: MixConfig, num_classes: int, seed: int) -> None:
        self._config, self._num_classes, self._seed = config, num_classes, seed

    def __call__(self, video: Tensor, target: Tensor, valid: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The mixed clips and their targets; the tensors that came in where nothing is mixed in this step.

        ``video`` (B, T, 3, H, W) floating; ``target`` (B,) int64 or (B, C), which comes back as float32 (B, C);
        ``valid`` (B,) bool. The first valid clip is paired with the last, the second with the last but one, and so on,
        as timm pairs a batch; a clip that is not valid is neither changed nor mixed into another.
        """
        mix = self.draw(step, *video.shape[-2:])
        if mix is None:
            return video, target
        partner = _partners(valid)
        labels = dense_target(target, self._num_classes)
        mixed_labels = labels.lerp(labels[partner], 1 - mix.share)
        if mix.box is None:
            return video.lerp(video[partner], 1 - mix.share), mixed_labels
        rows, columns = slice(mix.box.top, mix.box.bottom), slice(mix.box.left, mix.box.right)
        mixed = video.clone()
        mixed[..., rows, columns] = video[..., rows, columns][partner]
        return mixed, mixed_labels

    @property
    def mixes(self) -> bool:
        """Whether clips are mixed in any step."""
        return bool(self._config.mixup or self._config.cutmix)

    def draw(self, step: int, height: int, width: int) -> Mix | None:
        """What happens to the ``step``-th step's frames of ``height`` x ``width`` pixels; None: nothing."""
        config = self._config
        rng = _step_rng(self._seed, step)
        if not self.mixes or rng.random() >= config.prob:
            return None
        cuts = rng.random() < config.switch_prob if config.mixup and config.cutmix else config.cutmix > 0
        alpha = config.cutmix if cuts else config.mixup
        share = float(rng.beta(alpha, alpha))
        if not cuts:
            return Mix(share)
        box = cut_box(height, width, share, int(rng.integers(height)), int(rng.integers(width)))
        # the box's own share: it may be cut off by the frame's edge
        return Mix(1 - box.area / (height * width), box)


def cut_box(height: int, width: int, share: float, y: int, x: int) -> Box:
    """Cutmix' rectangle: ``1 - share`` of the frame in the frame's proportions, around row ``y`` and column ``x``.

    Its sides are ``sqrt(1 - share)`` of the frame's, rounded down; what is outside the frame is cut off.
    """
    side = math.sqrt(1 - share)
    tall, wide = int(height * side), int(width * side)
    return Box(
        top=max(0, y - tall // 2),
        bottom=min(height, y + (tall + 1) // 2),
        left=max(0, x - wide // 2),
        right=min(width, x + (wide + 1) // 2),
    )


def _partners(valid: Tensor) -> Tensor:
    """The row of each clip's partner, (B,) int64: the valid ones in reverse order, every other clip its own.

    Without a copy to the CPU, for which the device would have to be waited for.
    """
    in_order = torch.argsort(~valid, stable=True)  # the valid rows first
    place = valid.cumsum(0) - 1
    mirrored = (valid.sum() - 1 - place).clamp(0, len(valid) - 1)
    return torch.where(valid, in_order[mirrored], torch.arange(len(valid), device=valid.device))


def _step_rng(seed: int, step: int) -> np.random.Generator:
    digest = blake2b(f"mix\0{seed}\0{step}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
