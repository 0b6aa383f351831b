"""The members of a fusion: runs, score files and other fusions, of one model each."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.ensembles import changed_info, ensemble, refused, three_runs
from tests.helpers.fusion_members import scores_of
from tinkit.errors import UsageError
from tinkit.scores import read_info, read_scores, write_scores


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return three_runs(tmp_path)


def test_score_files_are_grouped_by_their_model(runs: Path) -> None:
    files = [f"runs/{run}/scores/{split}-1x1-best.arrow" for split in ("test", "val") for run in ("good", "fair")]
    by_file = json.loads(ensemble(*files, "--name", "a", "--json"))
    by_run = json.loads(ensemble("good", "fair", "--name", "b", "--json"))
    assert by_file["members"] == by_run["members"]
    assert "no score file of split 'test' beside" in refused(*files[1:], "--name", "c")
    ensemble(files[0], files[1], "--method", "mean-ranks", "--fit", "none", "--name", "d")
    assert sorted(path.name for path in Path("fusions/d").iterdir()) == ["fusion.json", "fusion.npz", "test.arrow"]
    assert "both of split 'test'" in refused(files[0], files[0], "--fit", "none", "--method", "mean-ranks")


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
    plain = ("--method", "mean-logits", "--scale", "none")
    ensemble("good", "fair", "--name", "pair", *plain)
    ensemble("good", "noise", "--name", "pair", *plain, "--fusions", "others")
    files = [f"fusions/pair/{split}.arrow" for split in ("val", "test")]
    record = json.loads(ensemble("fusions/pair", "noise", "--name", "all", *plain, "--json"))
    assert {member["name"] for member in record["members"]} == {"pair", "noise"}
    single = {run: read_scores(f"runs/{run}/scores/test-1x1-best.arrow").scores for run in ("good", "fair", "noise")}
    wanted = single["good"] / 4 + single["fair"] / 4 + single["noise"] / 2
    np.testing.assert_allclose(read_scores("fusions/all/test.arrow").scores, wanted, atol=1e-5)
    message = refused("others/pair/val.arrow", files[1], "noise", "--name", "x", "--method", "mean-logits")
    assert "member 'pair': its scores of 'test' were made with another checkpoint" in message
    ensemble("good", "fair", "--name", "fitted", "--method", "search")
    fitted = [f"fusions/fitted/{split}.arrow" for split in ("val", "test")]
    assert "'fitted' was trained on 'val'" in refused(*fitted, "noise", "--name", "x")


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
    record = json.loads(ensemble(*files, "--method", "mean-logits", "--scale", "none", "--json"))
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
