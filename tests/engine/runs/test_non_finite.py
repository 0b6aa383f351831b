"""Numbers that are not finite, in weights, averages, statistics and scores: commands stop and say the way back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.tiny_runs import QUIET, resume, same_weights, tiny, train
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.evaluation.features import features_of_split
from tinkit.engine.evaluation.predict import predict
from tinkit.engine.evaluation.test import run_test
from tinkit.engine.runs.checkpoint import load_weights
from tinkit.engine.runs.log import Reporter
from tinkit.engine.runs.non_finite import NotFiniteError, not_finite, require_finite_values
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.tensor_file import read_tensor_file, write_tensor_file
from tinkit.engine.runs.weights import average_steps
from tinkit.engine.training.start import Trial, start_training
from tinkit.engine.training.trainer import Trainer
from tinkit.errors import UserError

Poison = Callable[[Trainer], None]


def weights(trainer: Trainer) -> None:
    next(iter(trainer.model.parameters())).data[0, 0] = float("inf")


def statistics(trainer: Trainer) -> None:
    trainer.model.get_buffer("backbone.bn1.running_var")[1] = float("nan")


def average(trainer: Trainer) -> None:
    next(iter(trainer.ema.module.parameters())).data[0, 0] = float("nan")


def test_tensors_and_rows_are_told_apart() -> None:
    good = {"a": torch.tensor([3e38, 3e38]), "half": torch.full((9,), 6e4, dtype=torch.float16), "n": torch.tensor(3)}
    assert not_finite(good | {"empty": torch.zeros(0)}) == []
    for value in (float("nan"), float("inf"), float("-inf")):
        for kind in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
            bad = torch.zeros(3, 4, dtype=kind)
            bad[2, 1] = value
            assert not_finite(good | {"bad": bad, "turned": bad.t()}) == ["bad", "turned"]
    assert not_finite({"both": torch.tensor([float("inf"), float("-inf")])}) == ["both"]
    values = np.zeros((4, 3), np.float32)
    values[1] = np.nan
    require_finite_values(values, [1], "abcd".__getitem__, "scores")
    values[3, 2] = -np.inf
    with pytest.raises(NotFiniteError, match=r"the scores of d are not finite \(-inf\)"):
        require_finite_values(values, [1], "abcd".__getitem__, "scores")


CHANGES = ["ema.decay=0.5", "save.every=1", "save.keep=3"]


@pytest.fixture(scope="module")
def trained(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All six steps."""
    return train(challenge, tmp_path_factory.mktemp("finite"), "a", *CHANGES)


