"""The learning rate at every step against timm's, PyTorch's and the published formulas; plateaus against PyTorch's."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tinkit.engine.training.schedule import LearningRate, plateau
from tinkit.files.shipped import shipped_names
from tinkit.recipe import load_recipe
from tinkit.recipe.training import OptimConfig, ScheduleConfig
from tinkit.timm_import import import_timm

LR, EPOCHS = 0.02, 10


def optimizer(lr: float = LR) -> torch.optim.SGD:
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr_scale": scale, "initial_lr": lr * scale}
        for scale in (1.0, 5.0)
    ]
    return torch.optim.SGD(groups, lr=lr)


def optim(epochs: int = EPOCHS) -> OptimConfig:
    return OptimConfig(lr=LR, batch=4, epochs=epochs)


def rates(schedule: ScheduleConfig, steps: int, epochs: int = EPOCHS) -> list[float]:
    """The first group's rate at every step, the second's checked to be five times it."""
    ours = optimizer()
    rate = LearningRate(ours, optim(epochs), schedule, steps)
    found = []
    for step in range(epochs * steps):
        rate.set(step)
        first, second = (float(group["lr"]) for group in ours.param_groups)
        assert second == pytest.approx(5 * first, abs=1e-15)
        found.append(first)
    return found


def stepped(scheduler: torch.optim.lr_scheduler.LRScheduler, steps: int) -> list[float]:
    """What a PyTorch scheduler gives at each of so many steps."""
    found = []
    for _ in range(steps):
        found.append(float(scheduler.optimizer.param_groups[0]["lr"]))
        scheduler.optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("steps", [1, 7, 50])
@pytest.mark.parametrize("warm", [0, 1, 3])
def test_cosine_is_timms_at_every_step(steps: int, warm: int) -> None:
    import_timm()
    from timm.scheduler import CosineLRScheduler

    theirs = optimizer()
    scheduler = CosineLRScheduler(
        theirs,
        t_initial=(EPOCHS - warm) * steps,
        warmup_t=warm * steps,
        warmup_lr_init=LR * 0.1,
        warmup_prefix=True,
        t_in_epochs=False,
    )
    found = rates(ScheduleConfig(warmup_epochs=warm, warmup_start=0.1), steps)
    for step, rate in enumerate(found):
        scheduler.step_update(step)
        assert rate == pytest.approx(theirs.param_groups[0]["lr"], abs=1e-12), step


@pytest.mark.parametrize("warm", [0, 1, 2.5, 0.3])
def test_cosine_is_the_papers_formula_at_every_step(warm: float) -> None:
    found = rates(ScheduleConfig(warmup_epochs=warm, warmup_start=0.1), 7)
    for step, rate in enumerate(found):
        epoch = step / 7
        if epoch < warm:
            wanted = LR / 10 + (LR - LR / 10) * epoch / warm
        else:
            wanted = 0.5 * LR * (1 + math.cos(math.pi * (epoch - warm) / (EPOCHS - warm)))
        assert rate == pytest.approx(wanted, abs=1e-12), step


@pytest.mark.parametrize("kind", ["linear", "exponential"])
@pytest.mark.parametrize(("warm", "t_max", "epochs"), [(1, 30, 35), (5, 30, 30), (2, 4, 20), (0, 8, 10), (1, 20, 10)])
def test_t_max_is_pytorchs_cosine_behind_a_warm_up(kind: str, warm: int, t_max: int, epochs: int) -> None:
    """X-Temporal replaces the first rates of PyTorch's scheduler, which goes on from the last of them."""
    steps, start = 6, 1 / 64
    theirs = optimizer()
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=t_max * steps)
    schedule = ScheduleConfig(warmup_epochs=warm, warmup=kind, warmup_start=start, t_max=t_max)
    for step, rate in enumerate(rates(schedule, steps, epochs)):
        if warm > 0 and step <= warm * steps:
            done = step / (warm * steps)
            rise = start + (1 - start) * done if kind == "linear" else math.exp(math.log(start) * (1 - done))
            theirs.param_groups[0]["lr"] = LR * rise
        assert rate == pytest.approx(theirs.param_groups[0]["lr"], abs=1e-9), step
        theirs.step()
        scheduler.step()


def test_golden_rates_of_x_temporals_tin_file() -> None:
    """35 epochs with T_max 30, worked by hand: cos(pi/30) = 0.9945219, cos(35 pi/30) = -0.8660254."""
    rate = LearningRate(optimizer(), optim(35), ScheduleConfig(warmup_start=1 / 64, t_max=30), 1)
    wanted = {0: 0.015625, 1: 1.0, 15: 1 / 1.9945219, 30: 0.0, 35: 0.0669873}
    assert {step: rate.multiple(step) for step in wanted} == pytest.approx(wanted, abs=1e-7)


