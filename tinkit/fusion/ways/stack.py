"""Stacking: weights and class biases that a smooth loss likes best (Wolpert 1992; weights from 0 up, Breiman 1996).

A clip's score of the class c is ``sum over members m of (w_m + d_cm) x_mc + b_c + sum over classes k of a_ck f_k``.
``x`` are the members' scores, each row less its mean and each member divided by its spread; ``f`` is the mean of ``x``
with the weights that a first fit gave. The weights ``w`` are shared by all classes and none is negative; ``b`` are
biases. What the class deviates by, ``d``, is shrunk to 0, and so is ``a``, by which the classes see each other:
those that are confused, or that go together. A class without a positive keeps the shared weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinkit.fusion.arrays import Examples, Learned, Matrix, Options
from tinkit.fusion.ways.losses import Loss, loss_for
from tinkit.fusion.ways.spread import spreads

Vector = NDArray[np.float64]
Block = NDArray[np.float32]  # (C, n, M) features or (C, n) scores: class by class, for products of matrices

BIAS = 3.0  # a penalty: times the sum of the squares, over the number of clips, beside the mean loss
DEVIATION = 30.0  # the same, of the deviations
MIXING = 30.0  # the same, of the mixing
STEPS = 60  # of L-BFGS-B, at most
_LEAST_GAIN = 1e-7  # of a step, relative to the loss: the sums of float32 say no more


def fit_stack(examples: Examples, options: Options) -> Learned:
    """``weights`` (M,), ``bias`` (C,), ``scale`` (M,) and ``centre`` (1,): of each member, and whether rows are."""
    return _Fit.of(examples, options).shared()


def fit_stack_classes(examples: Examples, options: Options) -> Learned:
    """What :func:`fit_stack` learns, with ``deviation`` (C, M)."""
    fit = _Fit.of(examples, options)
    return fit.by_class(options.begun or fit.shared())


def fit_stack_mixed(examples: Examples, options: Options) -> Learned:
    """What :func:`fit_stack_classes` learns, with ``mixing`` (C, C) and ``shared`` (M,), the weights of ``f``."""
    fit = _Fit.of(examples, options)
    return fit.mixed(options.begun or fit.by_class(fit.shared()))


def start_stack(options: Options) -> Learned:
    """Equal weights and no biases."""
    return {
        "weights": np.full(options.members, 1 / options.members),
        "bias": np.zeros(options.classes),
        "scale": np.ones(options.members),
        "centre": np.ones(1),
    }


def start_stack_classes(options: Options) -> Learned:
    """Equal weights, no biases, no deviations."""
    return {**start_stack(options), "deviation": np.zeros((options.classes, options.members))}


def start_stack_mixed(options: Options) -> Learned:
    """Equal weights and nothing else."""
    mixing = np.zeros((options.classes, options.classes))
    return {**start_stack_classes(options), "mixing": mixing, "shared": np.full(options.members, 1 / options.members)}


def apply_stack(scores: Sequence[Matrix], valid: NDArray[np.bool_], learned: Learned) -> Vector:
    """The fused logits (n, C) of M members' ``scores``, (n, C) each.

    ``valid`` (M, n): which members have scores for which clips. Where members miss a clip the weights of the others
    grow so that, class by class, they sum to what they did; where those sum to 0, the others count equally.
    """
    members = [_standardised(own, has, scale, learned) for own, has, scale in _each(scores, valid, learned)]
    deviation = learned.get("deviation")
    weights = learned["weights"] if deviation is None else learned["weights"] + deviation
    total = _mean(members, valid, np.atleast_2d(weights)) + learned["bias"]
    if "mixing" in learned:
        total += np.einsum("nk,ck->nc", _mean(members, valid, learned["shared"][None]), learned["mixing"])
    return total


def _each(scores: Sequence[Matrix], valid: NDArray[np.bool_], learned: Learned):  # type: ignore[no-untyped-def]
    return zip(scores, valid, learned["scale"], strict=True)


def _standardised(own: Matrix, has: NDArray[np.bool_], scale: float, learned: Learned) -> Vector:
    """One member's scores without its scale; rows that it lacks are 0."""
    values = own.astype(np.float64) if has.all() else np.where(has[:, None], own, 0.0).astype(np.float64)
    if learned["centre"][0]:
        values -= values.mean(axis=1, keepdims=True)
    values /= scale
    return values


def _mean(members: Sequence[Vector], valid: NDArray[np.bool_], weights: Vector) -> Vector:
    """The sum of ``members`` with ``weights``, (1, M) or (C, M), those of a clip's own members making up for others."""
    if valid.all():
        return sum((own * weight for own, weight in zip(members, weights.T, strict=True)), np.zeros(members[0].shape))
    whole = weights.sum(axis=1)
    total, there = np.zeros(members[0].shape), np.zeros(members[0].shape)
    alike, count = np.zeros(members[0].shape), np.maximum(valid.sum(axis=0), 1)
    for own, has, weight in zip(members, valid, weights.T, strict=True):
        total += own * weight
        there += np.where(has[:, None], weight, 0.0)
        alike += own
    trusted = there > 1e-6 * np.abs(weights).sum(axis=1)
    grown = np.divide(whole, there, out=np.ones_like(there), where=trusted)
    return np.where(trusted, total * grown, alike / count[:, None] * whole)


