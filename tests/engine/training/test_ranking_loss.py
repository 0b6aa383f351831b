"""LSEP and wLSEP in float64 pairs, from the papers' formulas; the factor of a loss; what its parts leave alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tinkit.engine.training.loss import Loss
from tinkit.recipe.training import LossConfig

MULTI = "multi-label"


def pairs(name: str, scores: Tensor, marks: Tensor, weights: Tensor) -> Tensor:
    """The sum over clips, in float64, every pair of classes by itself: (B, u, v)."""
    parts = scores[:, None, :] - scores[:, :, None]  # f_v - f_u
    amounts = marks[:, :, None] * (1 - marks[:, None, :])
    if name == "lsep":
        # log(1 + sum) as logsumexp with a 0, by hand
        top = torch.where(amounts > 0, parts, -np.inf).amax((1, 2)).clamp(min=0)
        inner = (amounts * torch.where(amounts > 0, parts - top[:, None, None], 0.0).exp()).sum((1, 2))
        return (top + ((-top).exp() + inner).log()).sum()
    others = torch.where(1 - marks[:, None, :] > 0, parts, -np.inf)
    top = others.amax(2).clamp(min=0)
    safe = torch.where(1 - marks[:, None, :] > 0, parts - top[:, :, None], 0.0)
    each = top + ((-top).exp() + ((1 - marks[:, None, :]) * safe.exp()).sum(2)).log()
    return ((weights * marks * each).sum(1) / marks.sum(1).clamp(min=1e-300)).sum()


def drawn(kind: str, rng: np.random.Generator, classes: int) -> Tensor:
    """(7, C) float64: hard labels, with a clip that has none and one that has all of them; or soft ones."""
    if kind == "soft":
        return torch.tensor(rng.random((7, classes)) * (rng.random((7, classes)) < 0.6))
    marks = torch.tensor(rng.random((7, classes)) < 0.3).double()
    marks[2], marks[5] = 0, 1
    return marks


@pytest.mark.parametrize("spread", [1.0, 30.0, 1e4])
@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("name", ["lsep", "wlsep"])
def test_values_and_gradients_are_the_papers(name: str, kind: str, spread: float) -> None:
    rng = np.random.default_rng(4)
    classes = 17
    marks, counts = drawn(kind, rng, classes), rng.integers(1, 900, classes)
    loss = Loss(LossConfig(name=name, class_balance=0.99 if name == "wlsep" else None), MULTI, classes, counts)  # type: ignore[arg-type]
    weights = torch.ones(classes, dtype=torch.float64)
    if loss.weights is not None:
        rare = torch.tensor([(1 - 0.99) / (1 - 0.99 ** int(n)) for n in counts], dtype=torch.float64)
        weights = rare / rare.mean()
    ours = torch.tensor(rng.normal(0, spread, (7, classes)), dtype=torch.float32, requires_grad=True)
    theirs = ours.detach().double().requires_grad_()
    found = loss(ours, marks.float(), torch.ones(7, dtype=torch.bool))
    wanted = pairs(name, theirs, marks.float().double(), weights)
    (slope,), (wanted_slope,) = torch.autograd.grad(found, ours), torch.autograd.grad(wanted, theirs)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    torch.testing.assert_close(slope.double(), wanted_slope, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("name", ["lsep", "wlsep"])
def test_a_clip_without_a_pair_costs_nothing(name: str) -> None:
    logits = torch.tensor([[3e4, -3e4, 0.0], [3e4, -3e4, 0.0], [5.0, 5.0, 5.0]], requires_grad=True)
    marks = torch.tensor([[0.0, 0, 0], [1, 1, 1], [0, 0, 1]])
    loss = Loss(LossConfig(name=name), MULTI, 3)  # type: ignore[arg-type]
    found = loss(logits, marks, torch.ones(3, dtype=torch.bool))
    found.backward()
    assert logits.grad is not None
    assert found.item() == pytest.approx(np.log(3))
    assert torch.equal(logits.grad[:2], torch.zeros(2, 3))
    torch.testing.assert_close(logits.grad[2], torch.tensor([1 / 3, 1 / 3, -2 / 3]))


@pytest.mark.parametrize("name", ["lsep", "wlsep"])
def test_the_owners_code_agrees_where_it_can(name: str) -> None:
    """moments_models takes a batch as one: of a single clip, and of clips with one class each, that is the same."""
    rng = np.random.default_rng(5)
    one = torch.tensor(rng.normal(0, 2, (1, 9)))
    marks = torch.tensor([[1.0, 0, 0, 1, 0, 0, 1, 0, 0]], dtype=torch.float64)
    diffs = one[:, :, None] - one[:, None, :]  # as there: (B, v, u)
    mask = ((marks[:, None, :] - marks[:, :, None]) > 0).double()
    if name == "lsep":
        theirs = (1 + (diffs.exp() * mask).sum()).log()
    else:
        theirs = (1 + (diffs.exp() * mask).sum(1)).log()[marks.bool()].mean()
    ours = Loss(LossConfig(name=name), MULTI, 9)(one, marks, torch.ones(1, dtype=torch.bool))  # type: ignore[arg-type]
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)


OPTIONS: list[dict[str, Any]] = [
    {"name": "bce"},
    {"name": "bce", "reduction": "sum", "label_smoothing": 0.1},
    {"name": "focal"},
    {"name": "asymmetric"},
    {"name": "lsep"},
    {"name": "wlsep"},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("frames", [False, True])
def test_the_factor_multiplies_loss_and_gradient_once(options: dict[str, Any], frames: bool) -> None:
    rng = np.random.default_rng(6)
    logits = torch.tensor(rng.normal(size=(3, 4, 6) if frames else (3, 6)), dtype=torch.float32, requires_grad=True)
    marks = torch.tensor(rng.integers(2, size=(3, 6)), dtype=torch.float32)
    valid = torch.tensor([True, False, True])
    values, slopes = [], []
    for factor in (1.0, 160.0):
        loss = Loss(LossConfig(**options, weight=factor), MULTI, 6)(logits, marks, valid)
        values.append(loss.item() / factor)
        slopes.append(torch.autograd.grad(loss, logits)[0] / factor)
    assert values[1] == pytest.approx(values[0], rel=1e-6)
    torch.testing.assert_close(slopes[1], slopes[0])


def test_the_owners_cross_entropy_is_the_sum() -> None:
    logits, marks = torch.randn(4, 313), (torch.rand(4, 313) < 0.01).float()
    valid = torch.ones(4, dtype=torch.bool)
    summed, mean = (
        Loss(LossConfig(name="bce", reduction=word, weight=factor), MULTI, 313)(logits, marks, valid)  # type: ignore[arg-type]
        for word, factor in (("sum", 1.0), ("mean", 313.0))
    )
    chances = logits.double().sigmoid()
    by_hand = -(marks * chances.log() + (1 - marks) * (1 - chances).log()).sum()
    assert summed.item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert mean.item() == pytest.approx(by_hand.item(), rel=1e-5)
