"""What a step and an epoch add to the progress, to the events and to the table of epochs."""

from __future__ import annotations

from dataclasses import replace

import torch

from tinkit.engine.runs.checkpoint import Progress
from tinkit.engine.training.step import StepResult
from tinkit.engine.training.throughput import Clock


def base_rate(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate that the groups' multiples refer to."""
    group = optimizer.param_groups[0]
    return float(group["lr"]) / float(group["lr_scale"])


def after_step(
    progress: Progress, result: StepResult, optimizer: torch.optim.Optimizer, clips_per_s: float, waiting: float
) -> Progress:
    """The progress after a step; ``shown`` is what the events show of it. A step without a finite loss adds none."""
    rates = {f"lr/{group['group_name']}": float(group["lr"]) for group in optimizer.param_groups}
    values = {"train/loss": result.loss, "train/grad_norm": result.grad_norm, "train/lr": base_rate(optimizer)}
    values |= rates if len(rates) > 1 else {}
    values |= {"train/clips_per_s": clips_per_s, "train/waiting": waiting}
    return replace(
        progress,
        step=progress.step + 1,
        loss=progress.loss + (result.loss * result.valid if result.finite else 0.0),
        valid=progress.valid + (result.valid if result.finite else 0),
        broken=progress.broken + result.broken,
        nan_steps=progress.nan_steps + (not result.finite),
        shown=values,
    )


def epoch_row(progress: Progress, step: int, rate: float, clock: Clock) -> dict[str, float | int | str]:
    """The row of ``metrics.csv`` for an epoch that ends after ``step`` steps of the run, without its validation."""
    return {
        "epoch": progress.epoch,
        "step": step,
        "lr": rate,
        "train_loss": progress.mean_loss,
        "broken": progress.broken,
        "clips_per_s": clock.clips_per_s,
        "waiting": clock.waiting,
    }
