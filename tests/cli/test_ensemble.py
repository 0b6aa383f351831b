"""``tinkit ensemble``: what it finds, what it writes, what it refuses, and that nothing is lost."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers.fusion_members import scores_of, write_run
from tinkit.cli.app import app
from tinkit.errors import UsageError, UserError
from tinkit.files.hashes import sha256_file
from tinkit.files.shipped import shipped, shipped_names
from tinkit.fusion import folder as folder_module
from tinkit.fusion import load_spec
from tinkit.metrics import evaluate
from tinkit.recipe import load_recipe
from tinkit.scores import label_matrix, read_info, read_scores, write_scores


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs under ./runs: `good` and `fair` know something, `noise` does not."""
    monkeypatch.chdir(tmp_path)
    for run, strength in (("good", 2.5), ("fair", 1.0), ("noise", 0.0)):
        write_run(tmp_path / "runs", run, strength=strength)
    return tmp_path / "runs"


def ensemble(*words: str) -> str:
    """What the command prints; its UserErrors come through."""
    result = CliRunner().invoke(app, ["ensemble", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words: str) -> str:
    with pytest.raises(UserError) as caught:
        CliRunner().invoke(app, ["ensemble", *words], catch_exceptions=False)
    return str(caught.value)


def changed_info(path: Path, **facts: Any) -> None:
    table = read_scores(path)
    whole = dataclasses.replace(table, scores=np.array(table.scores), info=dataclasses.replace(table.info, **facts))
    write_scores(path, whole)


def test_runs_are_fitted_on_val_and_applied_to_test(runs: Path) -> None:
    shown = ensemble("good", "fair", "noise", "--name", "f", "--parts", "3")
    for word in ("equal mean", "fitted (optimistic)", "fitted (cross-validated)", "sample_map", "fusions/f/test.arrow"):
        assert word in shown
    record = json.loads(Path("fusions/f/fusion.json").read_text())
    weights = np.array([member["weight"] for member in record["members"]])
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > weights[2]
    for split in ("val", "test"):
        fused = read_scores(f"fusions/f/{split}.arrow")
        members = np.stack(
            [read_scores(f"runs/{run}/scores/{split}-1x1-best.arrow").scores for run in ("good", "fair", "noise")]
        )
        np.testing.assert_allclose(fused.scores, np.tensordot(weights, members, 1), atol=1e-5)
        assert (fused.info.kind, fused.info.run, fused.info.split) == ("logits", "f", split)
        assert fused.info.trained_on == ("train", "val")
        assert record["outputs"][split]["sha256"] == sha256_file(f"fusions/f/{split}.arrow")
        for member in record["members"]:
            assert member["scores"][split]["sha256"] == sha256_file(member["scores"][split]["path"])
            assert fused.info.hashes[f"member:{member['name']}"] == member["scores"][split]["sha256"]
    val = read_scores("fusions/f/val.arrow")
    assert (
        record["metrics"]["fused"]["sample_map"] == evaluate(val.scores, label_matrix(val), "multi-label")["sample_map"]
    )
    metrics = {name: values["sample_map"] for name, values in record["metrics"].items()}
    assert metrics["fused"] >= metrics["cross_validated"] > metrics["equal_mean"]
    assert record["members"][0]["metrics"]["sample_map"] > record["members"][2]["metrics"]["sample_map"]


def test_json_and_a_second_time_the_same(runs: Path) -> None:
    first = json.loads(ensemble("good", "fair", "--name", "a", "--json", "--method", "search"))
    again = json.loads(ensemble("good", "fair", "--name", "b", "--json"))
    assert first["members"] == again["members"]
    assert first["part_weights"] == again["part_weights"]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (["--method", "mean-logits"], "logits"),
        (["--method", "mean-probabilities"], "probabilities"),
        (["--method", "mean-ranks"], "ranks"),
        (["--method", "search", "--space", "probabilities"], "probabilities"),
    ],
)
def test_the_kind_is_said_and_a_mean_has_seen_nothing(runs: Path, options: list[str], kind: str) -> None:
    ensemble("good", "fair", "--name", "f", *options)
    info = read_info("fusions/f/test.arrow")
    assert info.kind == kind
    assert info.trained_on == (("train", "val") if "search" in options else ("train",))
    if "search" not in options:
        record = json.loads(Path("fusions/f/fusion.json").read_text())
        assert [member["weight"] for member in record["members"]] == [0.5, 0.5]
        assert record["metrics"]["cross_validated"] is None