@pytest.fixture(scope="module")
def before_the_last_step(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(challenge, tmp_path_factory.mktemp("finite"), "a", *CHANGES, steps=5)


def copied(run: Run, tmp_path: Path) -> Run:
    shutil.copytree(run.folder, tmp_path / "runs" / "a")
    return Run(tmp_path / "runs" / "a")


@pytest.mark.parametrize("poison", [weights, statistics, average])
def test_what_an_epochs_last_step_broke_is_not_saved_and_a_resume_goes_on(
    trained: Run, before_the_last_step: Run, tmp_path: Path, poison: Poison, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, plain = copied(before_the_last_step, tmp_path), Trainer._end_epoch

    def break_it(self: Trainer, *arguments: object) -> None:
        poison(self)
        plain(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_end_epoch", break_it)
        with pytest.raises(NotFiniteError, match=r"after 6 steps .* not finite: .* were not saved") as caught:
            resume(run)
    assert "step=5 is the newest good checkpoint" in str(caught.value)
    assert list(run.step_paths()) == [3, 4, 5]
    resume(run)
    for ema in (False, True):
        same_weights(trained.checkpoint("last"), run.checkpoint("last"), ema=ema)


def poisoned_file(path: Path, section: str) -> None:
    """A checkpoint as an earlier release may have saved it: something in ``section`` is NaN."""
    tensors, header = read_tensor_file(path)
    names = [name for name, tensor in tensors.items() if name.startswith(section) and tensor.is_floating_point()]
    # an offset that is NaN would lead out of the clip: it shows in no score
    name = next((name for name in names if "offset_net" in name), names[0])
    tensors[name].view(-1)[0] = float("nan")
    write_tensor_file(path, tensors, header)


@pytest.mark.parametrize("section", ["model.", "ema.", "optimizer."])
def test_a_resume_takes_the_newest_finite_checkpoint_aloud(
    before_the_last_step: Run, tmp_path: Path, section: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(before_the_last_step, tmp_path)
    poisoned_file(run.step_path(5), section)
    shutil.copyfile(run.step_path(5), run.checkpoint("last"))
    start_training(run, run.load_recipe(), Reporter(), resume=True, trial=Trial(max_steps=1))
    told = " ".join(capsys.readouterr().err.split())
    assert "last.safetensors is passed over: it holds numbers that are not finite" in told
    assert "going on from step-00000004.safetensors" in told
    assert list(run.step_paths()) == [3, 4, 5]
    for path in run.checkpoints.iterdir():
        poisoned_file(path, "ema." if path.stem == "best-ema" else section)
    with pytest.raises(UserError, match="no checkpoint of the run is whole and finite"):
        resume(run)


def test_weights_too_large_are_set_aside_when_validation_shows_it(
    before_the_last_step: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finite weights whose scores are not: a resume must not come to them again and again."""
    run, plain = copied(before_the_last_step, tmp_path), Trainer._end_epoch

    def enlarge(self: Trainer, *arguments: object) -> None:
        for parameter in self.model.parameters():
            parameter.data.fill_(1e30)
        plain(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_end_epoch", enlarge)
        with pytest.raises(NotFiniteError, match=r"the scores of \S+ are not finite .*in the validation after 6 steps"):
            resume(run)
    assert list(run.step_paths()) == [4, 5]
    assert (run.checkpoints / "not-finite-00000006.safetensors").is_file()
    resume(run)
    assert not not_finite(load_weights(run.checkpoint("last")))


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    """Its newest step, ``last`` and ``best`` hold NaN; the steps before are good."""
    run = copied(trained, tmp_path)
    poisoned_file(run.step_path(6), "model.")
    for word in ("last", "best"):
        shutil.copyfile(run.step_path(6), run.checkpoint(word))
    return run


def test_every_use_of_such_weights_stops_with_the_clip_and_the_good_checkpoint(
    run: Run, challenge: Path, tmp_path: Path
) -> None:
    recipe = run.load_recipe()
    first = open_manifest(recipe.data, "val").ids[0]
    video = next(path for path in challenge.rglob("*") if path.suffix in (".mp4", ".avi", ".webm", ".mkv"))
    uses: dict[str, tuple[str, Callable[[], object]]] = {
        "test": (first, lambda: run_test(run, "val", recipe.test, "best", QUIET)),
        "features": (first, lambda: features_of_split(run, "best", "val", recipe.test, QUIET)),
        "predict": (str(video), lambda: predict(run, "last", [video], None, 3)),
    }
    for name, (clip, use) in uses.items():
        with pytest.raises(NotFiniteError) as caught:
            use()
        told = str(caught.value)
        assert f"of {clip} are not finite (nan); nor are its weights" in told.replace("finite;", "finite (nan);"), name
        assert "step=5 is the newest good checkpoint" in told
        assert f"tinkit train --resume {run.folder}" in told
    assert not list(run.folder.rglob("*.arrow"))
    assert not (tmp_path / "a.pt2").exists()
    assert run_test(run, "val", recipe.test, "ema", QUIET).broken == 0  # its average is as it was
    with pytest.raises(NotFiniteError, match="step-00000006"):
        average_steps(run, 2)
    for source in ("a", str(run.checkpoint("last"))):
        with pytest.raises(UserError, match="holds numbers that are not finite in 1 of"):
            start_training(Run(tmp_path / "b"), tiny(challenge), QUIET, tune_from=source, runs=run.folder.parent)
    assert not (tmp_path / "b").exists()