@pytest.mark.parametrize("kind", ["linear", "exponential"])
def test_warm_up_is_pytorchs_at_every_step(kind: str) -> None:
    warm, start = 24, 1 / 64
    theirs = optimizer(LR if kind == "linear" else LR * start)
    scheduler: torch.optim.lr_scheduler.LRScheduler
    if kind == "linear":
        scheduler = torch.optim.lr_scheduler.LinearLR(theirs, start_factor=start, total_iters=warm)
    else:
        scheduler = torch.optim.lr_scheduler.ExponentialLR(theirs, gamma=64 ** (1 / warm))
    found = rates(ScheduleConfig(kind="plateau", warmup=kind, warmup_epochs=3, warmup_start=start), 8)
    assert found[: warm + 1] == pytest.approx(stepped(scheduler, warm + 1), rel=1e-9)
    assert found[warm:] == [LR] * (EPOCHS * 8 - warm)


@pytest.mark.parametrize("warm", [0, 1])
@pytest.mark.parametrize("factor", [0.1, 0.15, 0.5])
def test_steps_are_pytorchs_at_every_step(warm: int, factor: float) -> None:
    steps, milestones = 8, (3, 6.5, 9)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(
        optimizer(), milestones=[int(epoch * steps) for epoch in milestones], gamma=factor
    )
    schedule = ScheduleConfig(kind="step", warmup_epochs=warm, milestones=milestones, factor=factor)
    wanted = stepped(scheduler, EPOCHS * steps)
    assert rates(schedule, steps)[warm * steps :] == pytest.approx(wanted[warm * steps :], rel=1e-9)


@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.9, -1.0, math.nan]), max_size=40),
    st.integers(0, 4),
    st.sampled_from([0.1, 0.5]),
)
def test_plateau_is_pytorchs(values: list[float], patience: int, factor: float) -> None:
    theirs = optimizer()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            theirs, mode="max", factor=factor, patience=patience, threshold=0, threshold_mode="abs", eps=0
        )
    schedule = ScheduleConfig(kind="plateau", warmup_epochs=0, factor=factor, patience=patience)
    rate = LearningRate(optimizer(), optim(), schedule, 5)
    best, bad, drops = None, 0, 0
    for value in values:
        best, bad, drops = plateau(best, bad, drops, value, patience)
        scheduler.step(value)
        assert LR * rate.multiple(7, drops) == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-9)
        assert bad == scheduler.num_bad_epochs
        assert (-math.inf if best is None else best) == scheduler.best


@given(
    st.sampled_from(["cosine", "step", "plateau"]),
    st.floats(0, 5),
    st.sampled_from(["linear", "exponential"]),
    st.integers(1, 20),
)
def test_rate_rises_to_the_whole_rate_and_then_falls(kind: str, warm: float, rise: str, steps: int) -> None:
    milestones = (6.0, 8.0) if kind == "step" else ()
    schedule = ScheduleConfig.model_validate(
        {"kind": kind, "warmup_epochs": warm, "warmup": rise, "warmup_start": 0.25, "milestones": milestones}
    )
    rate = LearningRate(optimizer(), optim(), schedule, steps)
    found = [rate.multiple(step) for step in range(EPOCHS * steps)]
    top = math.ceil(warm * steps)
    assert all(0 < multiple <= 1 for multiple in found)
    assert found[:top] == sorted(found[:top])
    assert found[top:] == sorted(found[top:], reverse=True)


def test_rate_depends_on_the_step_alone() -> None:
    walked, jumped = optimizer(), optimizer()
    schedule = ScheduleConfig(warmup_epochs=1)
    walk, jump = (LearningRate(each, optim(), schedule, 5) for each in (walked, jumped))
    for step in (*range(23), 40, 22):
        walk.set(step)
    jump.set(22)
    assert [group["lr"] for group in walked.param_groups] == [group["lr"] for group in jumped.param_groups]


def test_drops_count_only_on_a_plateau() -> None:
    for schedule in (ScheduleConfig(), ScheduleConfig(kind="step", milestones=(3,))):
        rate = LearningRate(optimizer(), optim(), schedule, 5)
        assert rate.multiple(20, drops=3) == rate.multiple(20)


def test_t_max_inside_the_warm_up_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"t_max 2 must be more than warmup_epochs 2"):
        ScheduleConfig(warmup_epochs=2, t_max=2)


@pytest.mark.parametrize("name", shipped_names("recipes"))
def test_shipped_schedules_reach_their_rate_and_end_low(name: str) -> None:
    recipe = load_recipe(name).recipe
    rate = LearningRate(optimizer(), recipe.optim, recipe.schedule, 10)
    found = [rate.multiple(step) for step in range(recipe.optim.epochs * 10)]
    assert max(found) == pytest.approx(1)
    assert found[-1] == min(found[-10:])
    assert found[-1] <= 0.0101
