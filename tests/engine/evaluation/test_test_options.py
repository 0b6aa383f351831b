"""Options of a test: mirror images with their labels exchanged, single views kept, another number of frames."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.scored_runs import QUIET, command, untrained
from tinkit.data.clips.testing import TestClips
from tinkit.data.config.views import ViewConfig
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.evaluation import test as engine_test
from tinkit.engine.evaluation.predict import predict
from tinkit.engine.evaluation.test import TestRequest, run_test
from tinkit.engine.runs.checkpoint import load_weights
from tinkit.engine.runs.run import Run
from tinkit.engine.runtime.build import build_model
from tinkit.errors import UsageError
from tinkit.scores import ScoreTable, read_scores

SWAPS = {0: 3, 3: 0, 5: 1, 1: 5}


@pytest.fixture(scope="module")
def run(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return untrained(challenge, tmp_path_factory.mktemp("runs"), "clip.flip_labels=[[0,3],[5,1]]")


@pytest.fixture(scope="module")
def tsn(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return untrained(challenge, tmp_path_factory.mktemp("runs"), recipe="demo_tsn")


def views(run: Run, **changes: object) -> ViewConfig:
    return ViewConfig.model_validate(run.load_recipe().test.model_dump() | changes)


def logits_of(run: Run, video: torch.Tensor) -> np.ndarray:
    """The classes' logits of one view (T, 3, H, W) uint8, by a model that is built here; (C,)."""
    recipe = run.load_recipe()
    model = build_model(recipe, 12, pretrained=False, num_segments=len(video)).eval()
    model.load_state_dict(load_weights(run.checkpoint("best")))
    with torch.no_grad():
        made: np.ndarray = model(((video.float() / 255 - 0.5) / 0.5)[None])[0].numpy()
    return made


def plain_views(run: Run, row: int, **changes: object) -> torch.Tensor:
    recipe = run.load_recipe()
    manifest = open_manifest(recipe.data, "val")
    frames: torch.Tensor = TestClips(manifest, recipe.clip, views(run, **changes))[row]["frames"]
    return frames


def scores_of(run: Run, **changes: Any) -> ScoreTable:
    keep = changes.pop("keep_views", False)
    return read_scores(
        run_test(run, "val", views(run, **changes), "best", QUIET, TestRequest(force=True, keep_views=keep)).path
    )


def exchanged(logits: np.ndarray) -> np.ndarray:
    """What a mirror image's logits say of the classes of the clip itself."""
    return np.array([logits[SWAPS.get(c, c)] for c in range(len(logits))])


def test_a_mirror_image_votes_for_the_exchanged_classes(run: Run) -> None:
    table = scores_of(run, views="2x1", flip=True)
    assert table.info.protocol["flip"] is True
    for row in (0, 7):
        own = [logits_of(run, view) for view in plain_views(run, row, views="2x1")]
        images = [exchanged(logits_of(run, view.flip(-1))) for view in plain_views(run, row, views="2x1")]
        np.testing.assert_allclose(table.scores[row], np.mean(own + images, axis=0), rtol=1e-3, atol=1e-4)
        assert not np.allclose(images[0], logits_of(run, plain_views(run, row)[0].flip(-1)), atol=1e-3)


def test_ten_crops_hold_mirror_images_too(run: Run) -> None:
    table = scores_of(run, views="1x10")
    five = plain_views(run, 2, views="1x5")
    wanted = [logits_of(run, view) for view in five] + [exchanged(logits_of(run, view.flip(-1))) for view in five]
    np.testing.assert_allclose(table.scores[2], np.mean(wanted, axis=0), rtol=1e-3, atol=1e-4)


def test_prediction_of_a_file_is_that_of_its_clip(run: Run) -> None:
    manifest = open_manifest(run.load_recipe().data, "val")
    table = scores_of(run, views="2x3", flip=True)
    path = manifest.root / manifest.row(3).path
    (found,) = predict(run, "best", [path], views(run, views="2x3", flip=True), top=12)
    probabilities = 1 / (1 + np.exp(-table.scores[3].astype(np.float64)))
    for name, value in found.labels:
        assert value == pytest.approx(probabilities[table.info.classes.index(name)], rel=1e-4)
    assert [value for _, value in found.labels] == sorted((value for _, value in found.labels), reverse=True)


@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_single_views_average_to_the_score_file(run: Run, average: str) -> None:
    joint = scores_of(run, views="2x3", flip=True, average=average, keep_views=True)
    paths = sorted((run.folder / "scores" / "views" / "val-2x3-best").iterdir())
    assert [path.name for path in paths] == [f"view-{number:02d}.arrow" for number in range(12)]
    single = [read_scores(path) for path in paths]
    for number, table in enumerate(single):
        assert table.info.view == number
        assert (table.info.kind, table.info.views) == (joint.info.kind, joint.info.views)
        assert (list(table.ids), list(table.labels)) == (list(joint.ids), list(joint.labels))
    assert joint.info.view is None
    np.testing.assert_allclose(np.mean([table.scores for table in single], axis=0), joint.scores, rtol=1e-5, atol=1e-6)
    own = logits_of(run, plain_views(run, 1, views="2x3")[4])
    wanted = own if average == "logits" else 1 / (1 + np.exp(-own))
    np.testing.assert_allclose(single[4].scores[1], wanted, rtol=1e-3, atol=1e-4)
    assert not list((run.folder / "scores").glob(".*"))


