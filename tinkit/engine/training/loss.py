"""Losses as sums over the valid clips, so that a step's loss is the global sum over the global count."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tinkit.data.manifest.manifest import Manifest
from tinkit.engine.training.ranking_loss import lsep, wlsep
from tinkit.errors import UsageError
from tinkit.metrics import Task
from tinkit.recipe.training import LossConfig
from tinkit.timm_import import import_timm

PER_CLASS = ("bce", "asymmetric", "focal")
"""Losses that ask of every class by itself, and are averaged or summed over classes."""
RANKING = ("lsep", "wlsep")
"""Losses that rank a clip's classes before the others."""


class Loss:
    """The loss of a recipe for clips of ``num_classes`` classes (C).

    ``name`` is the recipe's, or the task's default. ``bce``, ``focal`` (Lin et al., ICCV 2017) and ``asymmetric``
    (Ridnik et al., ICCV 2021) take every class as a separate question, and are averaged or summed over classes as
    ``reduction`` says; a single label counts as yes for one class and no for the others. The binary cross-entropy of
    the owner of Multi-Moments in Time is the one that is summed: ``reduction = "sum"``. The owner's ``lsep`` and
    ``wlsep`` rank a clip's classes before the others (:mod:`~tinkit.engine.training.ranking_loss`).

    ``class_counts`` (C,) int64 says how many training clips have each class; with ``class_balance`` it gives
    ``weights`` (C,) float32, by which each class's part of the loss is multiplied. They are None otherwise. All of it
    is multiplied by ``weight``.

    Raises :class:`~tinkit.errors.UsageError` for settings that do not go together or with ``task``.
    """

    @classmethod
    def of(cls, config: LossConfig, clips: Manifest) -> Loss:
        """The loss of a recipe for the clips that it trains on."""
        counts = clips.label_counts() if config.class_balance is not None else None
        return cls(config, clips.task, len(clips.classes), counts)

    def __init__(
        self, config: LossConfig, task: Task, num_classes: int, class_counts: NDArray[np.int64] | None = None
    ) -> None:
        self.name = loss_name(config, task)
        _check(config, self.name, task)
        self._task, self._num_classes = task, num_classes
        self._smoothing, self._factor = config.label_smoothing, config.weight
        self._of_clips = _of_clips(config, self.name)
        self.weights: Tensor | None = None
        if config.class_balance is not None:
            if class_counts is None or class_counts.shape != (num_classes,):
                raise ValueError(f"class_balance needs the counts of {num_classes} classes")
            self.weights = torch.from_numpy(class_weights(class_counts, config.class_balance))

    def __call__(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """The sum of the valid clips' losses: a float32 scalar.

        ``logits`` (B, C) of any floating type; ``target`` (B,) int64 class indices (single-label), or (B, C) from 0 to
        1, mixed or soft ones included; ``valid`` (B,) bool, all on one device. Whatever the rows of other clips hold,
        NaN included, they add 0 and have a gradient of 0. Raises ValueError for a target of another shape.

        ``logits`` (B, T, C) are of frames that stay by themselves (``consensus = "identity"``): a clip's loss is the
        mean of its frames', each against the clip's target.
        """
        if logits.dim() == 3:
            frames = logits.shape[1]
            each_target, each_valid = (part.repeat_interleave(frames, 0) for part in (target, valid))
            return self(logits.flatten(0, 1), each_target, each_valid) / frames
        if target.dim() == 1:
            if self._task == "multi-label":
                raise ValueError("a multi-label target is (B, C), not one index a clip")
            target = torch.where(valid, target, 0)
        # Masked before the loss and not only after it: in the backward pass 0 times NaN would be NaN.
        logits = torch.where(valid[:, None], logits.float(), 0.0)
        target = self._smooth(dense_target(target, self._num_classes))
        if self.weights is not None:
            self.weights = self.weights.to(logits.device)  # copied once
        each = self._of_clips(logits, target, self.weights)
        return torch.where(valid, each, 0.0).sum() * self._factor

    def _smooth(self, target: Tensor) -> Tensor:
        """Szegedy et al. (CVPR 2016) for one label; for several, each class's yes or no moves to 1/2."""
        if not self._smoothing:
            return target
        even = 1 / self._num_classes if self._task == "single-label" else 0.5
        return target * (1 - self._smoothing) + self._smoothing * even


def loss_name(config: LossConfig, task: Task) -> str:
    """The loss that a recipe names, or the task's default."""
    return config.name or ("bce" if task == "multi-label" else "cross_entropy")


def dense_target(target: Tensor, num_classes: int) -> Tensor:
    """``target`` as float32 (B, C): class indices (B,) int64 become rows with a single 1, rows (B, C) stay rows.

    Raises ValueError for another shape.
    """
    if target.dim() == 1:
        target = functional.one_hot(target, num_classes)
    if target.dim() != 2 or target.shape[1] != num_classes:
        raise ValueError(f"target is {tuple(target.shape)}, not (B,) or (B, {num_classes})")
    return target.float()


def class_weights(counts: NDArray[np.int64], beta: float) -> NDArray[np.float32]:
    """Weights (C,) by the effective number of clips, ``(1 - beta) / (1 - beta**n)`` (Cui et al., CVPR 2019); mean 1.

    A class without a clip weighs 1, and the mean of the others is 1. (It has no effective number, and as the rarest
    class it would leave the others with next to nothing.)
    """
    import_timm()
    from timm.loss import compute_class_weights

    weights = np.ones(len(counts), np.float32)
    present = counts > 0
    if present.any():
        known = counts[present]
        # timm checks the counts against a number of clips, which this method does not use
        _, weighed = compute_class_weights(known.tolist(), int(known.sum()), method="effective_num", beta=beta)
        weights[present] = weighed.numpy()
    return weights


def _check(config: LossConfig, name: str, task: Task) -> None:
    """Refuse what has no meaning, and exponents whose gradient is non-finite."""
    _check_task(name, task)
    if name not in PER_CLASS and config.reduction == "sum":
        raise UsageError(
            f"loss.reduction = 'sum' sums the losses of the classes, and {name} has one loss for all of them",
            fix="leave it out, or --set loss.reduction=mean",
        )
    if name in RANKING and config.label_smoothing:
        raise UsageError(
            f"loss.label_smoothing moves every class's answer towards 1/2, and {name} would rank all of them",
            fix="leave it out, or --set loss.label_smoothing=0",
        )
    if name == "lsep" and config.class_balance is not None:
        raise UsageError(
            "loss.class_balance weighs classes, and lsep has one logarithm for the pairs of all of them",
            expected="wlsep, which weighs the classes of a clip",
        )
    _check_exponents(config, name)


def _check_task(name: str, task: Task) -> None:
    if name == "cross_entropy" and task == "multi-label":
        raise UsageError(
            "loss.name = 'cross_entropy' needs one label a clip, and this data set has several",
            expected="bce, focal, asymmetric, lsep or wlsep",
            fix="set data.task = 'single-label' if every clip has one label: those of a table may have several",
        )
    if name in ("asymmetric", *RANKING) and task == "single-label":
        raise UsageError(
            f"loss.name = {name!r} is for several labels a clip, and this data set has one",
            expected="cross_entropy, bce or focal",
        )


def _check_exponents(config: LossConfig, name: str) -> None:
    exponents = {"focal": ("gamma",), "asymmetric": ("gamma_neg", "gamma_pos")}.get(name, ())
    for key in exponents:
        if 0 < getattr(config, key) < 1:
            raise UsageError(
                f"loss.{key} = {getattr(config, key):g}: below 1 the gradient of 0**{key} is infinite, and the loss "
                "becomes NaN once the model is sure of a class",
                expected="0, or 1 and more",
            )
    if name == "asymmetric" and config.gamma_neg == 0 < config.gamma_pos:
        # a soft target's exponent is between the two, and so between 0 and 1
        raise UsageError(
            f"loss.gamma_neg = 0 beside loss.gamma_pos = {config.gamma_pos:g}: the asymmetric loss takes weight off "
            "easy negatives before it takes it off positives",
            expected="loss.gamma_neg = 1 or more",
        )


def _of_clips(config: LossConfig, name: str) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """A function of logits and target, both (B, C) float32, and weights of classes, that gives clips' losses (B,)."""
    match name:
        case "cross_entropy":
            return lambda logits, target, weights: functional.cross_entropy(logits, target, weights, reduction="none")
        case "lsep":
            return lambda logits, target, _: lsep(logits, target)
        case "wlsep":
            return wlsep
    each, summed = _per_class(config, name), config.reduction == "sum"

    def over_classes(logits: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
        parts = each(logits, target)
        parts = parts if weights is None else parts * weights
        return parts.sum(1) if summed else parts.mean(1)

    return over_classes


def _per_class(config: LossConfig, name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """A function of logits and target, both (B, C) float32, that gives the losses (B, C)."""
    match name:
        case "bce":
            return lambda logits, target: functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        case "focal":
            import_timm()  # makes torchvision importable
            from torchvision.ops import sigmoid_focal_loss

            alpha = -1.0 if config.alpha is None else config.alpha
            return lambda logits, target: sigmoid_focal_loss(logits, target, alpha, config.gamma)
        case "asymmetric":
            import_timm()
            from timm.loss import AsymmetricLossMultiLabel

            # timm's default of the reduction has changed between releases
            asymmetric: Callable[[Tensor, Tensor], Tensor] = AsymmetricLossMultiLabel(
                config.gamma_neg, config.gamma_pos, config.margin, reduction="none"
            )
            return asymmetric
    raise ValueError(f"unknown loss {name!r}")
