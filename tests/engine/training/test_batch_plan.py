"""Batches that divide among processes and pieces, and what is said of those that do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.tiny_runs import tiny
from tinkit.engine.distributed.world import World
from tinkit.engine.training.batch_plan import steps_per_epoch
from tinkit.errors import UserError
from tinkit.recipe import load_recipe


@pytest.mark.parametrize(
    ("changes", "size", "clips", "problem"),
    [
        ([], 3, 100, r"optim.batch = 8 does not divide among 3 processes"),
        (["optim.micro_batch=4"], 4, 100, None),  # a share of 2 is less than a micro-batch: one piece
        (["optim.micro_batch=8", "optim.batch=24"], 2, 100, r"micro_batch = 8 does not divide the 12 clips of each"),
        ([], 1, 7, "fewer than one batch"),
        (["mix.mixup=0.2"], 8, 100, "two clips or more in each process"),
    ],
)
def test_batches_divide_or_say_why_not(
    challenge: Path, changes: list[str], size: int, clips: int, problem: str | None
) -> None:
    recipe = tiny(challenge, *changes)
    if problem is None:
        assert steps_per_epoch(recipe, clips, World(0, size, 0)) == 12
        return
    with pytest.raises(UserError, match=problem) as caught:
        steps_per_epoch(recipe, clips, World(0, size, 0))
    assert caught.value.fix


def test_a_suggested_batch_is_one_that_works() -> None:
    recipe = load_recipe("demo_tin", ["optim.batch=10"]).recipe
    with pytest.raises(UserError, match=r"--set optim.batch=9"):
        steps_per_epoch(recipe, 100, World(0, 3, 0))
    assert steps_per_epoch(load_recipe("demo_tin", ["optim.batch=9"]).recipe, 100, World(0, 3, 0)) == 11


def test_pairs_to_mix_need_two_clips() -> None:
    with pytest.raises(UserError, match="two clips or more"):
        load_recipe("demo_tin", ["mix.cutmix=1.0", "optim.micro_batch=1"])
