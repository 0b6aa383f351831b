"""``tinkit ensemble FUSION --apply SPLIT``: what was learned before, on other clips, by another process; or refused."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.ensembles import changed_info, ensemble, refused, three_runs
from tests.helpers.fusion_members import scores_of
from tests.helpers.score_files import digest_of
from tinkit.files.hashes import sha256_file
from tinkit.fusion import METHODS
from tinkit.fusion.record import record_content
from tinkit.scores import read_scores, write_scores

RUNS = (("good", 2.5), ("fair", 1.0), ("noise", 0.0))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs that were tested on a third split, ``late``, too: its clips are those of test by other names."""
    monkeypatch.chdir(tmp_path)
    folder = three_runs(tmp_path)
    for run, _ in RUNS:
        table = read_scores(folder / run / "scores" / "test-1x1-best.arrow")
        info = dataclasses.replace(table.info, split="late")
        write_scores(late(run), dataclasses.replace(table, info=info, scores=np.array(table.scores)))
    return folder


def late(run: str) -> Path:
    return Path("runs") / run / "scores" / "late-1x1-best.arrow"


@pytest.mark.parametrize("method", [*METHODS, "auto"])
def test_what_was_learned_is_applied_just_as_when_it_was_fitted(runs: Path, method: str) -> None:
    ensemble("good", "fair", "noise", "--name", "f", "--method", method, "--parts", "3")
    before = {path.name: path.read_bytes() for path in Path("fusions/f").iterdir() if path.suffix != ".json"}
    assert "fusions/f/late.arrow" in ensemble("fusions/f", "--apply", "late")
    test, applied = read_scores("fusions/f/test.arrow"), read_scores("fusions/f/late.arrow")
    np.testing.assert_array_equal(applied.scores, test.scores)
    assert applied.info.split == "late"
    for name in ("kind", "trained_on", "run", "classes"):
        assert getattr(applied.info, name) == getattr(test.info, name)
    assert applied.info.hashes["checkpoint"] == test.info.hashes["checkpoint"]
    for name, data in before.items():
        assert (Path("fusions/f") / name).read_bytes() == data
    record = record_content(Path("fusions/f/fusion.json"))
    assert record["outputs"]["late"]["digest"] == digest_of("fusions/f/late.arrow")
    assert record["missing_clips"]["late"] == {"all": 0}
    assert record["members"][0]["scores"]["late"]["path"] == str(late("good").absolute()) or str(late("good"))
    assert "nothing was changed" in ensemble("f", "--apply", "late")
    again = ("good", "fair", "noise", "--name", "f", "--method", method, "--parts", "3")
    assert "nothing was changed" in ensemble(*again) or Path("fusions/f/late.arrow").is_file()


def fused() -> None:
    ensemble("good", "fair", "--name", "f", "--method", "stack", "--parts", "3")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"kind": "probabilities"}, "kind 'probabilities', not 'logits'"),
        ({"hashes": {"checkpoint": "another"}}, "another checkpoint"),
        ({"classes": tuple(f"class {5 - k}" for k in range(6))}, "the classes in another order"),
        ({"classes": tuple("abcdef")}, "other classes"),
        ({"trained_on": ("train", "val")}, "was trained on 'val', which the fusion was fitted on"),
        ({"average": "probabilities"}, "average 'probabilities', not 'logits'"),
        ({"protocol": {"crop": 7}}, "protocol"),
        ({"dataset": "other"}, "dataset 'other', not 'toy'"),
        ({"views": "2x3"}, "has no scores of split 'late' with views '1x1'"),
    ],
)
def test_scores_unlike_those_that_were_fused_are_refused(runs: Path, facts: dict[str, Any], said: str) -> None:
    fused()
    if "kind" in facts:
        table = read_scores(late("fair"))
        scores = 1 / (1 + np.exp(-table.scores))
        write_scores(
            late("fair"), dataclasses.replace(table, scores=scores, info=dataclasses.replace(table.info, **facts))
        )
    else:
        changed_info(late("fair"), **facts)
    message = refused("f", "--apply", "late")
    assert "member 'fair'" in message
    assert said in message
    assert not Path("fusions/f/late.arrow").exists()


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_a_damaged_member_leaves_nothing_written(runs: Path, place: float) -> None:
    """Its values are checked while they are fused: no result of them is put in place."""
    fused()
    data = bytearray(late("fair").read_bytes())
    at = data.index(read_scores(late("fair")).scores.tobytes()) + int(place * read_scores(late("fair")).scores.nbytes)
    data[at] ^= 0x10
    late("fair").write_bytes(data)
    before = {path: path.read_bytes() for path in Path("fusions").rglob("*") if path.is_file()}
    message = refused("f", "--apply", "late")
    assert "fair/scores/late-1x1-best.arrow: damaged" in message
    assert {path: path.read_bytes() for path in Path("fusions").rglob("*") if path.is_file()} == before


def test_scores_that_lie_elsewhere_are_named(runs: Path) -> None:
    fused()
    late("fair").rename("elsewhere.arrow")
    assert "name the file: --with FILE" in refused("f", "--apply", "late")
    Path("unlike.arrow").write_bytes(Path("runs/noise/scores/late-1x1-best.arrow").read_bytes())
    with_both = ("f", "--apply", "late", "--with", "elsewhere.arrow")
    assert "is of no member of" in refused(*with_both, "--with", "unlike.arrow")
    ensemble(*with_both)
    assert read_scores("fusions/f/late.arrow").info.split == "late"


