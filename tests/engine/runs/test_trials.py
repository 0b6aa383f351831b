"""A trial is known as one: in the run's recipe, its checkpoints, its scores, and beside published numbers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.tiny_runs import QUIET, resume, tiny, train
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.distributed.environment import environment_number
from tinkit.engine.distributed.launch import launched
from tinkit.engine.evaluation.compare import comparison_rows
from tinkit.engine.evaluation.test import TestRequest, run_test
from tinkit.engine.exchange.imported import import_checkpoint
from tinkit.engine.runs.checkpoint import Progress, read_header
from tinkit.engine.runs.log import RunLog
from tinkit.engine.runs.resume import recipe_to_resume
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.tables import rows_before
from tinkit.engine.runs.trials import Trial, after_epochs, marked
from tinkit.engine.runtime.session import Session
from tinkit.engine.training.auto_resume import can_resume
from tinkit.engine.training.outlook import Outlook, growth, in_words
from tinkit.engine.training.start import start_training
from tinkit.errors import UserError
from tinkit.scores import read_info


def marks(run: Run, word: str = "last") -> tuple[str | None, str | None]:
    """What the run's recipe and its checkpoint say."""
    info = read_header(run.checkpoint(word))["info"]
    return run.load_recipe().train.trial, info["recipe"]["train"]["trial"]


def test_what_leaves_something_out_is_a_trial(challenge: Path) -> None:
    recipe = tiny(challenge)
    wanted = {Trial(): None, Trial(limit=24): None, Trial(limit=23): "clips", Trial(overfit=24): "clips"}
    wanted |= {Trial(max_steps=1): "steps", Trial(limit=8, max_steps=1): "clips"}
    for trial, mark in wanted.items():
        assert marked(recipe, trial).train.trial == mark, trial
        assert marked(marked(recipe, Trial(limit=8)), trial).train.trial == "clips"
    assert after_epochs(marked(recipe, Trial(max_steps=1)), 2).train.trial is None
    assert after_epochs(marked(recipe, Trial(limit=8)), 2).train.trial == "clips"


def test_a_trial_is_marked_wherever_it_is_seen(challenge: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "a")
    recipe = tiny(challenge, "optim.epochs=1", "schedule.warmup_epochs=0")
    start_training(run, recipe, QUIET, trial=Trial(overfit=8))
    assert marks(run) == ("clips", "clips")
    assert 'trial = "clips"' in run.recipe_path.read_text()
    result = run_test(run, "val", recipe.test, "last", QUIET)
    assert read_info(result.path).trial
    assert all("a trial" in row["note"] for row in comparison_rows([str(run.folder)], tmp_path, tmp_path))


def test_a_trial_of_steps_is_none_when_all_are_done_and_one_of_clips_stays(challenge: Path, tmp_path: Path) -> None:
    run = train(challenge, tmp_path, "a", "save.every=1", "save.keep=9", steps=2)
    assert marks(run) == ("steps", "steps")
    assert can_resume(run, tiny(challenge, "save.every=1", "save.keep=9"))
    test = run.load_recipe().test
    assert run_test(run, "val", test, "step=2", QUIET).info.trial
    resume(run, Trial(max_steps=1))
    assert marks(run) == ("steps", "steps")
    resume(run)
    assert marks(run) == (None, None)
    again = run_test(run, "val", test, "step=2", QUIET)  # of a whole run by now
    assert not again.info.trial
    assert run_test(run, "val", test, "last", QUIET, TestRequest(limit=2)).info.trial
    before = run.recipe_path.read_bytes()
    with pytest.raises(UserError, match="was trained on 24 clips"):
        resume(run, Trial(limit=16))
    assert run.recipe_path.read_bytes() == before
    copy = Path(shutil.copyfile(run.step_path(2), tmp_path / "copy.safetensors"))
    recipe = run.load_recipe()
    import_checkpoint(copy, recipe, recipe.data, "val", Run(tmp_path / "adopted"), QUIET.reporter)
    assert Run(tmp_path / "adopted").load_recipe().train.trial == "steps"


def test_a_run_that_was_begun_with_fewer_clips_stays_a_trial(challenge: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "a")
    recipe = tiny(challenge)
    limit = Trial(limit=16)
    start_training(run, recipe, QUIET, trial=Trial(limit=16, max_steps=1))
    assert marks(run) == ("clips", "clips")
    start_training(run, recipe, QUIET, again=True, trial=limit)
    assert marks(run) == ("clips", "clips")
    assert read_header(run.checkpoint("last"))["progress"]["epoch"] == 2


