"""The same numbers on a CUDA device: `make gpu`. Without one these are left out, with the reason said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tinkit.engine.runs.run import create_run
from tinkit.engine.runtime.reporter import Reporter
from tinkit.engine.training.start import start_training
from tinkit.models import VideoClassifier
from tinkit.ops import interlace, interlace_reference
from tinkit.recipe import load_recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_operator_agrees_with_float64_on_the_cpu(dtype: torch.dtype, memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 24, 5, 7, dtype=torch.float64)
    offset, gain = 4 * torch.rand(2, 4, dtype=torch.float64) - 2, 2 * torch.rand(2, 3, 4, dtype=torch.float64)
    inputs = [t.clone().requires_grad_() for t in (x, offset, gain)]
    wanted = interlace_reference(*inputs, 16)
    wanted.sum().backward()
    moved = [x.to("cuda", dtype, memory_format=memory_format), offset.cuda().float(), gain.cuda().float()]
    moved = [t.requires_grad_() for t in moved]
    found = interlace(*moved, 16)
    found.float().sum().backward()
    bound = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 5e-2}[dtype]
    assert found.dtype == dtype
    assert torch.allclose(found.double().cpu(), wanted, atol=bound, rtol=bound)
    for mine, theirs in zip(moved, inputs, strict=True):
        scale = float(theirs.grad.abs().max())
        assert torch.allclose(mine.grad.double().cpu(), theirs.grad, atol=bound * scale, rtol=bound)


def test_step_waits_for_nothing() -> None:
    model = VideoClassifier("test_resnet", "tin", num_classes=5, num_segments=4, zero_init_last=False).cuda()
    video = torch.randn(2, 4, 3, 32, 32, device="cuda")
    model(video).sum().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        model(video).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("amp", ["off", "bf16"])
def test_demo_trains(challenge: Path, tmp_path: Path, amp: str) -> None:
    settings = ["optim.batch=8", f"train.amp={amp}", "optim.epochs=2", "train.val_every=2"]
    recipe = load_recipe("demo_tin", settings, challenge).recipe
    progress = start_training(create_run("gpu", recipe, tmp_path), recipe, Reporter(quiet=True))
    assert progress.epoch == 2
    assert progress.best is not None