@dataclass(frozen=True, eq=False)
class _Fit:
    """What one fit works on: ``features`` (C, n, M), the loss over them, and what is learned before."""

    features: Block
    loss: Loss
    seen: NDArray[np.bool_]  # (C,): classes with a positive
    scale: Vector
    centre: bool

    @classmethod
    def of(cls, examples: Examples, options: Options) -> _Fit:
        """Standardise ``examples``."""
        centre = options.metric not in ("class_map", "micro_map")
        scale = spreads(examples.scores)
        clips, classes = examples.labels.shape
        features = np.empty((classes, clips, len(scale)), np.float32)
        for number, (own, spread) in enumerate(zip(examples.scores, scale, strict=True)):
            values = own - own.mean(axis=1, keepdims=True) if centre else own
            np.divide(values.T, np.float32(spread), out=features[:, :, number])
        marks = np.ascontiguousarray(examples.labels.T)
        return cls(features, loss_for(options.metric, marks), np.asarray(marks.any(axis=1)), scale, centre)

    def shared(self) -> Learned:
        """The minimum over shared weights and biases."""
        classes, _, members = self.features.shape
        start = np.concatenate([np.full(members, 1 / members), np.zeros(classes)])
        found = _Objective(self.features, self.loss).minimum(start)
        return self._named(found)

    def by_class(self, begun: Learned) -> Learned:
        """The minimum with deviations too, from what :meth:`shared` found."""
        objective = _Objective(self.features, self.loss, seen=self.seen)
        return self._named(objective.minimum(_from(begun, objective)))

    def mixed(self, begun: Learned) -> Learned:
        """The minimum with mixing too, from what :meth:`by_class` found."""
        fused = np.ascontiguousarray(self.features @ begun["weights"].astype(np.float32))
        objective = _Objective(self.features, self.loss, seen=self.seen, mixed=fused)
        return {**self._named(objective.minimum(_from(begun, objective))), "shared": begun["weights"]}

    def _named(self, found: Vector) -> Learned:
        """The arguments of an objective by their names."""
        classes, _, members = self.features.shape
        learned = {"scale": self.scale, "centre": np.array([float(self.centre)])}
        learned |= {"weights": found[:members], "bias": found[members : members + classes]}
        own, mixing = np.split(found[members + classes :], [classes * members])
        if own.size:
            learned["deviation"] = own.reshape(classes, members)
        return learned | ({"mixing": mixing.reshape(classes, classes)} if mixing.size else {})


def _from(begun: Learned, objective: _Objective) -> Vector:
    """Where an objective begins that has more arguments than what was ``begun``: the others are 0."""
    known = [begun[name].reshape(-1) for name in ("weights", "bias", "deviation") if name in begun]
    start = np.zeros(objective.size)
    start[: sum(map(len, known))] = np.concatenate(known)
    return start


@dataclass(frozen=True, eq=False)
class _Objective:
    """The mean loss and the penalties; its arguments are ``w``, ``b`` and, if ``seen`` is there, ``d`` and ``a``."""

    features: Block
    loss: Loss
    seen: NDArray[np.bool_] | None = None
    mixed: Block | None = None

    @property
    def size(self) -> int:
        """How many arguments there are."""
        classes, _, members = self.features.shape
        own = classes * members if self.seen is not None else 0
        return members + classes + own + (classes**2 if self.mixed is not None else 0)

    def minimum(self, start: Vector) -> Vector:
        """Where L-BFGS-B (Byrd et al. 1995) ends from ``start``."""
        from scipy.optimize import minimize

        members = self.features.shape[2]
        bounds = [(0.0, None)] * members + [(None, None)] * (start.size - members)
        found = minimize(
            self, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS, "ftol": _LEAST_GAIN}
        )
        return np.asarray(found.x, np.float64)

    def __call__(self, at: Vector) -> tuple[float, Vector]:
        """The value and the gradient."""
        classes, clips, members = self.features.shape
        shared, bias, rest = at[:members], at[members : members + classes], at[members + classes :]
        weights = np.broadcast_to(shared, (classes, members))
        if self.seen is not None:
            own = rest[: classes * members].reshape(classes, members)
            weights = weights + own
        scores = (self.features @ weights.astype(np.float32)[:, :, None])[:, :, 0]
        scores += bias.astype(np.float32)[:, None]
        if self.mixed is not None:
            mixing = rest[classes * members :].reshape(classes, classes)
            scores += mixing.astype(np.float32) @ self.mixed
        value, slope = self.loss(scores)
        by_weight = (slope[:, None, :] @ self.features)[:, 0, :].astype(np.float64)
        value += BIAS * float(bias @ bias)
        parts = [by_weight.sum(axis=0), slope.sum(axis=1, dtype=np.float64) + 2 * BIAS * bias]
        if self.seen is not None:
            value += DEVIATION * float(np.vdot(own, own))
            parts.append(np.where(self.seen[:, None], by_weight + 2 * DEVIATION * own, 0.0).reshape(-1))
        if self.mixed is not None:
            value += MIXING * float(np.vdot(mixing, mixing))
            slopes = (slope @ self.mixed.T).astype(np.float64) + 2 * MIXING * mixing
            parts.append(slopes.reshape(-1))
        return value / clips, np.concatenate(parts) / clips
