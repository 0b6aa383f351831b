"""What is chosen on a machine: precision and what says it, threads, the chain and merged BatchNorm in tests."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.scored_runs import QUIET, command, untrained
from tests.helpers.tiny_runs import resume, same_weights, tiny, train
from tinkit.data.config.views import ViewConfig
from tinkit.engine.evaluation import predict as engine_predict
from tinkit.engine.evaluation import score as evaluate
from tinkit.engine.evaluation import test as engine_test
from tinkit.engine.evaluation.test import run_test
from tinkit.engine.runs.run import Run
from tinkit.engine.runtime import device as choices
from tinkit.engine.runtime import precision
from tinkit.engine.runtime.device import flushed_denormals, limit_threads, settle_recipe, usable_cores
from tinkit.engine.runtime.precision import autocast, hardware_bfloat16, make_scaler, settle_amp
from tinkit.engine.training import validate
from tinkit.engine.training.auto_resume import goes_on
from tinkit.engine.training.start import start_training
from tinkit.engine.training.step import TrainStep
from tinkit.errors import UsageError, UserError
from tinkit.files.atomic import shipped_names
from tinkit.fusion.resolve import resolve_members
from tinkit.fusion.spec import MemberSpec
from tinkit.models import VideoClassifier, video
from tinkit.ops import native
from tinkit.recipe import load_recipe
from tinkit.scores import read_scores, write_scores


def has(monkeypatch: pytest.MonkeyPatch, **flags: bool) -> None:
    """Let the processor have these instructions and no others."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)


def views(run: Run, **changes: object) -> ViewConfig:
    return ViewConfig.model_validate(run.load_recipe().test.model_dump() | changes)


@pytest.fixture
def run(challenge: Path, tmp_path: Path) -> Run:
    return untrained(challenge, tmp_path / "runs")


@pytest.mark.parametrize(
    ("flags", "unit"),
    [
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, None),
        ({"avx512_bf16": True}, "AVX512-BF16"),
        ({"avx512_bf16": True, "amx_bf16": True}, "AMX"),
        ({"neon": True, "bf16": True}, "Arm BF16"),
        ({}, None),
    ],
)
def test_auto_is_bfloat16_where_the_processor_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool], unit: str | None
) -> None:
    has(monkeypatch, **flags)
    assert hardware_bfloat16("cpu") == unit
    assert settle_amp("auto", "cpu") == ("off" if unit is None else "bf16")
    with autocast("cpu", "auto"):
        assert torch.is_autocast_enabled("cpu") is (unit is not None)
    assert make_scaler("cpu", "auto") is None
    for asked in ("off", "bf16", "fp16"):
        assert settle_amp(asked, "cpu") == asked


@pytest.mark.parametrize(("capability", "amp"), [((7, 5), "off"), ((8, 0), "bf16"), ((12, 0), "bf16")])
def test_auto_on_cuda_goes_by_the_card(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], amp: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert settle_amp("auto", "cuda") == amp


def test_a_pytorch_that_does_not_know_its_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert settle_amp("auto", "cpu") == "off"


@pytest.mark.parametrize("name", shipped_names("recipes"))
def test_recipes_of_published_numbers_are_float32s(name: str) -> None:
    recipe = load_recipe(name).recipe
    if recipe.published:
        assert (recipe.train.amp, recipe.test.amp) == ("off", None)