def test_no_clip_that_can_be_decoded_is_an_error_and_the_next_try_tries_them_all(
    challenge: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(challenge, tmp_path / "data"))
    run = train(data, tmp_path, "a", steps=1)
    recipe, manifest = run.load_recipe(), open_manifest(run.load_recipe().data, "val")
    videos = [manifest.root / manifest.row(row).path for row in range(len(manifest))]
    videos = [next(data.rglob(path.name)) for path in videos]
    whole = {path: path.read_bytes() for path in videos}
    for path in videos:
        path.write_bytes(b"no film")
    with pytest.raises(UserError, match="none of the 8 clips of val could be decoded: ") as caught:
        run_test(run, "val", recipe.test, "last", QUIET)
    assert caught.value.exit_code == 1
    assert not list((run.folder / "scores").rglob("*"))
    for path in videos[:3]:
        path.write_bytes(whole[path])
    assert run_test(run, "val", recipe.test, "last", QUIET).broken == 5


@pytest.mark.parametrize("data", [b"", b"\n", bytes(range(256)), bytes(9), b"once upon\na time\n", b"epoch,id\nx,y\n"])
def test_a_table_that_cannot_be_read_is_put_aside(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "metrics.csv"
    for number in (1, 2):
        path.write_bytes(data)
        rows, aside = rows_before(path, 3)
        assert len(rows) == 0
        assert aside == tmp_path / f"metrics.damaged-{number}.csv"
        assert aside.read_bytes() == data
        assert not path.exists()


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    run = Run(tmp_path)
    path = run.left_out_path
    path.write_text("epoch,id,reason\n0,0001,NA\n0,x,bro")
    rows, aside = rows_before(path, 1)
    assert aside is None
    assert rows.to_dict("records") == [{"epoch": 0, "id": "0001", "reason": "NA"}]
    run.metrics_path.write_text("epoch,train_loss\n0,\n1,2.5\n2,3.")
    assert rows_before(run.metrics_path, 2)[0]["train_loss"].isna().tolist() == [True, False]


def test_damaged_files_of_a_run_do_not_end_a_resume(
    challenge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(challenge, tmp_path, "a", steps=4)
    recipe = run.load_recipe()
    run.metrics_path.write_bytes(b"\xff\xfe")
    run.left_out_path.write_bytes(b"")
    run.weights_path.write_bytes(b"")
    run.recipe_path.write_bytes(b"")
    taken = recipe_to_resume(run, None, quiet=False)
    assert taken == recipe
    start_training(run, taken, Session(), resume=True)
    told = " ".join(capsys.readouterr().err.split())
    assert "recipe.toml cannot be read: the recipe in" in told
    assert "metrics.damaged-1.csv could not be read" in told
    assert "left_out.damaged-1.csv could not be read" in told
    assert pd.read_csv(run.metrics_path)["epoch"].tolist() == [1]
    assert run.load_recipe().model_dump() == recipe.model_dump() | {
        "train": recipe.train.model_dump() | {"trial": None}
    }
    assert (run.folder / "recipe.damaged-1.toml").is_file()
    for path in run.checkpoints.iterdir():
        path.write_bytes(b"")
    run.recipe_path.write_bytes(b"")
    with pytest.raises(UserError):
        recipe_to_resume(run, None, quiet=False)


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "٣", "1e3", "0x2", "99999999999", "2 2", "1_0"])
def test_numbers_of_a_launcher_that_are_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT"):
        monkeypatch.setenv(name, text)
        with pytest.raises(UserError, match=f"{name} = .* is set in the environment"):
            environment_number(name, 1)
    with pytest.raises(UserError, match="WORLD_SIZE"):
        launched(None, 0)
    monkeypatch.setenv("WORLD_SIZE", " 3 ")
    assert environment_number("WORLD_SIZE", 1) == 3
    with pytest.raises(UserError, match="from 0 to 2"):
        environment_number("WORLD_SIZE", 1, most=2)
    monkeypatch.setenv("WORLD_SIZE", "")
    assert environment_number("WORLD_SIZE", 1) == 1


def test_the_time_that_the_whole_run_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("tinkit.engine.training.outlook.time.monotonic", lambda: now[0])
    outlook = Outlook(10, 110)
    assert outlook.left(10) == ""
    now[0] += 60
    assert outlook.left(20) == "run: 9 min left"  # 10 steps a minute, 90 steps
    assert outlook.left(110) == ""
    words = [in_words(seconds) for seconds in (3, 89, 90, 5300, 5400, 129000, 200000)]
    assert words == ["3 s", "89 s", "2 min", "88 min", "1.5 h", "35.8 h", "2.3 days"]


def test_a_loss_that_grows_is_said(tmp_path: Path) -> None:
    assert growth([5.0]) == growth([5.0, 4.0]) == growth([5.0, 7.0]) == ""
    assert growth([6.0, 5.0, 18.0]).startswith("the loss has grown from 5 (epoch 2) to 18")
    assert growth([5.0, 18.0, 10.0]) == ""  # it falls again
    log = RunLog(Run(tmp_path), Progress(), 0, validated=True)
    for epoch, loss in enumerate((5.0, 18.0)):
        log.epoch({"epoch": epoch, "train_loss": loss})
    assert log.losses == [5.0, 18.0]
    log.close()