def test_score_files_are_grouped_by_their_model(runs: Path) -> None:
    files = [f"runs/{run}/scores/{split}-1x1-best.arrow" for split in ("test", "val") for run in ("good", "fair")]
    by_file = json.loads(ensemble(*files, "--name", "a", "--json"))
    by_run = json.loads(ensemble("good", "fair", "--name", "b", "--json"))
    assert by_file["members"] == by_run["members"]
    assert "no score file of split 'test' beside" in refused(*files[1:], "--name", "c")
    ensemble(files[0], files[1], "--method", "mean-ranks", "--fit", "none", "--name", "d")
    assert sorted(path.name for path in Path("fusions/d").iterdir()) == ["fusion.json", "test.arrow"]
    assert "both of split 'test'" in refused(files[0], files[0], "--fit", "none", "--method", "mean-ranks")


def test_a_toml_names_members_and_the_command_line_goes_first(runs: Path, tmp_path: Path) -> None:
    write_run(runs, "good", views="2x1", strength=2.5, seed=1)
    spec = tmp_path / "sub" / "mine.toml"
    spec.parent.mkdir()
    spec.write_text(
        'name = "mine"\nfit = "val"\napply = ["test"]\nmethod = "mean-logits"\n'
        '[[members]]\nrun = "good"\nviews = "2x1"\n[[members]]\nrun = "good"\nviews = "1x1"\nweights = "best"\n'
        '[[members]]\nname = "third"\n'
        'scores = {val = "../runs/fair/scores/val-1x1-best.arrow", test = "../runs/fair/scores/test-1x1-best.arrow"}\n'
    )
    record = json.loads(ensemble("sub/mine.toml", "--json"))
    assert [member["name"] for member in record["members"]] == ["good 2x1 best", "good 1x1 best", "third"]
    assert read_info("fusions/mine/val.arrow").views == "mixed"
    again = json.loads(ensemble("sub/mine.toml", "--json", "--name", "other", "--method", "mean-ranks", "--seed", "4"))
    assert (again["method"], again["name"], again["seed"], again["fit"]) == ("mean-ranks", "other", 4, "val")
    assert "name it alone" in refused("sub/mine.toml", "good")
    assert "2 score files of split 'val': val-1x1-best.arrow, val-2x1-best.arrow" in refused("good", "fair")
    ensemble("good", "fair", "--views", "1x1", "--weights", "best")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "name = 'x'\nmetod = 'search'\n[[members]]\nrun = 'a'\n",
            "bad.toml:2: unknown key 'metod'; did you mean 'method'?",
        ),
        (
            "name = 'x'\n[[members]]\nrun = 'a'\nview = '1x1'\n",
            "bad.toml:4: unknown key 'members.0.view'; did you mean 'views'?",
        ),
        ("method = 'best'\n[[members]]\nrun = 'a'\n", "bad.toml:1: method = 'best': "),
        ("[[members]]\nviews = '1x1'\n", "a member is a `run` or `scores`"),
        ("[[members]]\nviews = '1x1'\nscores = {val = 'a.arrow'}\n", "`scores` names the files already"),
        ("name = '../x'\n[[members]]\nrun = 'a'\n", "bad.toml:1: name = '../x': "),
        ("fit = 'none'\n[[members]]\nrun = 'a'\n", "needs a labelled split"),
        ("members = []\n", "bad.toml:1: members = []: "),
        ("name = \n", "not valid TOML"),
    ],
)
def test_a_bad_toml_is_explained(runs: Path, text: str, said: str) -> None:
    Path("bad.toml").write_text(text)
    message = refused("bad.toml")
    assert said in message
    assert "bad.toml" in message
    assert not Path("fusions").exists()


