"""Which precision is chosen on a machine, and what says it: runs, score files, members of a fusion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.scored_runs import QUIET, command, untrained
from tests.helpers.tiny_runs import resume, same_weights, tiny, train
from tinkit.data.config.views import ViewConfig
from tinkit.engine.evaluation import score as evaluate
from tinkit.engine.evaluation import test as engine_test
from tinkit.engine.evaluation.test import TestRequest, run_test
from tinkit.engine.runs.run import Run
from tinkit.engine.runtime import precision
from tinkit.engine.runtime.device import settle_recipe
from tinkit.engine.runtime.precision import autocast, hardware_bfloat16, make_scaler, settle_amp
from tinkit.engine.training import validate
from tinkit.engine.training.auto_resume import can_resume
from tinkit.errors import UsageError, UserError
from tinkit.files.shipped import shipped_names
from tinkit.fusion.resolve import resolve_members
from tinkit.fusion.spec import MemberSpec
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
    assert can_resume(broken, asked)
    resume(broken)
    same_weights(whole.checkpoint("last"), broken.checkpoint("last"))
    fresh = tiny(challenge, "train.amp=auto", *short)
    assert settle_recipe(fresh, "cpu").train.amp == "off"
    assert settle_recipe(broken.load_recipe(), "cpu") == broken.load_recipe()


def test_a_run_in_float16_is_not_gone_on_with_as_auto(challenge: Path, tmp_path: Path) -> None:
    scaled = train(challenge, tmp_path, "scaled", "train.amp=fp16", steps=1)
    with pytest.raises(UsageError, match=r"train\.amp"):
        can_resume(scaled, tiny(challenge, "train.amp=auto"))


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
    rounded = run_test(run, "val", views(run, amp="auto"), "best", QUIET, TestRequest(force=True))
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


def test_a_validator_asks_for_the_precision_of_the_training(
    challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def scored(*arguments: Any, **options: Any) -> Any:
        asked.append(arguments[0].amp)
        return evaluate.score_split(*arguments, **options)

    monkeypatch.setattr(validate, "score_split", scored)
    monkeypatch.setattr(precision, "hardware_bfloat16", lambda device: "AMX")
    train(challenge, tmp_path, "a", "train.amp=auto", "optim.epochs=2", "train.val_every=2")
    assert asked == ["bf16"]
