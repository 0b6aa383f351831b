"""``tinkit ensemble``: what it writes, what it refuses, and that nothing is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.ensembles import ensemble, refused, three_runs
from tests.helpers.fusion_members import write_run
from tests.helpers.score_files import digest_of
from tinkit.fusion import folder as folder_module
from tinkit.fusion.record import read_record, record_content
from tinkit.metrics import evaluate
from tinkit.scores import label_matrix, read_info, read_scores


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return three_runs(tmp_path)


def test_runs_are_fitted_on_val_and_applied_to_test(runs: Path) -> None:
    shown = ensemble("good", "fair", "noise", "--name", "f", "--parts", "3", "--method", "search")
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
        assert record["outputs"][split]["digest"] == digest_of(f"fusions/f/{split}.arrow")
        for member in record["members"]:
            assert member["scores"][split]["digest"] == digest_of(member["scores"][split]["path"])
            assert fused.info.hashes[f"member:{member['name']}"] == member["scores"][split]["digest"]
    val = read_scores("fusions/f/val.arrow")
    assert (
        record["metrics"]["fused"]["sample_map"] == evaluate(val.scores, label_matrix(val), "multi-label")["sample_map"]
    )
    metrics = {name: values["sample_map"] for name, values in record["metrics"].items()}
    assert metrics["fused"] >= metrics["cross_validated"] > metrics["equal_mean"]
    assert record["members"][0]["metrics"]["sample_map"] > record["members"][2]["metrics"]["sample_map"]


def test_json_and_a_second_time_the_same(runs: Path) -> None:
    first = json.loads(ensemble("good", "fair", "--name", "a", "--json", "--method", "search"))
    again = json.loads(ensemble("good", "fair", "--name", "b", "--json", "--method", "search"))
    assert first["members"] == again["members"]
    assert first["part_weights"] == again["part_weights"]
    assert [sum(weights) for weights in first["part_weights"]] == pytest.approx([1.0] * first["parts"])


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


def test_nothing_is_overwritten_and_force_leaves_the_rest(runs: Path) -> None:
    ensemble("good", "fair", "--name", "f", "--method", "mean-logits")
    Path("fusions/f/submission.csv").write_text("mine")
    before = {path.name: path.read_bytes() for path in Path("fusions/f").iterdir()}
    assert "exists already" in refused("good", "noise", "--name", "f")
    assert {path.name: path.read_bytes() for path in Path("fusions/f").iterdir()} == before
    ensemble("good", "noise", "--name", "f", "--force", "--apply", "none")
    assert sorted(path.name for path in Path("fusions/f").iterdir()) == [
        "fusion.json",
        "fusion.npz",
        "submission.csv",
        "val.arrow",
    ]
    assert Path("fusions/f/submission.csv").read_text() == "mine"


def test_a_failure_half_way_leaves_what_was_there(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble("good", "fair", "--name", "f")
    before = {path.name: path.read_bytes() for path in Path("fusions/f").iterdir()}

    def full(path: Path, *rows: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder_module, "write_blocks", full)
    for words in (("good", "noise", "--name", "f", "--force"), ("good", "noise", "--name", "g")):
        assert "the disk is full" in refused(*words)
    assert {path.name: path.read_bytes() for path in Path("fusions/f").iterdir()} == before
    assert not Path("fusions/g").exists()


def test_single_label_is_searched_for_top1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for run, strength in (("a", 2.0), ("b", 0.0)):
        write_run(tmp_path / "runs", run, strength=strength, task="single-label", classes=8)
    record = json.loads(ensemble("a", "b", "--json"))
    assert record["metric"] == "top1"
    assert set(record["metrics"]["fused"]) == {"top1", "top5", "counts"}
    assert "not a metric of a single-label task" in refused("a", "b", "--name", "x", "--metric", "sample_map")


def test_a_folder_whose_name_is_not_text(runs: Path) -> None:
    strange = runs.with_name(os.fsdecode(b"r\xff"))
    runs.rename(strange)
    assert "is not text" in refused("good", "fair", "--runs", str(strange))
    files = [str(path) for path in sorted(strange.glob("*/scores/*.arrow")) if "noise" not in str(path)]
    ensemble(*files, "--name", "f", "--method", "mean-logits")
    record = record_content(Path("fusions/f/fusion.json"))
    assert Path(record["members"][0]["scores"]["val"]["path"]).is_file()
    assert read_record(Path("fusions/f/fusion.json")).describes("val.arrow") == digest_of("fusions/f/val.arrow")
    before = Path("fusions/f/fusion.json").read_bytes()
    ensemble(*files, "--name", "f", "--method", "mean-logits")  # is there already
    assert Path("fusions/f/fusion.json").read_bytes() == before