def test_kept_views_follow_their_score_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run.folder / "scores" / "views" / "val-3x1-best"
    path = run_test(run, "val", views(run, views="3x1"), "best", QUIET).path
    assert not folder.exists()
    before = path.stat().st_mtime_ns
    run_test(run, "val", views(run, views="3x1"), "best", QUIET, TestRequest(keep_views=True))
    assert len(list(folder.iterdir())) == 3
    assert path.stat().st_mtime_ns != before
    monkeypatch.setattr(engine_test, "score_split", lambda *_, **__: pytest.fail("nothing is to be scored"))
    run_test(run, "val", views(run, views="3x1"), "best", QUIET, TestRequest(keep_views=True))
    monkeypatch.undo()
    # A test that keeps no views leaves none of an older one beside its scores.
    scores_of(run, views="3x1")
    assert not folder.exists()


def test_new_labels_reach_the_kept_views(run: Run, challenge: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(challenge, root)
    data = run.load_recipe().data.model_copy(update={"root": root})
    config = views(run, views="4x1")
    run_test(run, "val", config, "best", QUIET, TestRequest(data=data, keep_views=True))
    annotation = root / "annotations" / "validationSet.csv"
    names = [line.split(",")[0] for line in annotation.read_text().splitlines()]
    annotation.write_text("".join(f"{name},{row}\n" for row, name in enumerate(names)))
    run_test(run, "val", config, "best", QUIET, TestRequest(data=data))
    for number in range(4):
        table = read_scores(run.folder / "scores" / "views" / "val-4x1-best" / f"view-{number:02d}.arrow")
        assert list(table.labels) == [(row,) for row in range(8)]
        assert table.info.view == number


@pytest.mark.parametrize("frames", [1, 7])
def test_a_tsn_is_tested_on_another_number_of_frames(tsn: Run, frames: int) -> None:
    table = scores_of(tsn, num_segments=frames)
    assert table.info.protocol["num_segments"] == frames
    view = plain_views(tsn, 5, num_segments=frames)[0]
    assert len(view) == frames
    np.testing.assert_allclose(table.scores[5], logits_of(tsn, view), rtol=1e-3, atol=1e-4)


def test_a_tin_says_why_it_cannot_see_another_number_of_frames(run: Run) -> None:
    for refused in (
        lambda config: run_test(run, "val", config, "best", QUIET),
        lambda c: predict(run, "best", [], c, 1),
    ):
        with pytest.raises(UsageError, match=r"this model sees 4 frames.*\n.*a Linear of T x T over time"):
            refused(views(run, num_segments=8))
    # Its own number is no other test than the one without the option.
    path = run_test(run, "val", views(run), "best", QUIET).path
    before = path.stat().st_mtime_ns
    run_test(run, "val", views(run, num_segments=4), "best", QUIET)
    assert path.stat().st_mtime_ns == before


def test_sampling_is_part_of_what_a_test_is(run: Run) -> None:
    config = views(run, views="5x1")
    path = run_test(run, "val", config, "best", QUIET).path
    for changes in ({"sampling": "random"}, {"sampling": "dense", "stride": 1}, {"flip": True}):
        with pytest.raises(UsageError, match="--force"):
            run_test(run, "val", views(run, views="5x1", **changes), "best", QUIET)
    # The stride of a rule that has none changes nothing.
    before = path.stat().st_mtime_ns
    run_test(run, "val", views(run, views="5x1", stride=7), "best", QUIET)
    assert path.stat().st_mtime_ns == before


def test_options_of_the_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ["--views", "2x1", "--sampling", "twice", "--flip", "--keep-views", "--limit", "3", "--weights", "last"]
    assert command(monkeypatch, "test", run.folder, "-q", "--json", *options) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["clips"], row["weights"], row["split"]) == (3, "last", "val")
    info = read_scores(row["scores"]).info
    seen = {"sampling": "twice", "scale": 40, "crop": 32, "flip": True, "num_segments": 4}
    assert info.protocol == seen | {"precision": "float32"}
    assert len(list((Path(row["scores"]).parent / "views" / "val-2x1-last").iterdir())) == 4


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--segments", "8"], 2, "OffsetNet"),
        (["--as-published", "--views", "2x1", "--crop", "9"], 2, "views, crop of the command line"),
        (["--as-published", "--no-flip"], 2, "flip of the command line"),
        (["--as-published"], 2, "names no published number"),
        (["--sampling", "twice", "--views", "3x1"], 2, "two temporal samples at most"),
        (["--sampling", "often"], 2, "--sampling often"),
        (["--flip", "--views", "1x10"], 2, "ten crops hold the mirror images"),
        (["--weights", "beste"], 2, "did you mean 'best"),
        (["--split", "vall"], 2, "did you mean 'val'"),
    ],
)
def test_mistakes_are_one_message(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    assert command(monkeypatch, "test", run.folder, "-q", *words) == code
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown


def test_a_test_by_frame_rate_takes_the_place_of_the_stride(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--sampling", "dense", "--fps", "5", "--force")
    assert command(monkeypatch, "test", run.folder, "-q", "--views", "2x1", *options) == 0
    table = scores_of(run, views="2x1", sampling="dense", fps=5)
    assert table.info.protocol["fps"] == 5
    assert "stride" not in table.info.protocol
    frames = plain_views(run, 0, views="2x1", sampling="dense", fps=5)
    wanted = np.mean([logits_of(run, view) for view in frames], axis=0)
    np.testing.assert_allclose(table.scores[0], wanted, rtol=1e-3, atol=1e-4)
    capsys.readouterr()
    assert command(monkeypatch, "test", run.folder, "-q", *options, "--stride", "4") == 2
    assert "--stride and --fps" in capsys.readouterr().err
