"""How a machine is used: threads, denormals, and in tests fused convolutions with merged BatchNorm."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.scored_runs import QUIET, untrained
from tests.helpers.tiny_runs import tiny, train
from tinkit.engine.evaluation import predict as engine_predict
from tinkit.engine.evaluation import test as engine_test
from tinkit.engine.evaluation.test import TestRequest, run_test
from tinkit.engine.runs.run import Run
from tinkit.engine.runtime.device import flushed_denormals, limit_threads
from tinkit.engine.training.start import start_training
from tinkit.engine.training.step import TrainStep
from tinkit.errors import UserError
from tinkit.models import VideoClassifier, video
from tinkit.models.fused import FusedWeights
from tinkit.ops import native
from tinkit.ops.post_ops import why_not
from tinkit.scores import read_scores
from tinkit.workers import cores as cores_of_machine
from tinkit.workers.cores import usable_cores

FUSES = native.load() and why_not(torch.float32) is None


@pytest.fixture
def run(challenge: Path, tmp_path: Path) -> Run:
    return untrained(challenge, tmp_path / "runs")


class Watch:
    """What every forward pass saw, and whether convolutions were fused."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passes: list[SimpleNamespace] = []
        self.fused = 0
        fused_features = video.fused_features
        forward = VideoClassifier.forward

        def counted(weights: FusedWeights, backbone: nn.Module, frames: Tensor) -> Tensor | None:
            features = fused_features(weights, backbone, frames)
            self.fused += features is not None
            return features

        def watched(model: VideoClassifier, clips: Tensor) -> Tensor:
            if clips.is_meta:  # products are counted, and nothing is computed
                return forward(model, clips)
            norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
            last = clips.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
            grad = torch.is_grad_enabled()
            self.passes.append(SimpleNamespace(norms=norms, channels_last=last, grad=grad, training=model.training))
            return forward(model, clips)

        monkeypatch.setattr(video, "fused_features", counted)
        monkeypatch.setattr(VideoClassifier, "forward", watched)


def test_tests_run_merged_and_fused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight clips, three views a forward pass of a view each: three passes, none with gradients or a norm."""
    watch = Watch(monkeypatch)
    run_test(run, "val", run.load_recipe().test, "best", QUIET)
    assert len(watch.passes) == 3
    assert all(one.channels_last and not (one.grad or one.training or one.norms) for one in watch.passes)
    assert watch.fused == (3 if FUSES else 0)


def test_predictions_run_merged_and_fused(run: Run, challenge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(monkeypatch)
    found = engine_predict.predict(run, "best", sorted(challenge.glob("videos/*/*.mp4"))[:2], None, 1)
    assert len(found) == len(watch.passes) == 2
    assert all(one.channels_last and not (one.grad or one.training or one.norms) for one in watch.passes)
    assert watch.fused == (2 if FUSES else 0)


def test_validation_runs_what_is_trained_fused(
    challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(monkeypatch)
    train(challenge, tmp_path, "a", "optim.epochs=2", "train.val_every=2")
    trained = [one for one in watch.passes if one.training]
    validated = [one for one in watch.passes if not one.training]
    assert len(trained) == 6
    assert len(validated) >= 1
    assert all(one.channels_last and not one.grad and one.norms for one in validated)
    assert watch.fused == (len(validated) if FUSES else 0)


def test_merging_changes_no_score_beyond_rounding(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    merged = np.array(read_scores(run_test(run, "val", run.load_recipe().test, "best", QUIET).path).scores)
    monkeypatch.setattr(engine_test, "prepare_to_test", lambda model: None)
    apart = np.array(
        read_scores(run_test(run, "val", run.load_recipe().test, "best", QUIET, TestRequest(force=True)).path).scores
    )
    np.testing.assert_allclose(merged, apart, rtol=1e-4, atol=1e-4 * np.abs(apart).max())


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu.max": "nonsense\n"}, None),
    ],
)
def test_the_share_of_a_control_group(tmp_path: Path, files: dict[str, str], cores: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cores_of_machine._quota(tmp_path) == cores


@pytest.mark.parametrize(("share", "threads"), [(None, 6), (2.0, 2), (2.5, 3), (0.3, 1), (64.0, 6)])
def test_threads_are_no_more_than_the_share(monkeypatch: pytest.MonkeyPatch, share: float | None, threads: int) -> None:
    found: list[int] = []
    monkeypatch.setattr(cores_of_machine, "_quota", lambda: share)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    monkeypatch.setattr(torch, "set_num_threads", found.append)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert usable_cores() == threads
    limit_threads()
    assert found == ([] if threads == 6 else [threads])
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    limit_threads()
    assert len(found) < 2


def is_flushed() -> bool:
    return bool(torch.tensor(1e-38) * 0.01 == 0)


def test_denormals_are_zero_in_training_and_nowhere_else(
    challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor cannot")
    seen: list[bool] = []
    call = TrainStep.__call__

    def watched(step: TrainStep, *arguments: Any, **options: Any) -> Any:
        seen.append(is_flushed())
        return call(step, *arguments, **options)

    monkeypatch.setattr(TrainStep, "__call__", watched)
    train(challenge, tmp_path, "a", steps=2)
    assert seen == [True, True]
    assert not is_flushed()
    with pytest.raises(UserError):
        start_training(Run(tmp_path / "b"), tiny(tmp_path / "nowhere"), QUIET)
    assert not is_flushed()
    with flushed_denormals():
        with flushed_denormals():
            pass
        assert is_flushed()
    assert not is_flushed()