def test_what_is_missing_is_said_with_the_command_that_makes_it(runs: Path) -> None:
    (runs / "fair" / "scores" / "test-1x1-best.arrow").unlink()
    message = refused("good", "fair", "--views", "1x1")
    assert "has no scores of split 'test' with --views 1x1" in message
    assert "tinkit test runs/fair --split test --views 1x1" in message
    assert "'goood' is neither a run" in (message := refused("goood"))
    assert "did you mean 'good'?" in message
    assert "tinkit train RECIPE --name demo_tsn" in refused("demo")
    with pytest.raises(UsageError):
        ensemble("goood")


def test_a_member_that_saw_the_split_is_refused(runs: Path) -> None:
    for split in ("val", "test"):
        changed_info(runs / "fair" / "scores" / f"{split}-1x1-best.arrow", trained_on=("train", "val"))
    for options in ([], ["--method", "mean-logits"]):
        assert "member 'fair' was trained on 'val'" in refused("good", "fair", *options)
    ensemble("good", "fair", "--method", "mean-logits", "--fit", "none")
    assert read_info("fusions/fusion/test.arrow").trained_on == ("train", "val")
    assert "trained on 'val'" in refused("good", "fair", "--force")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"hashes": {"checkpoint": "a later one"}}, "another checkpoint than those of 'val'"),
        ({"hashes": {}}, "another checkpoint than those of 'val'"),
        ({"average": "probabilities"}, "another average"),
        ({"kind": "ranks"}, "another kind"),
        ({"dataset_version": "2"}, "another dataset_version"),
    ],
)
def test_fitted_on_one_model_and_applied_to_another_is_refused(runs: Path, facts: dict[str, Any], said: str) -> None:
    path = runs / "fair" / "scores" / "test-1x1-best.arrow"
    table = dataclasses.replace(scores_of("fair", "test", labelled=False))
    scores = np.zeros_like(table.scores) if "kind" in facts else table.scores
    write_scores(path, dataclasses.replace(table, scores=scores, info=dataclasses.replace(table.info, **facts)))
    message = refused("good", "fair")
    assert said in message
    assert str(path.relative_to(runs.parent)) in message


def test_nothing_is_overwritten_and_force_leaves_the_rest(runs: Path) -> None:
    ensemble("good", "fair", "--name", "f", "--method", "mean-logits")
    Path("fusions/f/submission.csv").write_text("mine")
    before = {path.name: path.read_bytes() for path in Path("fusions/f").iterdir()}
    assert "exists already" in refused("good", "noise", "--name", "f")
    assert {path.name: path.read_bytes() for path in Path("fusions/f").iterdir()} == before
    ensemble("good", "noise", "--name", "f", "--force", "--apply", "none")
    assert sorted(path.name for path in Path("fusions/f").iterdir()) == ["fusion.json", "submission.csv", "val.arrow"]
    assert Path("fusions/f/submission.csv").read_text() == "mine"


