"""Features of clips: what the backbone gives before the classifier, in a file beside the score file."""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.scored_runs import QUIET, command, untrained
from tinkit.data.clips.testing import TestClips
from tinkit.data.config.views import ViewConfig
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.evaluation import features
from tinkit.engine.evaluation import sharded as rounds
from tinkit.engine.evaluation.features import features_of_files, features_of_split, pooled_features
from tinkit.engine.evaluation.test import run_test
from tinkit.engine.runs.checkpoint import Progress, load_weights, read_header, save_checkpoint
from tinkit.engine.runs.run import Run
from tinkit.engine.runtime.build import build_model
from tinkit.errors import UserError
from tinkit.models import Video3D, VideoClassifier
from tinkit.scores import read_scores
from tinkit.scores.features import Part, inspect_features, read_features, write_features

MODELS = {
    "average": lambda: VideoClassifier("test_resnet", "tin", 5, 4, dropout=0.8),
    "relations": lambda: VideoClassifier("test_resnet", "tsn", 5, 4, consensus="trn"),
    "pooled frames": lambda: VideoClassifier("test_resnet", "tsm", 5, 4, temporal_pool=True),
    "attention": lambda: VideoClassifier("test_vit", "tsn", 5, 4, backbone_kwargs={"img_size": 32}),
    "3D": lambda: Video3D("r3d_10", 5, 4),
}