@pytest.mark.slow
def test_a_run_is_begun_in_one_precision_and_goes_on_in_it(
    monkeypatch: pytest.MonkeyPatch, challenge: Path, tmp_path: Path
) -> None:
    """Its folder says which; another machine, where auto would be another, does not change it."""
    short = ["optim.epochs=2", "train.val_every=2", "model.dropout=0"]
    whole = train(challenge, tmp_path, "whole", "train.amp=bf16", *short)
    has(monkeypatch, avx512_bf16=True)
    broken = train(challenge, tmp_path, "broken", "train.amp=auto", *short, steps=4)
    assert broken.load_recipe().train.amp == "bf16"
    has(monkeypatch)
    asked = tiny(challenge, "train.amp=auto", *short)
    assert goes_on(broken, asked)
    resume(broken)
    same_weights(whole.checkpoint("last"), broken.checkpoint("last"))
    fresh = tiny(challenge, "train.amp=auto", *short)
    assert settle_recipe(fresh, "cpu").train.amp == "off"
    assert settle_recipe(broken.load_recipe(), "cpu") == broken.load_recipe()


def test_a_run_in_float16_is_not_gone_on_with_as_auto(challenge: Path, tmp_path: Path) -> None:
    scaled = train(challenge, tmp_path, "scaled", "train.amp=fp16", steps=1)
    with pytest.raises(UsageError, match=r"train\.amp"):
        goes_on(scaled, tiny(challenge, "train.amp=auto"))


def test_a_training_says_its_precision(
    challenge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, amx_bf16=True)
    words = ["train", "demo_tsn", "--data", challenge, "--runs", tmp_path, "--steps", "1", "--set", "clip.size=32"]
    sets = [word for key in ("optim.batch=8", "train.workers=0", "train.amp=auto") for word in ("--set", key)]
    assert command(monkeypatch, *words, *sets) == 0
    assert "on cpu: bfloat16, channels_last, " in capsys.readouterr().err.replace("\n", " ")


