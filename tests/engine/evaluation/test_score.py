"""Testing a run: scores against a slow loop, null rows, resuming an interrupted test, views and averages."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tinkit import metrics
from tinkit.data.clips.testing import TestClips
from tinkit.data.config.views import ViewConfig
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.evaluation import sharded as rounds
from tinkit.engine.evaluation.score import Scorer
from tinkit.engine.evaluation.test import TestRequest, run_test
from tinkit.engine.runs.checkpoint import Progress, load_weights, read_header, save_checkpoint
from tinkit.engine.runs.load import load_model
from tinkit.engine.runs.run import Run, create_run
from tinkit.engine.runtime.reporter import Reporter
from tinkit.engine.runtime.session import Session
from tinkit.engine.training.start import start_training
from tinkit.errors import UsageError, UserError
from tinkit.recipe import load_recipe
from tinkit.scores import label_matrix, read_info, read_scores
from tinkit.scores.speed import read_speed

QUIET = Session(reporter=Reporter(quiet=True))
SETTINGS = [
    "clip.size=32", "test.scale=40", "test.crop=32", "test.batch=3", "clip.num_segments=4", "optim.batch=8",
    "optim.epochs=2", "train.val_every=2", "train.workers=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = load_recipe("demo_tin", SETTINGS, challenge).recipe
    made = create_run("a", recipe, tmp_path_factory.mktemp("runs"))
    start_training(made, recipe, QUIET)
    return made


def views(run: Run, **changes: object) -> ViewConfig:
    return ViewConfig.model_validate(run.load_recipe().test.model_dump() | changes)


@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_scores_are_what_a_loop_over_clips_and_views_gives(run: Run, average: str) -> None:
    config = views(run, views="2x3", average=average)
    result = run_test(run, "val", config, "best", QUIET, TestRequest(force=True))
    table = read_scores(result.path)
    assert result.path == run.folder / "scores" / "val-2x3-best.arrow"
    assert (table.info.kind, table.info.views, table.info.average) == (average, "2x3", average)
    assert (table.info.run, table.info.split, table.info.trained_on) == ("a", "val", ("train",))
    model, recipe, _ = load_model(run, "best")
    manifest = open_manifest(recipe.data, "val")
    clips = TestClips(manifest, recipe.clip, config)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
    for row in range(len(manifest)):
        views_of_clip = clips[row]["frames"].float() / 255
        with torch.no_grad():
            logits = torch.stack([model(((view - mean) / std)[None])[0] for view in views_of_clip])
        wanted = logits.mean(0) if average == "logits" else logits.sigmoid().mean(0)
        assert table.ids[row] == manifest.ids[row]
        np.testing.assert_allclose(table.scores[row], wanted.numpy(), rtol=1e-3, atol=1e-5)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(clips[0]["frames"][:1].float())
    assert table.info.gflops == pytest.approx(6 * counter.get_total_flops() / 2e9)
    assert result.metrics is not None
    labels = label_matrix(table)
    assert labels.sum() == sum(len(manifest.row(row).labels or ()) for row in range(len(manifest)))
    assert result.metrics.values["sample_map"] == metrics.sample_map(np.asarray(table.scores), labels)


def test_unlabelled_split_has_scores_and_no_metrics(run: Run) -> None:
    result = run_test(run, "test", views(run), "last", QUIET)
    assert result.metrics is None
    assert result.clips == 8
    assert all(labels is None for labels in read_scores(result.path).labels)


def test_result_is_kept_until_something_changes(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    path = run_test(run, "val", views(run), "best", QUIET).path
    before = path.stat().st_mtime_ns
    run_test(run, "val", views(run), "best", QUIET)
    assert path.stat().st_mtime_ns == before
    for changed in ({"scale": 48}, {"average": "probabilities"}):
        with pytest.raises(UsageError, match="--force"):
            run_test(run, "val", views(run, **changed), "best", QUIET)
    trial = run_test(run, "val", views(run), "best", QUIET, TestRequest(limit=2))
    assert (trial.clips, trial.path.parent.name) == (2, "trials")
    assert path.stat().st_mtime_ns == before
    run_test(run, "val", views(run, scale=48), "best", QUIET, TestRequest(force=True))
    assert path.stat().st_mtime_ns != before


def test_changed_annotations_renew_the_labels_of_a_score_file(run: Run, challenge: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(challenge, root)
    data = run.load_recipe().data.model_copy(update={"root": root})
    config = views(run, views="4x1")
    before = read_scores(run_test(run, "val", config, "best", QUIET, TestRequest(data=data)).path)
    scores = np.array(before.scores)
    annotation = root / "annotations" / "validationSet.csv"
    names = [line.split(",")[0] for line in annotation.read_text().splitlines()]
    annotation.write_text("".join(f"{name},{row}\n" for row, name in enumerate(names)))
    result = run_test(run, "val", config, "best", QUIET, TestRequest(data=data))
    after = read_scores(result.path)
    np.testing.assert_array_equal(after.scores, scores)
    assert list(after.labels) == [(row,) for row in range(8)]
    assert result.metrics is not None
    assert result.metrics["sample_map"] == metrics.sample_map(scores, np.eye(12)[:8])


def test_scores_of_an_older_checkpoint_are_replaced(run: Run) -> None:
    path = run_test(run, "val", views(run, views="3x1"), "last", QUIET).path
    before = read_scores(path)
    weights = load_weights(run.checkpoint("last"))
    model, _, checkpoint = load_model(run, "last")
    model.load_state_dict(weights | {name: 2 * t for name, t in weights.items() if name.startswith("classifier")})
    whole = checkpoint.read_bytes()
    save_checkpoint(checkpoint, model, Progress(), read_header(checkpoint)["info"])
    after = read_scores(run_test(run, "val", views(run, views="3x1"), "last", QUIET).path)
    checkpoint.write_bytes(whole)
    np.testing.assert_allclose(after.scores, 2 * np.asarray(before.scores), rtol=1e-4, atol=1e-6)


def test_interrupted_test_goes_on_and_gives_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    config = views(run, views="2x1", batch=4)
    path = run_test(run, "val", config, "best", QUIET, TestRequest(force=True)).path
    whole, content, speed = read_scores(path), path.read_bytes(), read_speed(path, read_info(path))
    assert speed is not None
    assert (speed.clips, speed.seconds > 0, "threads of" in speed.device) == (8, True, True)
    assert run_test(run, "val", config, "best", QUIET).speed == speed  # of a test that was made before, too
    monkeypatch.setattr(rounds, "_BLOCK", 2)
    calls = 0
    plain = Scorer.__call__

    def dies(self: Scorer, frames: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return plain(self, frames)

    monkeypatch.setattr(Scorer, "__call__", dies)
    with pytest.raises(KeyboardInterrupt):
        run_test(run, "val", config, "best", QUIET, TestRequest(force=True))
    resumed = read_scores(run_test(run, "val", config, "best", QUIET, TestRequest(force=True)).path)
    speed = read_speed(path, read_info(path))
    assert speed is not None
    assert speed.clips == 4  # those of this process
    assert path.read_bytes() == content
    assert calls == 5  # four batches in all: two before, the one that died, and the two that were left
    np.testing.assert_array_equal(whole.scores, resumed.scores)
    assert list(whole.ids) == list(resumed.ids)
    assert not list((run.folder / "scores").glob(".*"))


def test_broken_clip_has_null_scores_and_does_not_count(run: Run, challenge: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(challenge, root)
    recipe = run.load_recipe()
    data = recipe.data.model_copy(update={"root": root})
    victim = open_manifest(data, "val").row(5)
    (root / victim.path).write_bytes(b"not a video")
    result = run_test(run, "val", views(run, views="1x3"), "best", QUIET, TestRequest(data=data))
    assert list(result.reasons) == [victim.id]
    table = read_scores(result.path)
    assert np.flatnonzero(~np.asarray(table.valid)).tolist() == [5]
    assert np.isnan(table.scores[5]).all()
    assert result.metrics is not None
    good = np.asarray(table.valid)
    wanted = metrics.sample_map(np.asarray(table.scores)[good], label_matrix(table)[good])
    assert result.metrics.values["sample_map"] == wanted


def test_other_classes_and_missing_checkpoints_are_refused(run: Run, challenge: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(challenge, root)
    categories = root / "annotations" / "moments_categories.txt"
    categories.write_text(categories.read_text().replace("rising", "soaring"))
    data = run.load_recipe().data.model_copy(update={"root": root})
    with pytest.raises(UserError, match="other classes"):
        run_test(run, "val", views(run), "best", QUIET, TestRequest(data=data, force=True))
    with pytest.raises(UserError, match="no such checkpoint"):
        run_test(run, "val", views(run), "newest", QUIET)