@pytest.fixture(scope="module")
def run(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return untrained(challenge, tmp_path_factory.mktemp("runs"))


def views(run: Run, **changes: object) -> ViewConfig:
    return ViewConfig.model_validate(run.load_recipe().test.model_dump() | changes)


@pytest.mark.parametrize("name", MODELS)
def test_features_are_the_mean_of_what_the_backbone_gives(name: str) -> None:
    model, video = MODELS[name]().eval(), torch.randn(2, 4, 3, 32, 32)
    with torch.inference_mode():
        found = pooled_features(model, video)
        frames = model.backbone(video.transpose(1, 2)) if name == "3D" else model.backbone(video.flatten(0, 1))
    wanted = frames.reshape(2, -1, frames.shape[-1]).mean(1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert not model.dropout._forward_pre_hooks


def test_the_classifier_makes_the_scores_of_the_features(run: Run) -> None:
    """A linear classifier and a mean over frames and views: their order does not matter."""
    config = views(run, views="2x3", flip=True)
    written = features_of_split(run, "best", "val", config, QUIET)
    table, scores = read_features(written.path), read_scores(run_test(run, "val", config, "best", QUIET).path)
    weights = load_weights(run.checkpoint("best"))
    logits = table.features @ weights["classifier.weight"].numpy().T + weights["classifier.bias"].numpy()
    np.testing.assert_allclose(logits, scores.scores, rtol=1e-3, atol=1e-4 * np.abs(scores.scores).max())
    assert (list(table.ids), list(table.labels), list(table.source)) == (
        list(scores.ids), list(scores.labels), list(scores.source),
    )  # fmt: skip
    for name in ("classes", "split", "views", "weights", "run", "dataset"):
        wanted = getattr(scores.info, name)
        assert table.info[name] == (list(wanted) if name == "classes" else wanted)
    assert table.info["kind"] == "features"
    assert table.info["hashes"]["checkpoint"] == scores.info.hashes["checkpoint"]
    assert written.path == run.folder / "features" / "val-2x3-best.arrow"


def test_features_of_a_file_are_those_of_its_clip(run: Run, tmp_path: Path) -> None:
    manifest = open_manifest(run.load_recipe().data, "val")
    paths = [manifest.root / manifest.row(row).path for row in (3, 0)]
    files = read_features(features_of_files(run, "best", paths, views(run), tmp_path / "f.arrow").path)
    split = read_features(features_of_split(run, "best", "val", views(run), QUIET, out=tmp_path / "s.arrow").path)
    assert list(files.ids) == [str(path) for path in paths]
    assert list(files.labels) == [None, None]
    np.testing.assert_allclose(files.features, split.features[[3, 0]], rtol=1e-4, atol=1e-5)
    own = TestClips(manifest, run.load_recipe().clip, views(run))[3]["frames"]
    model = build_model(run.load_recipe(), 12, pretrained=False).eval()
    model.load_state_dict(load_weights(run.checkpoint("best")))
    with torch.no_grad():
        wanted = model.backbone((own[0].float() / 255 - 0.5) / 0.5).mean(0).numpy()
    np.testing.assert_allclose(files.features[0], wanted, rtol=1e-3, atol=1e-4)


def test_a_clip_that_cannot_be_decoded_has_null_features(run: Run, challenge: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(challenge, root)
    recipe = run.load_recipe()
    data = recipe.data.model_copy(update={"root": root})
    manifest = open_manifest(data, "val")
    (root / manifest.row(2).path).write_bytes(b"no video")
    written = features_of_split(run, "best", "val", views(run), QUIET, data=data, out=tmp_path / "val.arrow")
    table = read_features(written.path)
    assert list(written.reasons) == [manifest.ids[2]]
    assert list(np.flatnonzero(~table.valid)) == [2]
    assert np.isnan(table.features[2]).all()
    assert np.isfinite(table.features[[0, 1, 3]]).all()
    broken, good = root / manifest.row(2).path, root / manifest.row(1).path
    mixed = features_of_files(run, "best", [broken, good], views(run), tmp_path / "f.arrow")
    assert read_features(mixed.path).valid.tolist() == [False, True]
    with pytest.raises(UserError, match="none of the 1 clips"):
        features_of_files(run, "best", [broken], views(run), tmp_path / "none.arrow")
    assert not (tmp_path / "none.arrow").exists()


def test_interrupted_features_go_on_and_are_the_same(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, place = views(run, batch=4), {name: tmp_path / f"{name}.arrow" for name in ("whole", "again")}
    clips = features_of_split(run, "best", "val", config, QUIET, out=place["whole"]).clips
    monkeypatch.setattr(rounds, "_BLOCK", 2)
    calls = 0

    def dies(model: Any, video: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return pooled_features(model, video)

    monkeypatch.setattr(features, "pooled_features", dies)
    with pytest.raises(KeyboardInterrupt):
        features_of_split(run, "best", "val", config, QUIET, out=place["again"])
    assert not place["again"].exists()
    features_of_split(run, "best", "val", config, QUIET, out=place["again"])
    assert calls == 1 + -(-clips // 4)  # the batch that died was looked at again, and no other
    whole, again = (read_features(path) for path in place.values())
    np.testing.assert_array_equal(whole.features, again.features)
    assert (whole.info, list(whole.ids)) == (again.info, list(again.ids))
    assert sorted(tmp_path.iterdir()) == sorted(place.values())  # nothing is left beside them


def test_a_file_that_is_there_is_kept_or_replaced_but_never_lost(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, manifest = tmp_path / "f.arrow", open_manifest(run.load_recipe().data, "val")
    first = features_of_split(run, "best", "val", views(run), QUIET, out=path)
    monkeypatch.setattr(features, "pooled_features", lambda *_: pytest.fail("they are there already"))
    assert features_of_split(run, "best", "val", views(run), QUIET, out=path) == first
    before = path.read_bytes()
    with pytest.raises(UserError, match="of other clips, of other views or by another run"):
        features_of_split(run, "best", "val", views(run, views="2x1"), QUIET, out=path)
    with pytest.raises(UserError, match="of other clips, of other views or by another run"):
        features_of_files(run, "best", [manifest.root / manifest.row(0).path], views(run), path)
    monkeypatch.undo()
    other = untrained(manifest.root, tmp_path / "runs", "train.seed=3", recipe="demo_tsn")
    with pytest.raises(UserError, match="by another run"):
        features_of_split(other, "best", "val", views(other), QUIET, out=path)
    assert path.read_bytes() == before
    video, files = [manifest.root / manifest.row(0).path], tmp_path / "files.arrow"
    first_of = features_of_files(run, "best", video, views(run), files)
    assert features_of_files(run, "best", video, views(run), files) == first_of
    for who, how in ((run, {"views": "2x1"}), (other, {})):
        with pytest.raises(UserError, match="by another run"):
            features_of_files(who, "best", video, views(who, **how), files)
    last = run.checkpoint("last")
    whole = last.read_bytes()
    features_of_split(run, "last", "val", views(run), QUIET, out=tmp_path / "last.arrow")
    header = read_header(last)["info"]
    model = build_model(run.load_recipe(), 12, pretrained=False)
    model.load_state_dict(load_weights(last))
    torch.nn.init.zeros_(model.backbone.conv1[0].weight)
    save_checkpoint(last, model, Progress(), header)
    features_of_split(run, "last", "val", views(run), QUIET, out=tmp_path / "last.arrow")
    assert len(np.unique(read_features(tmp_path / "last.arrow").features, axis=0)) == 1  # of a newer checkpoint
    last.write_bytes(whole)
    foreign = tmp_path / "notes.arrow"
    foreign.write_text("mine")
    for write in (
        lambda: features_of_split(run, "best", "val", views(run), QUIET, out=foreign),
        lambda: features_of_files(run, "best", [manifest.root / manifest.row(0).path], views(run), foreign),
    ):
        with pytest.raises(UserError, match="not an Arrow file"):
            write()
    assert foreign.read_text() == "mine"


def test_features_are_never_all_in_memory(run: Run, tmp_path: Path) -> None:
    """What is written comes a block at a time, of which one is held."""
    alive: list[weakref.ref[np.ndarray]] = []

    def parts() -> Iterator[Part]:
        for _ in range(20):
            assert sum(part() is not None for part in alive) <= 2  # the one that is written, at most one before
            values = np.ones((50, 8), np.float32)
            alive.append(weakref.ref(values))
            yield values, np.ones(50, bool)

    names = [str(number) for number in range(1000)]
    write_features(tmp_path / "f.arrow", {}, names, [None] * 1000, names, parts())
    assert read_features(tmp_path / "f.arrow").features.sum() == 8000


def test_the_command(
    run: Run, challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    videos = sorted(challenge.glob("videos/*/*.mp4"))[:2]
    assert command(monkeypatch, "predict", run.folder, *videos, "--features", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["clips"], row["broken"], row["file"]) == (2, 0, "features.arrow")
    assert read_features(tmp_path / "features.arrow").features.shape == (2, row["features"])
    assert command(monkeypatch, "predict", run.folder, "--features", "--split", "test", "-q", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["file"] == str(run.folder / "features" / "test-1x1-best.arrow")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["a.mp4", "--split", "val"], "--split without --features"),
        (["a.mp4", "--out", "x.arrow"], "--out without --features"),
        (["--features"], "nothing to look at"),
        ([], "nothing to look at"),
        (["a.mp4", "--split", "val", "--features"], "videos and --split"),
        (["a.mp4", "--features", "--data", "."], "--data without --split"),
        (["a.mp4", "a.mp4", "--features"], "there 2 times"),
        (["a.mp4", "--gpus", "2"], "--gpus without --features"),
        (["a.mp4", "--features", "--gpus", "2"], "--gpus without --split"),
    ],
)
def test_options_that_do_not_go_together(
    run: Run, words: list[str], wanted: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "predict", run.folder, *words) in (1, 2)
    assert wanted in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["scores", "show"], ["ensemble"], ["submit", "--challenge", "demo", "--out", "x.csv"]], ids=lambda w: w[0]
)
def test_what_reads_scores_refuses_features(
    run: Run, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = features_of_split(run, "best", "val", views(run), QUIET, out=tmp_path / "val.arrow").path
    name, *options = words
    place = [*options[:1], path] if name == "scores" else [path, *options]
    assert command(monkeypatch, name, *place) != 0
    assert "'features'" in capsys.readouterr().err


def write(path: Path, ids: str = "abc", values: np.ndarray | None = None) -> None:
    """Three clips, the second broken, in two parts."""
    values = np.arange(6, dtype=np.float32).reshape(3, 2) if values is None else values
    valid = np.array([True, False, True])
    parts = [(values[:1], valid[:1]), (values[1:], valid[1:])]
    write_features(path, {"classes": ["é"]}, list(ids), [(0,), None, ()], ["x", "y", "z"], iter(parts))


def test_a_file_comes_back(tmp_path: Path) -> None:
    write(tmp_path / "f.arrow")
    found = read_features(tmp_path / "f.arrow")
    assert found.info["classes"] == ["é"]
    assert (list(found.ids), list(found.labels)) == (["a", "b", "c"], [(0,), None, ()])
    np.testing.assert_array_equal(found.features, [[0, 1], [np.nan, np.nan], [4, 5]])
    assert list(found.source) == ["x", "y", "z"]
    about = inspect_features(tmp_path / "f.arrow")
    assert (about.width, about.valid.tolist(), list(about.ids)) == (2, [True, False, True], ["a", "b", "c"])


def test_bad_tables_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'a' is there 2 times"):
        write(tmp_path / "f.arrow", ids="aab")
    with pytest.raises(UserError, match="'c' has features that are not finite"):
        write(tmp_path / "f.arrow", values=np.array([[0, 1], [2, 3], [np.inf, 0]], np.float32))
    assert not list(tmp_path.iterdir())


def test_other_files_are_refused(run: Run, tmp_path: Path) -> None:
    scores = run_test(run, "val", views(run), "best", QUIET).path
    with pytest.raises(UserError, match="holds logits"):
        read_features(scores)
    (tmp_path / "cut.arrow").write_bytes(scores.read_bytes()[:500])
    with pytest.raises(UserError, match="not an Arrow file"):
        read_features(tmp_path / "cut.arrow")
    with pytest.raises(UserError, match="no such feature file"):
        read_features(tmp_path / "none.arrow")
