"""The model as it is run: batch statistics over processes, batches that divide, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.helpers.tiny_runs import tiny
from tinkit.engine.distributed.world import World
from tinkit.engine.runtime.build import build_model
from tinkit.engine.training.batch_plan import steps_per_epoch
from tinkit.engine.training.wrap import share_statistics
from tinkit.errors import UsageError, UserError
from tinkit.models import freeze_partial_bn
from tinkit.recipe import load_recipe
from tinkit.timm_import import import_timm


@pytest.mark.slow
def test_one_process_shares_no_statistics_and_a_cpu_cannot(challenge: Path) -> None:
    recipe = tiny(challenge, "model.sync_bn=true")
    model = build_model(recipe, 3)
    assert share_statistics(model, recipe, World()) is model
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="CUDA"):
            share_statistics(model, recipe, World(0, 2, 0))
    plain = tiny(challenge)
    assert share_statistics(model, plain, World(0, 2, 0)) is model


def test_partial_bn_freezes_shared_statistics_too(challenge: Path) -> None:
    import_timm()
    from timm.layers import convert_sync_batchnorm

    model = build_model(tiny(challenge), 3)
    frames = torch.randn(2, 4, 3, 32, 32)
    before = model.eval()(frames)
    names = list(model.state_dict())
    model = convert_sync_batchnorm(model).train()
    assert list(model.state_dict()) == names  # checkpoints of one and of many processes are alike
    freeze_partial_bn(model)
    norms = [module for module in model.modules() if isinstance(module, nn.SyncBatchNorm)]
    assert len(norms) > 4
    assert [norm.training for norm in norms] == [True] + [False] * (len(norms) - 1)
    assert [norm.weight.requires_grad for norm in norms] == [True] + [False] * (len(norms) - 1)
    torch.testing.assert_close(model.eval()(frames), before)


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


def test_soft_labels_and_swapped_labels_exclude_each_other() -> None:
    changes = ["loss.soft_labels=a.arrow", "clip.flip=true", "clip.flip_labels=left_right"]
    with pytest.raises(UserError, match=r"loss\.soft_labels"):
        load_recipe("demo_tin", changes)