def test_a_failure_half_way_leaves_what_was_there(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble("good", "fair", "--name", "f")
    before = {path.name: path.read_bytes() for path in Path("fusions/f").iterdir()}

    def full(path: Path, table: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder_module, "write_scores", full)
    for words in (("good", "noise", "--name", "f", "--force"), ("good", "noise", "--name", "g")):
        assert "the disk is full" in refused(*words)
    assert {path.name: path.read_bytes() for path in Path("fusions/f").iterdir()} == before
    assert not Path("fusions/g").exists()


def test_clips_that_a_member_lacks(runs: Path) -> None:
    path = runs / "fair" / "scores" / "test-1x1-best.arrow"
    table = scores_of("fair", "test", labelled=False)
    write_scores(path, dataclasses.replace(table, valid=np.arange(60) > 1))
    message = refused("good", "fair")
    assert "'fair' has no scores" in message
    assert "'test/0.mp4', 'test/1.mp4'" in message
    assert "--missing mean" in message
    assert not Path("fusions").exists()
    assert "test: clips without scores: fair 2" in ensemble("good", "fair", "--missing", "mean")
    record = json.loads(Path("fusions/fusion/fusion.json").read_text())
    assert record["missing_clips"] == {"val": {"all": 0}, "test": {"fair": 2, "all": 0}}


def test_a_fusion_may_be_a_member_of_another(runs: Path) -> None:
    ensemble("good", "fair", "--name", "pair", "--method", "mean-logits")
    ensemble("good", "noise", "--name", "pair", "--method", "mean-logits", "--fusions", "others")
    files = [f"fusions/pair/{split}.arrow" for split in ("val", "test")]
    record = json.loads(ensemble(*files, "noise", "--name", "all", "--method", "mean-logits", "--json"))
    assert {member["name"] for member in record["members"]} == {"pair", "noise"}
    single = {run: read_scores(f"runs/{run}/scores/test-1x1-best.arrow").scores for run in ("good", "fair", "noise")}
    wanted = single["good"] / 4 + single["fair"] / 4 + single["noise"] / 2
    np.testing.assert_allclose(read_scores("fusions/all/test.arrow").scores, wanted, atol=1e-5)
    message = refused("others/pair/val.arrow", files[1], "noise", "--name", "x", "--method", "mean-logits")
    assert "member 'pair': its scores of 'test' were made with another checkpoint" in message
    ensemble("good", "fair", "--name", "fitted")
    fitted = [f"fusions/fitted/{split}.arrow" for split in ("val", "test")]
    assert "'fitted' was trained on 'val'" in refused(*fitted, "noise", "--name", "x")


def test_single_label_is_searched_for_top1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for run, strength in (("a", 2.0), ("b", 0.0)):
        write_run(tmp_path / "runs", run, strength=strength, task="single-label", classes=8)
    record = json.loads(ensemble("a", "b", "--json"))
    assert record["metric"] == "top1"
    assert set(record["metrics"]["fused"]) == {"top1", "top5", "counts"}
    assert "no metric of a single-label task" in refused("a", "b", "--name", "x", "--metric", "sample_map")


def test_no_better_than_the_equal_mean_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for run in ("a", "b", "c"):
        write_run(tmp_path / "runs", run, strength=1.0)
    record = json.loads(ensemble("a", "b", "c", "--json"))
    rejected = record["rejected"]
    # members alike: what the search finds is noise
    assert rejected["cross_validated"]["sample_map"] <= rejected["cross_validated_equal_mean"]["sample_map"]
    assert rejected["reason"] == "cross-validation"
    assert rejected["weights"] != [1 / 3] * 3
    assert rejected["fused"]["sample_map"] > record["metrics"]["equal_mean"]["sample_map"]  # which is optimistic
    assert [member["weight"] for member in record["members"]] == [1 / 3] * 3
    assert record["metrics"]["fused"] == record["metrics"]["equal_mean"]
    assert record["metrics"]["cross_validated"] is None
    shown = ensemble("a", "b", "c", "--name", "g")
    assert "no better than the equal mean: the weights are equal" in shown
    assert "not used" in shown
    val = read_scores("fusions/g/val.arrow")
    mean = np.mean([read_scores(f"runs/{run}/scores/val-1x1-best.arrow").scores for run in "abc"], axis=0)
    np.testing.assert_allclose(val.scores, mean, atol=1e-5)
    assert val.info.trained_on == ("train",)  # its weights have seen nothing


def write_anonymous(stem: str, run: str, **info: Any) -> list[str]:
    """Score files of val and test that name no run, beside each other; their names."""
    names = []
    for split in ("val", "test"):
        table = scores_of(run, split, labelled=split == "val", **({"hashes": {}} | info))
        path = Path(stem.replace("SPLIT", split))
        write_scores(path, dataclasses.replace(table, info=dataclasses.replace(table.info, run="")))
        names.append(str(path))
    return names


@pytest.mark.parametrize(
    ("stems", "names"),
    [
        (("xa-SPLIT.arrow", "xb-SPLIT.arrow"), ["xa", "xb"]),
        (("a/SPLIT.arrow", "b/SPLIT.arrow"), ["a", "b"]),
        (("SPLIT_2x1_a.arrow", "SPLIT_2x1_b.arrow"), ["2x1_a", "2x1_b"]),
        (("one/m.SPLIT.1.arrow", "two/m.SPLIT.1.arrow"), ["one/m.val.1", "two/m.val.1"]),
    ],
)
def test_files_without_a_run_belong_together_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stems: tuple[str, str], names: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    files = [name for stem, run in zip(stems, ("xa", "xb"), strict=True) for name in write_anonymous(stem, run)]
    record = json.loads(ensemble(*files, "--method", "mean-logits", "--json"))
    assert [member["name"] for member in record["members"]] == names
    wanted = np.mean([read_scores(name).scores for name in (files[1], files[3])], axis=0)
    np.testing.assert_allclose(read_scores("fusions/fusion/test.arrow").scores, wanted, atol=1e-6)
    by_hand = [{split: member["scores"][split]["path"] for split in ("val", "test")} for member in record["members"]]
    assert by_hand == [{"val": files[0], "test": files[1]}, {"val": files[2], "test": files[3]}]


def test_files_without_a_run_belong_together_by_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine, theirs = ({"hashes": {"checkpoint": word}} for word in ("c1", "c2"))
    first, second = write_anonymous("p-SPLIT.arrow", "xa", **mine), write_anonymous("q-SPLIT.arrow", "xb", **theirs)
    for old, new in ((first[1], "other.arrow"), (second[1], "p-test.arrow")):
        Path(old).rename(new)  # the names now say what is not so
    files = [first[0], "other.arrow", second[0], "p-test.arrow"]
    record = json.loads(ensemble(*files, "--method", "mean-logits", "--json"))
    assert [member["scores"]["test"]["path"] for member in record["members"]] == ["other.arrow", "p-test.arrow"]
    wider = write_anonymous("w-SPLIT.arrow", "xa", views="2x3", **mine)
    record = json.loads(ensemble(*files[:2], *wider, "--method", "mean-logits", "--json", "--name", "w"))
    assert [member["views"] for member in record["members"]] == ["1x1", "2x3"]


def test_files_that_nothing_joins_are_joined_in_a_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = write_anonymous("valid-SPLIT.arrow", "xa")
    Path(files[1]).rename("else.arrow")
    message = refused(files[0], "else.arrow", "--method", "mean-logits")
    assert "no score file of split 'test' beside valid-val.arrow" in message
    assert '[[members]] with scores = {val = "valid-val.arrow", test = "..."}' in message
    Path("mine.toml").write_text('[[members]]\nscores = {val = "valid-val.arrow", test = "else.arrow"}\n')
    ensemble("mine.toml", "--method", "mean-logits")
    write_anonymous("sub/valid-SPLIT.arrow", "xa")
    assert "no score file of split" in refused(files[0], "sub/valid-test.arrow", "--name", "g")


@pytest.fixture
def lopsided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`a` is right on the first 30 clips of val, which all have; on the others, where `c` is missing, `b` is.

    Weights fitted on the first 30 ones are for `a`, and over all clips worse than equal ones.
    """
    monkeypatch.chdir(tmp_path)
    for number, run in enumerate("abc"):
        write_run(tmp_path / "runs", run, strength=0.0)
        path = tmp_path / "runs" / run / "scores" / "val-1x1-best.arrow"
        table = read_scores(path)
        marks = label_matrix(table).astype(np.float32)
        common = np.arange(60)[:, None] < 30
        noise = np.array(table.scores)
        own = [
            np.where(common, 2 * marks + noise, -3 * marks + noise),
            np.where(common, -marks + noise, 6 * marks + noise),
            noise,
        ][number]
        scores = np.where((number == 2) & ~common, np.float32("nan"), own).astype(np.float32)
        valid = np.ones(60, bool) if number < 2 else common[:, 0]
        write_scores(path, dataclasses.replace(table, scores=scores, valid=valid))
    return tmp_path / "runs"


def test_weights_worse_than_equal_ones_over_the_whole_split_are_not_used(lopsided: Path) -> None:
    shown = ensemble("a", "b", "c", "--missing", "mean", "--name", "f")
    assert "over all clips, the fitted weights are worse than equal ones: the weights are equal" in shown
    assert "not used" in shown
    record = json.loads(Path("fusions/f/fusion.json").read_text())
    assert [member["weight"] for member in record["members"]] == [1 / 3] * 3
    assert record["fitted_on_clips"] == 30
    assert record["metrics"]["fused"] == record["metrics"]["equal_mean"]
    assert record["metrics"]["cross_validated"] is None
    assert record["rejected"]["fused"]["sample_map"] < record["metrics"]["equal_mean"]["sample_map"]
    assert record["rejected"]["weights"][0] > 0.5
    val = read_scores("fusions/f/val.arrow")
    members = np.stack([read_scores(f"runs/{run}/scores/val-1x1-best.arrow").scores for run in "abc"])
    np.testing.assert_allclose(val.scores, np.nanmean(members, axis=0), atol=1e-5)
    assert (
        record["metrics"]["fused"]["sample_map"] == evaluate(val.scores, label_matrix(val), "multi-label")["sample_map"]
    )


def test_the_estimate_is_compared_with_the_equal_mean_of_its_own_clips(runs: Path) -> None:
    path = runs / "noise" / "scores" / "val-1x1-best.arrow"
    table = read_scores(path)
    write_scores(path, dataclasses.replace(table, scores=np.array(table.scores), valid=np.arange(60) < 42))
    shown = ensemble("good", "noise", "--missing", "mean", "--name", "f", "--parts", "3")
    metrics = json.loads(Path("fusions/f/fusion.json").read_text())["metrics"]
    good, noise = (read_scores(runs / run / "scores" / "val-1x1-best.arrow") for run in ("good", "noise"))
    alike = (good.scores[:42] + noise.scores[:42]) / 2
    wanted = evaluate(alike, label_matrix(good)[:42], "multi-label")
    own = metrics["cross_validated_equal_mean"]
    assert own["sample_map"] == pytest.approx(wanted["sample_map"], abs=1e-6)
    assert own["counts"]["measured"] == metrics["cross_validated"]["counts"]["measured"] == 42
    assert metrics["equal_mean"]["counts"]["measured"] == 60
    # Not better than the equal mean of all clips, of which 18 have no noise in them; better than that of its own.
    assert own["sample_map"] < metrics["cross_validated"]["sample_map"]
    assert "no better than the equal mean" not in shown
    for row in ("equal mean, 42 clips", "fitted (cross-validated), 42 clips"):
        assert row in shown


def test_a_fusion_does_not_replace_its_own_members(runs: Path) -> None:
    ensemble("good", "fair", "--name", "sf", "--fusions", "fus", "--method", "mean-logits")
    files = [f"fus/sf/{split}.arrow" for split in ("val", "test")]
    Path("link").symlink_to("fus/sf")
    before = {path.name: path.read_bytes() for path in Path("fus/sf").iterdir()}
    options = ("noise", "--fusions", "fus", "--name", "sf", "--method", "mean-logits", "--force")
    for own in (files, [f"link/{split}.arrow" for split in ("val", "test")]):
        message = refused(*own, *options)
        assert "member 'sf' lies in fus/sf, where the fusion is to be written" in message
        assert "another --name" in message
    assert {path.name: path.read_bytes() for path in Path("fus/sf").iterdir()} == before
    ensemble(*files, "noise", "--fusions", "fus", "--name", "sf2", "--method", "mean-logits", "--force")


@pytest.mark.parametrize("name", sorted(shipped_names("ensembles")))
def test_shipped_ensembles_name_shipped_recipes(name: str) -> None:
    spec = load_spec(shipped("ensembles") / f"{name}.toml")
    assert spec.name == name
    recipes = {load_recipe(str(member.run)).recipe.data.dataset for member in spec.members}
    assert len(recipes) == 1, "members of one fusion are trained on one data set"
    assert spec.metric == ("top1" if recipes <= {"sthv1", "sthv2", "jester"} else "sample_map")


def test_members_are_what_was_asked_for() -> None:
    expected = ["mmit_r50", "mmit_r50_16f", "mmit_r101", "mmit_tsn_r101", "mmit_tsm_r50"]
    assert [member.run for member in load_spec(shipped("ensembles") / "mmit.toml").members] == expected
    demo = load_spec(shipped("ensembles") / "demo.toml")
    assert {(member.run, member.views) for member in demo.members} == {
        ("demo_tsn", "2x1"),
        ("demo_tsm", "2x1"),
        ("demo_tin", "2x1"),
    }
    assert demo.method == "search"