def test_a_score_file_says_its_precision_and_others_do_not_mix_with_it(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run_test(run, "val", views(run), "best", QUIET)
    assert plain.info.protocol["precision"] == "float32"
    exact = np.array(read_scores(plain.path).scores)
    with pytest.raises(UsageError, match="made in float32, not bfloat16"):
        run_test(run, "val", views(run, amp="bf16"), "best", QUIET)
    has(monkeypatch)
    assert run_test(run, "val", views(run, amp="auto"), "best", QUIET).info == plain.info  # auto is float32 here
    has(monkeypatch, avx512_bf16=True)
    with pytest.raises(UsageError, match="made in float32, not bfloat16"):
        run_test(run, "val", views(run, amp="auto"), "best", QUIET)
    rounded = run_test(run, "val", views(run, amp="auto"), "best", QUIET, force=True)
    assert rounded.info.protocol["precision"] == "bfloat16"
    scores = np.array(read_scores(rounded.path).scores)
    assert 0 < np.abs(scores - exact).max() < 0.1 * np.abs(exact).max()
    with pytest.raises(UsageError, match="made in bfloat16, not float32"):
        run_test(run, "val", views(run), "best", QUIET)
    before = rounded.path.stat().st_mtime_ns
    run_test(run, "val", views(run, amp="bf16"), "best", QUIET)
    assert rounded.path.stat().st_mtime_ns == before


def test_a_member_of_a_fusion_has_one_precision(run: Run) -> None:
    """Weights that are fitted on float32's scores would be used on bfloat16's."""
    run_test(run, "val", views(run), "best", QUIET)
    run_test(run, "test", views(run, amp="bf16"), "best", QUIET)
    with pytest.raises(UserError, match="another protocol"):
        resolve_members([MemberSpec(run=str(run.folder))], ["val", "test"], run.folder.parent)


def test_score_files_of_earlier_releases_are_told_their_precision(run: Run) -> None:
    made = run_test(run, "val", views(run), "best", QUIET)
    table = read_scores(made.path)
    older = {key: value for key, value in table.info.protocol.items() if key != "precision"}
    scores = np.array(table.scores)
    info = engine_test.replace(table.info, protocol=older)
    write_scores(made.path, engine_test.replace(table, info=info, scores=scores))
    again = run_test(run, "val", views(run), "best", QUIET)
    assert again.info == made.info
    np.testing.assert_array_equal(read_scores(made.path).scores, scores)


def test_a_test_is_in_the_precision_of_its_training_unless_said(challenge: Path, tmp_path: Path) -> None:
    trained = untrained(challenge, tmp_path / "a", "train.amp=bf16")
    assert run_test(trained, "val", views(trained), "best", QUIET).info.protocol["precision"] == "bfloat16"
    exact = untrained(challenge, tmp_path / "b", "train.amp=bf16", "test.amp=off")
    assert run_test(exact, "val", views(exact), "best", QUIET).info.protocol["precision"] == "float32"


class Watch:
    """What every forward pass saw, and whether blocks ran as a chain."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passes: list[SimpleNamespace] = []
        self.chains = 0
        run_chain = video.run_chain
        forward = VideoClassifier.forward

        def counted(backbone: nn.Module, frames: Tensor) -> Tensor:
            self.chains += 1
            return run_chain(backbone, frames)

        def watched(model: VideoClassifier, clips: Tensor) -> Tensor:
            norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
            last = clips.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
            grad = torch.is_grad_enabled()
            self.passes.append(SimpleNamespace(norms=norms, channels_last=last, grad=grad, training=model.training))
            return forward(model, clips)

        monkeypatch.setattr(video, "run_chain", counted)
        monkeypatch.setattr(VideoClassifier, "forward", watched)


def test_tests_run_merged_in_a_chain(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight clips, three views a forward pass of a view each: three passes, none with gradients or a norm."""
    watch = Watch(monkeypatch)
    run_test(run, "val", views(run), "best", QUIET)
    assert len(watch.passes) == 3
    assert all(one.channels_last and not (one.grad or one.training or one.norms) for one in watch.passes)
    assert watch.chains == (3 if native.load() else 0)


def test_predictions_run_merged_in_a_chain(run: Run, challenge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(monkeypatch)
    found = engine_predict.predict(run, "best", sorted(challenge.glob("videos/*/*.mp4"))[:2], None, 1)
    assert len(found) == len(watch.passes) == 2
    assert all(one.channels_last and not (one.grad or one.training or one.norms) for one in watch.passes)
    assert watch.chains == (2 if native.load() else 0)


def test_validation_runs_what_is_trained_in_a_chain(
    challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(monkeypatch)
    train(challenge, tmp_path, "a", "optim.epochs=2", "train.val_every=2")
    trained = [one for one in watch.passes if one.training]
    validated = [one for one in watch.passes if not one.training]
    assert len(trained) == 6
    assert len(validated) >= 1
    assert all(one.channels_last and not one.grad and one.norms for one in validated)
    assert watch.chains == (len(validated) if native.load() else 0)


def test_merging_changes_no_score_beyond_rounding(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    merged = np.array(read_scores(run_test(run, "val", views(run), "best", QUIET).path).scores)
    monkeypatch.setattr(engine_test, "prepare_to_test", lambda model: None)
    apart = np.array(read_scores(run_test(run, "val", views(run), "best", QUIET, force=True).path).scores)
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
    assert choices._quota(tmp_path) == cores


@pytest.mark.parametrize(("share", "threads"), [(None, 6), (2.0, 2), (2.5, 3), (0.3, 1), (64.0, 6)])
def test_threads_are_no_more_than_the_share(monkeypatch: pytest.MonkeyPatch, share: float | None, threads: int) -> None:
    found: list[int] = []
    monkeypatch.setattr(choices, "_quota", lambda: share)
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


def test_a_validator_asks_for_the_precision_of_the_training(
    challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def scored(*arguments: Any, **options: Any) -> Any:
        asked.append(options["amp"])
        return evaluate.score_split(*arguments, **options)

    monkeypatch.setattr(validate, "score_split", scored)
    monkeypatch.setattr(precision, "hardware_bfloat16", lambda device: "AMX")
    train(challenge, tmp_path, "a", "train.amp=auto", "optim.epochs=2", "train.val_every=2")
    assert asked == ["bf16"]