def test_other_scores_of_a_split_need_force_and_labels_are_measured(runs: Path) -> None:
    fused()
    ensemble("f", "--apply", "late")
    table = scores_of("fair", "late", strength=1.0)
    changed = scores_of("good", "late", strength=2.5)
    for one, run in ((table, "fair"), (changed, "good")):
        write_scores(late(run), one)
    assert "exists already, of other scores" in refused("f", "--apply", "late")
    shown = ensemble("f", "--apply", "late", "--force")
    assert "measured on late" in shown
    rows = json.loads(ensemble("f", "--apply", "late", "--json"))
    assert rows == [
        {"split": "late", "path": "fusions/f/late.arrow", "missing_clips": {}, "metrics": None, "written": False}
    ]


def test_damaged_arrays_are_refused(runs: Path) -> None:
    fused()
    path = Path("fusions/f/fusion.npz")
    whole, record = path.read_bytes(), Path("fusions/f/fusion.json").read_text()
    path.write_bytes(whole[:-1] + b"x")
    assert "its SHA-256 is not the one that fusion.json names" in refused("f", "--apply", "late")
    path.unlink()
    assert "there is no such file" in refused("f", "--apply", "late")

    def replaced(arrays: dict[str, Any]) -> str:
        with path.open("wb") as sink:
            np.savez(sink, **arrays)
        old = json.loads(record)["arrays"]["sha256"]
        Path("fusions/f/fusion.json").write_text(record.replace(old, sha256_file(path)))
        return refused("f", "--apply", "late")

    good = {"weights": np.ones(2), "bias": np.zeros(6), "scale": np.ones(2), "centre": np.ones(1)}
    assert "'bias' is not float64 of shape (6,)" in replaced(good | {"bias": np.zeros(7)})
    assert "'scale' holds what is not a finite number" in replaced(good | {"scale": np.array([1, np.nan])})
    assert "not an npz of arrays" in replaced(good | {"weights": np.array([Bomb(), Bomb()], object)})


class Bomb:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pickle.loads, (b"not to be reached",))


def test_a_fusion_alone_is_applied_and_not_made_anew(runs: Path) -> None:
    fused()
    for words in (("f",), ("f", "--apply", "late", "--method", "stack"), ("fusions/f", "--fit", "val")):
        assert "is a fusion already" in refused(*words)
    assert "--with names scores for a fusion" in refused("good", "fair", "--with", "x.arrow")


def test_the_same_scores_twice_are_said(runs: Path) -> None:
    for split in ("val", "test"):
        table = read_scores(f"runs/good/scores/{split}-1x1-best.arrow")
        info = dataclasses.replace(table.info, run="copy")
        path = runs / "copy" / "scores" / f"{split}-1x1-best.arrow"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_scores(path, dataclasses.replace(table, info=info, scores=np.array(table.scores)))
    shown = ensemble("good", "fair", "copy", "--name", "f", "--method", "mean-logits")
    assert "members 'good' and 'copy' have the same scores: together they count twice" in " ".join(shown.split())


def test_ranks_that_lose_are_said(runs: Path) -> None:
    shown = " ".join(ensemble("good", "fair", "noise", "--name", "f", "--method", "mean-ranks").split())
    assert "less than the mean of logits: ranks forget how sure a member was" in shown


def test_weights_by_hand_stand_in_the_toml(runs: Path) -> None:
    Path("hand.toml").write_text('name = "hand"\n[[members]]\nrun = "good"\nweight = 1.5\n[[members]]\nrun = "fair"\n')
    record = json.loads(ensemble("hand.toml", "--scale", "none", "--json"))
    assert (record["method"], [one["weight"] for one in record["members"]]) == ("by-hand", [0.6, 0.4])
    good, fair = (read_scores(f"runs/{run}/scores/test-1x1-best.arrow").scores for run in ("good", "fair"))
    np.testing.assert_allclose(read_scores("fusions/hand/test.arrow").scores, 0.6 * good + 0.4 * fair, atol=1e-5)
    json.loads(ensemble("hand.toml", "--name", "plain", "--method", "mean-logits", "--json"))
    Path("bad.toml").write_text('method = "search"\n[[members]]\nrun = "good"\nweight = 1.5\n')
    assert "weight: a member's weight means nothing with method = 'search'" in refused("bad.toml")


def test_members_of_ranks_are_fused_as_ranks(runs: Path) -> None:
    for run, _ in RUNS:
        ensemble(run, "--name", f"ranks-{run}", "--method", "mean-ranks")
    words = [f"fusions/ranks-{run}" for run, _ in RUNS]
    record = json.loads(ensemble(*words, "--name", "all", "--parts", "3", "--json"))
    assert record["takes"] == "ranks"
    assert record["chosen"] in ("mean-ranks", "stack-classes", "stack-mixed")
    assert record["metrics"]["fused"]["sample_map"] > record["metrics"]["equal_mean"]["sample_map"]
