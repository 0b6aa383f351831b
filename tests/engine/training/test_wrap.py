"""The model as it is trained: batch statistics over processes, and what excludes each other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.helpers.tiny_runs import tiny
from tinkit.engine.distributed.world import World
from tinkit.engine.runtime.build import build_model
from tinkit.engine.training.wrap import share_statistics, wrap_network
from tinkit.errors import UsageError
from tinkit.models import freeze_partial_bn
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


def test_compile_and_activation_checkpointing_exclude_each_other(challenge: Path) -> None:
    recipe = tiny(challenge, "train.compile=true", "train.checkpoint_activations=true")
    with pytest.raises(UsageError, match="leave out"):
        wrap_network(nn.Linear(1, 1), recipe, World())  # type: ignore[arg-type]
