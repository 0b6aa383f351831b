"""Published numbers: which scores were made as they were, tests by their protocols, and the comparison."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.scored_runs import QUIET, command, untrained
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.sampling import frames as sampling
from tinkit.engine.evaluation import test as engine_test
from tinkit.engine.evaluation.compare import comparison_rows
from tinkit.engine.evaluation.protocol import canonical_json, fits, protocol_of, published_views
from tinkit.engine.evaluation.published import run_published
from tinkit.engine.evaluation.test import TestRequest, run_test
from tinkit.engine.runs.run import Run, create_run
from tinkit.errors import UserError
from tinkit.files.hashes import sha256_file
from tinkit.recipe import Published, load_recipe
from tinkit.scores import ScoreInfo, read_scores, write_scores
from tinkit.scores.protocol import protocol_words

CLIP = ClipConfig(num_segments=8)


def entry(**keys: Any) -> Published:
    return Published.model_validate({"number": 50, "metric": "sample_map", "views": "1x1", "source": "paper"} | keys)


def made(views: ViewConfig, **keys: Any) -> ScoreInfo:
    facts: dict[str, Any] = {"kind": "logits", "task": "multi-label", "classes": ("a",), "dataset": "d"}
    facts |= {"dataset_version": "1", "split": "val", "views": views.views, "average": views.average}
    return ScoreInfo(**facts | {"protocol": protocol_of(views, CLIP)} | keys)


@pytest.mark.parametrize(
    ("published", "views", "wanted"),
    [
        ({}, {}, True),
        ({"split": "test"}, {}, False),
        ({"views": "2x3"}, {}, False),
        ({"scale": 256, "crop": 224, "num_segments": 8, "sampling": "centre"}, {}, True),
        ({"crop": 256}, {}, False),
        ({"crop": 256}, {"crop": 256}, True),
        ({"num_segments": 16}, {}, False),
        ({"num_segments": 16}, {"num_segments": 16}, True),
        # With one sample all rules but dense are the segments' centres, and there is nothing to average.
        ({"sampling": "twice"}, {"sampling": "even"}, True),
        ({"sampling": "dense"}, {}, False),
        ({"average": "probabilities"}, {}, True),
        ({"average": "probabilities"}, {"flip": True}, False),
        ({"views": "2x1", "sampling": "twice"}, {"views": "2x1"}, False),
        ({"views": "2x1", "sampling": "twice"}, {"views": "2x1", "sampling": "twice"}, True),
        ({"views": "2x1", "average": "probabilities"}, {"views": "2x1"}, False),
        ({"views": "2x1", "average": "probabilities"}, {"views": "2x1", "average": "probabilities"}, True),
        ({"sampling": "dense", "stride": 8}, {"sampling": "dense", "stride": 2}, False),
        ({"sampling": "dense", "stride": 8}, {"sampling": "dense", "stride": 8}, True),
        ({"sampling": "centre", "stride": 8}, {}, True),
        ({"flip": False}, {}, True),
        ({"flip": True}, {}, False),
        ({"flip": True}, {"flip": True}, True),
    ],
)
def test_a_number_fits_scores_that_were_made_as_it_was(
    published: dict[str, Any], views: dict[str, Any], wanted: bool
) -> None:
    assert fits(entry(**published), made(ViewConfig(**views))) is wanted


def test_scores_of_an_unknown_protocol_fit_only_what_states_none() -> None:
    older = made(ViewConfig(), protocol={})
    assert fits(entry(), older)
    assert not fits(entry(crop=224), older)


rules = st.sampled_from(["even", "centre", "random", "twice", "dense"])


@given(
    pair=st.tuples(rules, rules),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    count=st.sampled_from([1, 1, 2]),
    segments=st.tuples(st.sampled_from([None, 8, 4]), st.sampled_from([None, 8, 4])),
)
def test_two_ways_to_say_one_protocol_take_the_same_frames(
    pair: tuple[Any, Any], strides: tuple[int, int], count: int, segments: tuple[int | None, int | None]
) -> None:
    if count > 1 and "centre" in pair:
        return
    both = [
        ViewConfig(views=f"{count}x1", sampling=rule, stride=stride, num_segments=frames)
        for rule, stride, frames in zip(pair, strides, segments, strict=True)
    ]

    def frames_of(config: ViewConfig) -> list[Any]:
        frames = config.num_segments or CLIP.num_segments
        return [
            sampling.test_frames(
                config.sampling, length, frames, count, config.stride, np.random.default_rng(length)
            ).tolist()
            for length in (3, 20, 50, 300)
        ]

    same = canonical_json(both[0], CLIP) == canonical_json(both[1], CLIP)
    assert same == (frames_of(both[0]) == frames_of(both[1]))
    if same:
        assert protocol_of(both[0], CLIP) == protocol_of(both[1], CLIP)


def test_score_files_of_earlier_releases_are_known_again() -> None:
    # What was hashed when there was no rule but even.
    text = '{"views":"10x3","sampling":"even","scale":256,"crop":224,"average":"logits"}'
    assert canonical_json(ViewConfig(views="10x3", batch=3, stride=5), CLIP) == text


def test_a_frame_rate_is_part_of_the_protocol_and_the_stride_beside_it_is_not() -> None:
    one, other, strided = (
        ViewConfig(views="5x1", sampling="dense", **keys)
        for keys in ({"fps": 7.5, "stride": 3}, {"fps": 7.5}, {"stride": 3})
    )
    assert canonical_json(one, CLIP) == canonical_json(other, CLIP) != canonical_json(strided, CLIP)
    assert protocol_of(one, CLIP) == protocol_of(other, CLIP) != protocol_of(strided, CLIP)
    stated = entry(views="5x1", sampling="dense", fps=7.5)
    assert fits(stated, made(one))
    assert not fits(stated, made(strided))
    assert not fits(stated, made(one.model_copy(update={"fps": 15.0})))
    recipe = load_recipe("k400_tsm_r50_dense").recipe
    assert published_views(recipe, stated).fps == 7.5
    by_rate = recipe.model_copy(update={"test": one})
    assert published_views(by_rate, entry(views="5x1", sampling="dense", stride=4)).fps is None


def test_a_protocol_in_words() -> None:
    assert protocol_words(protocol_of(ViewConfig(), CLIP)) == "8 frames, 256/224"
    dense = ViewConfig(views="10x3", sampling="dense", stride=8, flip=True, num_segments=16, crop=256)
    assert protocol_words(protocol_of(dense, CLIP)) == "16 frames, 256/256, dense, stride 8, flipped too"
    by_rate = ViewConfig(views="5x1", sampling="dense", stride=3, fps=7.5)
    assert protocol_words(protocol_of(by_rate, CLIP)) == "8 frames, 256/224, dense, 7.5 a second"
    assert protocol_words({"crop": 256, "average": "probabilities"}) == "?/256, mean of probabilities"
    assert protocol_words({}) == ""


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
