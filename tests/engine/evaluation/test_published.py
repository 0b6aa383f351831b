"""Published numbers: tests by their protocols, and the comparison of what was measured with them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.scored_runs import QUIET, command, untrained
from tinkit.data.config.views import ViewConfig
from tinkit.engine.evaluation import test as engine_test
from tinkit.engine.evaluation.compare import comparison_rows
from tinkit.engine.evaluation.protocol import published_views
from tinkit.engine.evaluation.published import run_published
from tinkit.engine.evaluation.test import TestRequest, run_test
from tinkit.engine.runs.run import Run, create_run
from tinkit.errors import UserError
from tinkit.files.hashes import sha256_file
from tinkit.recipe import load_recipe
from tinkit.scores import read_scores, write_scores

PUBLISHED = """
extends = "{base}"
name = "published"

[[published]]
number = 30.0
metric = "sample_map"
views = "1x1"
source = "paper"
spread = 100.0

[[published]]
number = 1000.0
metric = "class_map"
views = "1x1"
source = "paper"
spread = 3.0

[[published]]
number = 40.0
metric = "sample_map"
views = "2x1"
sampling = "twice"
average = "logits"
source = "another paper"

[[published]]
number = 45.0
metric = "sample_map"
views = "2x1"
scale = 48
crop = 48
source = "another paper"
"""


def recipe_file(folder: Path, text: str = PUBLISHED, base: str = "demo_tsn") -> str:
    path = folder / "published.toml"
    path.write_text(text.format(base=base))
    return str(path)


@pytest.fixture
def run(challenge: Path, tmp_path: Path) -> Run:
    return untrained(challenge, tmp_path / "runs", recipe=recipe_file(tmp_path))


def test_every_published_protocol_is_tested_once_and_compared(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    score_split = engine_test.score_split

    def counted(*arguments: Any, **options: Any) -> Any:
        titles.append(options["title"])
        return score_split(*arguments, **options)

    monkeypatch.setattr(engine_test, "score_split", counted)
    rows = run_published(run, "best", QUIET)
    assert titles == ["val 1x1", "val 2x1", "val 2x1"]
    assert [(row["metric"], row["published"], row["within"]) for row in rows] == [
        ("sample_map", 30, "yes"), ("class_map", 1000, "no"), ("sample_map", 40, None), ("sample_map", 45, None),
    ]  # fmt: skip
    scores = run.folder / "scores"
    assert sorted(str(path.relative_to(scores)) for path in scores.rglob("*.arrow")) == [
        "published/val-2x1+sampling=twice-best.arrow",
        "published/val-2x1+scale=48+crop=48-best.arrow",
        "val-1x1-best.arrow",
    ]
    recipe = run.load_recipe()
    for row, published in zip(rows, recipe.published, strict=True):
        direct = run_test(run, "val", published_views(recipe, published), "last", QUIET, TestRequest(force=True))
        assert direct.metrics is not None
        assert row["measured"] == 100 * direct.metrics[published.metric]
        assert row["difference"] == row["measured"] - published.number
        np.testing.assert_array_equal(read_scores(row["scores"]).scores, read_scores(direct.path).scores)
    assert rows[2]["measured"] != rows[3]["measured"]
    # Nothing is tested again, and the comparison says the same.
    titles.clear()
    assert run_published(run, "best", QUIET) == rows
    assert titles == []
    (run.folder / "scores" / "val-2x1-last.arrow").unlink()
    (run.folder / "scores" / "val-1x1-last.arrow").unlink()
    compared = comparison_rows([str(run.folder)], run.folder, run.folder)
    kept = [{key: value for key, value in row.items() if key not in ("clips", "scores")} for row in rows]
    assert [row for row in compared if row["published"] is not None] == sorted(
        kept, key=lambda row: [row["published"] == 45, row["published"] == 40]
    )


def test_a_protocol_whose_place_is_taken_goes_elsewhere(run: Run) -> None:
    other = ViewConfig.model_validate(run.load_recipe().test.model_dump() | {"scale": 64})
    taken = run_test(run, "val", other, "best", QUIET).path
    before = taken.read_bytes()
    rows = run_published(run, "best", QUIET)
    assert taken.read_bytes() == before
    assert rows[0]["scores"].endswith("published/val-1x1-best.arrow")
    # The ordinary file of another scale fits too, since the entry states none: both are shown, each with its own.
    compared = comparison_rows([str(run.folder)], run.folder, run.folder)
    assert {row["protocol"] for row in compared if row["published"] == 30} == {"4 frames, 64/32", "4 frames, 40/32"}


def test_a_trial_of_published_protocols_counts_its_clips(run: Run) -> None:
    rows = run_published(run, "best", QUIET, TestRequest(limit=3))
    assert {row["clips"] for row in rows} == {3}
    assert not list((run.folder / "scores").glob("*.arrow"))
    assert {row["measured"] for row in comparison_rows([str(run.folder)], run.folder, run.folder)} == {None}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('views = "3x1"\nsampling = "twice"', "two temporal samples at most"),
        ('views = "1x1"\nnum_segments = 8', "a Linear of T x T"),
        ('views = "1x1"\ncrop = 64', "larger than test.scale"),
    ],
)
def test_a_number_that_cannot_be_repeated_is_named_before_anything_is_tested(
    challenge: Path, tmp_path: Path, keys: str, message: str
) -> None:
    bad = '\n[[published]]\nnumber = 62.5\nmetric = "sample_map"\nsource = "that paper"\n' + keys + "\n"
    recipe = recipe_file(tmp_path, PUBLISHED + bad, base="demo_tin")
    run = untrained(challenge, tmp_path / "runs", recipe=recipe)
    with pytest.raises(UserError, match=message) as caught:
        run_published(run, "best", QUIET)
    assert "62.5 sample_map (that paper)" in str(caught.value)
    assert not (run.folder / "scores").exists()


def test_comparison_says_what_makes_a_number_no_measurement(run: Run) -> None:
    path = run_test(run, "val", run.load_recipe().test, "best", QUIET).path
    table = read_scores(path)
    scores = np.array(table.scores)
    valid = np.arange(len(table)) > 1
    info = dataclasses.replace(table.info, trained_on=("train", "val"))
    write_scores(path, dataclasses.replace(table, info=info, scores=scores, valid=valid))
    rows = comparison_rows([str(run.folder)], run.folder, run.folder)
    row = next(row for row in rows if row["published"] == 30)
    assert row["note"].startswith("its weights have seen this split; 2 clips without scores; trained otherwise than")
    assert row["measured"] is not None
    assert (row["difference"], row["within"]) == (None, None)


@pytest.mark.parametrize(("off", "within"), [(3.0, "yes"), (-3.0, "yes"), (3.01, "no"), (-3.01, "no")])
def test_within_the_spread_both_ways(run: Run, off: float, within: str) -> None:
    path = run_test(run, "val", run.load_recipe().test, "best", QUIET).path
    rows = comparison_rows([str(run.folder)], run.folder, run.folder)
    measured = next(row["measured"] for row in rows if row["published"] == 1000)
    recipe = run.recipe_path.read_text()
    run.recipe_path.write_text(recipe.replace("1000.0", repr(measured - off)))
    rows = comparison_rows([str(run.folder)], run.folder, run.folder)
    assert [row["within"] for row in rows if row["metric"] == "class_map" and row["published"]] == [within]
    assert path.is_file()


def test_an_estimate_on_fewer_clips_says_so(run: Run, tmp_path: Path) -> None:
    path = run_test(run, "val", run.load_recipe().test, "best", QUIET).path
    fusion = tmp_path / "fusions" / "f"
    fusion.mkdir(parents=True)
    table = read_scores(path)
    info = dataclasses.replace(table.info, run="f", trained_on=("train", "val"))
    write_scores(fusion / "val.arrow", dataclasses.replace(table, info=info))
    estimate: dict[str, Any] = {"sample_map": 0.5, "class_map": 0.25, "micro_map": 0.125, "counts": {"measured": 6}}
    outputs = {"val": {"path": "val.arrow", "sha256": sha256_file(fusion / "val.arrow")}}
    record = {"fit": "val", "metrics": {"cross_validated": estimate}, "outputs": outputs}
    for clips, note in ((6, "6 of 8 clips: those that all members have"), (8, None)):
        estimate["counts"]["measured"] = clips
        (fusion / "fusion.json").write_text(json.dumps(record))
        row = comparison_rows(["f"], tmp_path / "runs", tmp_path / "fusions")[0]
        assert (row["metric"], row["measured"], row["weights"]) == ("sample_map", 50, "cross-validated")
        assert row["note"] == note


def test_the_command_prints_measured_beside_published(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["test", run.folder, "--as-published", "-q", "--json"], ["compare", run.folder, "--json"]):
        assert command(monkeypatch, *words) == 0
        rows = json.loads(capsys.readouterr().out)
        assert [row["published"] for row in rows if row["published"]] == [30, 1000, 40, 45]
        assert [row["within"] for row in rows if row["published"]] == ["yes", "no", None, None]
    assert command(monkeypatch, "compare", run.folder) == 0
    shown = capsys.readouterr().out
    assert "twice" in shown
    assert "within" in shown


def test_comparison_says_that_a_run_was_trained_otherwise(tmp_path: Path) -> None:
    for name, changes in (("as_published", ["train.workers=1"]), ("other", ["optim.lr=0.5", "clip.size=112"])):
        recipe = load_recipe("sthv1_tin_r50", [*changes, f"name={name}"]).recipe
        create_run(name, recipe, tmp_path)
    rows = comparison_rows(["as_published", "other"], tmp_path, tmp_path)
    notes = {name: {row["note"] for row in rows if row["run"] == name} for name in ("as_published", "other")}
    assert notes == {
        "as_published": {None},
        "other": {"trained otherwise than published: clip.size, optim.lr"},
    }
    assert all(row["published"] for row in rows)


@pytest.mark.parametrize(
    "text", ["[", "[1]", "{}", '{"metrics": 1, "fit": "val"}', "[" * 100_000, '{"published": [1]}']
)
def test_a_damaged_record_of_a_fusion_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "fusion.json").write_text(text)
    with pytest.raises(UserError, match=r"fusion\.json"):
        comparison_rows(["f"], tmp_path, tmp_path)
