"""Every loss against a slow reference, timm and torch; masks, micro-batches, extreme logits, refusals."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from tests.helpers.slow_loss import CLASSES, COUNTS, MULTI, SETTINGS, SINGLE, slow, targets_for
from tinkit.engine.training.loss import Loss, class_weights, dense_target
from tinkit.errors import UsageError
from tinkit.metrics import Task
from tinkit.recipe.training import LossConfig
from tinkit.timm_import import import_timm


def made(task: Task, settings: dict[str, Any]) -> Loss:
    return Loss(LossConfig(**settings), task, CLASSES, COUNTS)


@pytest.mark.parametrize(("task", "options"), SETTINGS)
@pytest.mark.parametrize("kind", ["hard", "soft"])
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 4), spread=st.sampled_from([0.3, 3.0]))
def test_value_and_gradient_are_the_formulas(
    task: Task, options: dict[str, Any], kind: str, seed: int, rows: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    logits = torch.tensor(rng.normal(0, spread, (rows, CLASSES)), dtype=torch.float32, requires_grad=True)
    target = targets_for(task, rows, kind, rng)
    loss = made(task, options)(logits, target, torch.ones(rows, dtype=torch.bool))
    loss.backward()
    values, wanted = logits.detach().double().tolist(), target.double().tolist()
    assert loss.item() == pytest.approx(slow(task, options, values, wanted), rel=1e-4, abs=1e-6)
    assert logits.grad is not None
    row, column, step = int(rng.integers(rows)), int(rng.integers(CLASSES)), 1e-4
    around = []
    for sign in (1, -1):
        moved = [list(line) for line in values]
        moved[row][column] += sign * step
        around.append(slow(task, options, moved, wanted))
    # a margin has a corner, where the two-sided quotient is neither slope: then the probability is that near to it
    if abs(1 / (1 + math.exp(-values[row][column])) - LossConfig(**options).margin) > 1e-3:
        assert logits.grad[row, column] == pytest.approx((around[0] - around[1]) / (2 * step), rel=2e-3, abs=2e-5)


def test_class_indices_are_rows_with_a_single_one() -> None:
    classes = torch.tensor([4, 0, 2])
    logits, valid = torch.randn(3, CLASSES), torch.tensor([True, False, True])
    for task, options in SETTINGS:
        if task == SINGLE:
            loss = made(task, options)
            dense = functional.one_hot(classes, CLASSES)
            assert loss(logits, classes, valid) == loss(logits, dense.float(), valid) == loss(logits, dense, valid)


def test_losses_are_those_of_timm_and_torch() -> None:
    import_timm()
    from timm.loss import AsymmetricLossMultiLabel, BinaryCrossEntropy, LabelSmoothingCrossEntropy
    from timm.loss import SoftTargetCrossEntropy as SoftTarget
    from torchvision.ops import sigmoid_focal_loss

    logits, several, one = 4 * torch.randn(6, CLASSES), (torch.rand(6, CLASSES) < 0.4).float(), torch.arange(6) % 5
    soft, valid = torch.rand(6, CLASSES).softmax(1), torch.ones(6, dtype=torch.bool)

    def mean(task: Task, target: Tensor, **options: Any) -> Tensor:
        return made(task, options)(logits, target, valid) / 6

    close = torch.testing.assert_close
    close(mean(MULTI, several), functional.binary_cross_entropy_with_logits(logits, several))
    close(mean(MULTI, several, label_smoothing=0.1), BinaryCrossEntropy(0.1, smooth_dense=True)(logits, several))
    close(mean(SINGLE, one, name="bce", label_smoothing=0.1), BinaryCrossEntropy(0.1)(logits, one))
    close(mean(SINGLE, one), functional.cross_entropy(logits, one))
    close(mean(SINGLE, one, label_smoothing=0.3), LabelSmoothingCrossEntropy(0.3)(logits, one))
    close(mean(SINGLE, soft), SoftTarget()(logits, soft))
    asymmetric = AsymmetricLossMultiLabel(3, 2, 0.1, smoothing=0.05, reduction="sum")(logits, several) / 6
    ours = {"name": "asymmetric", "gamma_neg": 3, "gamma_pos": 2, "margin": 0.1, "label_smoothing": 0.05}
    close(mean(MULTI, several, reduction="sum", **ours), asymmetric)
    close(mean(MULTI, several, reduction="mean", **ours), asymmetric / CLASSES)
    close(
        mean(MULTI, several, name="focal", alpha=0.25), sigmoid_focal_loss(logits, several, 0.25, 2.0, reduction="mean")
    )
    weighted = made(SINGLE, {"class_balance": 0.9, "label_smoothing": 0.2})
    assert weighted.weights is not None
    close(
        weighted(logits, one, valid),
        functional.cross_entropy(logits, one, weighted.weights, reduction="sum", label_smoothing=0.2),
    )


@pytest.mark.parametrize(("task", "options"), SETTINGS)
def test_what_is_not_valid_adds_nothing_and_has_no_gradient(task: Task, options: dict[str, Any]) -> None:
    valid = torch.tensor([False, True, True, False, True, False])
    logits = torch.randn(6, CLASSES)
    target = targets_for(task, 6, "hard", np.random.default_rng(1))
    loss = made(task, options)
    wanted = loss(logits[valid], target[valid], torch.ones(3, dtype=torch.bool))
    logits[0], logits[3], logits[5] = torch.nan, torch.inf, -1e30
    target[0] = torch.nan
    logits.requires_grad_()
    found = loss(logits, target, valid)
    found.backward()
    torch.testing.assert_close(found, wanted)
    assert logits.grad is not None
    assert torch.equal(logits.grad[~valid], torch.zeros(3, CLASSES))
    assert logits.grad[valid].isfinite().all()
    assert logits.grad[valid].any()


@pytest.mark.parametrize(("task", "options"), SETTINGS)
def test_nothing_valid_is_zero_with_a_zero_gradient(task: Task, options: dict[str, Any]) -> None:
    logits = torch.full((2, CLASSES), torch.nan, requires_grad=True)
    target = torch.tensor([-1, 99]) if task == SINGLE else torch.full((2, CLASSES), torch.nan)
    loss = made(task, options)(logits, target, torch.zeros(2, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize(("task", "options"), SETTINGS)
def test_pieces_add_up_to_the_whole(task: Task, options: dict[str, Any]) -> None:
    """Micro-batches and processes: their sums over the global count are the loss and gradient of the whole batch."""
    valid = torch.tensor([True, False, False, True, True, True, False, True])
    target = targets_for(task, 8, "hard", np.random.default_rng(2))
    features, weight = torch.randn(8, 3), torch.randn(3, CLASSES)
    loss, results = made(task, options), []
    for cuts in ([0, 8], [0, 1, 3, 8], list(range(9))):
        own = weight.clone().requires_grad_()
        total = 0.0
        for start, end in pairwise(cuts):
            part = loss(features[start:end] @ own, target[start:end], valid[start:end]) / valid.sum()
            part.backward()
            total += part.item()
        results.append((total, own.grad))
    for total, gradient in results[1:]:
        assert total == pytest.approx(results[0][0], rel=1e-5)
        torch.testing.assert_close(gradient, results[0][1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize(("task", "options"), SETTINGS)
def test_sure_logits_leave_loss_and_gradient_finite(
    task: Task, options: dict[str, Any], kind: str, dtype: torch.dtype
) -> None:
    values = torch.tensor([-6e4, -100.0, -20.0, -17.0, -3.0, 0.0, 3.0, 17.0, 20.0, 6e4])
    logits = values[:, None].repeat(1, CLASSES)
    logits[:, ::2] *= -1
    logits = logits.to(dtype).requires_grad_()
    target = targets_for(task, len(values), kind, np.random.default_rng(3))
    if kind == "soft":  # what mixing and soft labels leave when a share is all but 0 or 1
        target[:, 0], target[:, 1] = 1e-9, 1 - 1e-7
    loss = made(task, options)(logits, target, torch.ones(len(values), dtype=torch.bool))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("beta", [1e-6, 0.9, 0.9999, 1 - 1e-12])
def test_class_weights_are_the_effective_numbers(beta: float) -> None:
    counts = np.array([1, 2, 30, 400, 100_000])
    found = class_weights(counts, beta)
    each = np.array([1 / sum(beta**i for i in range(min(n, 100_000))) for n in counts.tolist()])
    np.testing.assert_allclose(found, each / each.mean(), rtol=1e-3)
    assert found.dtype == np.float32
    assert (np.diff(found) <= 0).all()


def test_class_weights_of_classes_without_clips() -> None:
    found = class_weights(np.array([0, 1000, 0, 10]), 0.999)
    assert found[[0, 2]].tolist() == [1, 1]
    np.testing.assert_allclose(found[[1, 3]], class_weights(np.array([1000, 10]), 0.999))
    assert class_weights(np.zeros(3, np.int64), 0.9).tolist() == [1, 1, 1]


def test_name_follows_the_task() -> None:
    assert Loss(LossConfig(), MULTI, 3, None).name == "bce"
    assert Loss(LossConfig(), SINGLE, 3, None).name == "cross_entropy"
    assert Loss(LossConfig(name="bce"), SINGLE, 3, None).name == "bce"
    assert Loss(LossConfig(), SINGLE, 3, None).weights is None


@pytest.mark.parametrize(
    ("task", "options", "said"),
    [
        (MULTI, {"name": "cross_entropy"}, "needs one label"),
        (SINGLE, {"name": "asymmetric"}, "several labels"),
        (SINGLE, {"name": "cross_entropy", "reduction": "sum"}, r"loss\.reduction"),
        (SINGLE, {"reduction": "sum"}, r"loss\.reduction"),
        (MULTI, {"name": "focal", "gamma": 0.5}, r"loss\.gamma = 0\.5"),
        (MULTI, {"name": "asymmetric", "gamma_neg": 0.5}, r"loss\.gamma_neg = 0\.5"),
        (MULTI, {"name": "asymmetric", "gamma_pos": 0.99}, r"loss\.gamma_pos = 0\.99"),
        (MULTI, {"name": "asymmetric", "gamma_neg": 0}, r"loss\.gamma_neg = 0 beside"),
        (SINGLE, {"name": "lsep"}, "several labels"),
        (SINGLE, {"name": "wlsep"}, "several labels"),
        (MULTI, {"name": "wlsep", "reduction": "sum"}, r"loss\.reduction"),
        (MULTI, {"name": "lsep", "label_smoothing": 0.1}, r"loss\.label_smoothing"),
        (MULTI, {"name": "lsep", "class_balance": 0.9}, r"loss\.class_balance"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(task: Task, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        made(task, options)
    assert caught.value.expected or caught.value.fix


def test_settings_of_other_losses_do_not_matter() -> None:
    assert made(MULTI, {"name": "bce", "gamma": 0.5, "gamma_neg": 0}).name == "bce"


def test_shapes_and_counts_are_checked() -> None:
    logits, valid = torch.randn(2, CLASSES), torch.ones(2, dtype=torch.bool)
    with pytest.raises(ValueError, match="multi-label target"):
        made(MULTI, {})(logits, torch.tensor([1, 2]), valid)
    with pytest.raises(ValueError, match="target is"):
        made(MULTI, {})(logits, torch.ones(2, CLASSES + 1), valid)
    with pytest.raises(ValueError, match="target is"):
        dense_target(torch.ones(2, CLASSES, 1), CLASSES)
    for counts in (None, COUNTS[:3]):
        with pytest.raises(ValueError, match="counts of 5 classes"):
            Loss(LossConfig(class_balance=0.9), MULTI, CLASSES, counts)


@pytest.mark.parametrize(("task", "settings"), SETTINGS)
def test_frames_that_stay_by_themselves_have_the_mean_of_their_losses(task: Task, settings: dict[str, Any]) -> None:
    torch.manual_seed(3)
    logits = torch.randn(4, 3, CLASSES)
    target = torch.tensor([0, 1, 4, 2]) if task == SINGLE else torch.randint(2, (4, CLASSES)).float()
    valid = torch.tensor([True, False, True, True])
    loss = made(task, settings)
    frames = [loss(logits[:, frame], target, valid) for frame in range(3)]
    assert loss(logits, target, valid).item() == pytest.approx(sum(f.item() for f in frames) / 3, rel=1e-5)
