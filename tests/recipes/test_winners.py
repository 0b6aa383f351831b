"""The winners' ensemble: what it says of itself, and its fusion beside the published numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.helpers.fusion_members import write_run
from tinkit.engine.evaluation.compare import comparison_rows
from tinkit.errors import UserError
from tinkit.files.shipped import shipped
from tinkit.fusion import fuse, load_spec, resolve_members
from tinkit.fusion.spec import EnsembleSpec
from tinkit.recipe import load_recipe

WINNERS = shipped("ensembles") / "mmit_winners.toml"


@pytest.fixture
def fused(tmp_path: Path) -> Path:
    """The folder of a fusion of the winners' recipes, with made-up scores of the views that the ensemble asks for."""
    spec = load_spec(WINNERS, {"parts": 2, "method": "search"})
    for number, member in enumerate(spec.members):
        write_run(tmp_path / "runs", str(member.run), views=str(member.views), strength=0.5 + 0.2 * number)
    members = resolve_members(spec.members, spec.splits, tmp_path / "runs")
    return fuse(spec, members, tmp_path / "fusions" / spec.name).folder


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return comparison_rows([folder.name], folder.parent.parent / "runs", folder.parent)


def test_its_head_says_what_it_is() -> None:
    lines = WINNERS.read_text().splitlines()
    about = " ".join(line.removeprefix("# ") for line in lines if line.startswith("#"))
    assert lines[0].startswith("# A reconstruction")
    assert "never published" in about
    assert "TRN the report says that it did not work well" in about


def test_its_members_are_of_the_entrys_kinds() -> None:
    spec = load_spec(WINNERS)
    recipes = [load_recipe(str(member.run)).recipe for member in spec.members]
    kinds = {
        "slowfast" if recipe.model.is_3d else "trn" if "trn" in recipe.model.consensus else recipe.model.temporal
        for recipe in recipes
    }
    assert kinds == {"tsn", "tsm", "tin", "slowfast"}
    assert {recipe.model.backbone.removeprefix("slowfast_").removeprefix("resnet") for recipe in recipes} == {
        "50",
        "101",
    }
    frames = [recipe.clip.num_segments * (recipe.clip.stride if recipe.model.is_3d else 1) for recipe in recipes]
    assert (min(frames), max(frames)) == (5, 64)
    assert {recipe.data.dataset for recipe in recipes} == {"mmit"}
    assert [(entry.number, entry.split) for entry in spec.published] == [(67.22, "val"), (60.77, "test")]


def test_its_fusion_stands_beside_the_published_number(fused: Path) -> None:
    record = json.loads((fused / "fusion.json").read_text())
    estimate = 100 * record["metrics"]["cross_validated"]["sample_map"]
    rows = rows_of(fused)
    (val,) = (row for row in rows if row["published"] == 67.22)
    assert (val["split"], val["metric"], val["weights"]) == ("val", "sample_map", "cross-validated")
    assert val["measured"] == pytest.approx(estimate)
    assert val["difference"] == pytest.approx(estimate - 67.22)
    assert val["source"] == "arXiv 2003.05837"
    assert "members of these kinds" in val["note"]
    assert val["within"] is None
    (test,) = (row for row in rows if row["published"] == 60.77)  # nobody has its labels
    assert (test["split"], test["measured"], test["difference"]) == ("test", None, None)
    assert [row["published"] for row in rows if row["metric"] != "sample_map"] == [None, None]
    assert len({tuple(row) for row in rows}) == 1, "the columns of a table are those of its first row"


def test_where_auto_chose_the_estimate_of_the_choice_stands_there(fused: Path) -> None:
    path = fused / "fusion.json"
    record = json.loads(path.read_text())
    gain = {"value": 0.01, "low": 0.0, "high": 0.02}
    record["choice"] = {"nested": 0.5, "optimistic": 0.6, "equal_mean": 0.49, "improvement": gain}
    path.write_text(json.dumps(record))
    (val,) = (row for row in rows_of(fused) if row["published"] == 67.22)
    assert (val["weights"], val["measured"]) == ("nested", pytest.approx(50))
    others = {row["metric"]: row for row in rows_of(fused) if row["metric"] != "sample_map"}
    estimate = record["metrics"]["cross_validated"]["class_map"]
    assert others["class_map"]["weights"] == "cross-validated"
    assert others["class_map"]["measured"] == pytest.approx(100 * estimate)


def test_without_a_search_the_fusion_itself_stands_there(fused: Path) -> None:
    path = fused / "fusion.json"
    record = json.loads(path.read_text())
    record["metrics"]["cross_validated"] = None
    record["published"] = [{"number": 10, "metric": "sample_map", "source": "a paper", "spread": 200, "note": "else"}]
    path.write_text(json.dumps(record))
    (row,) = (row for row in rows_of(fused) if row["published"] is not None)
    # fitted on val, so what was measured there is shown and not judged
    assert row["measured"] is not None
    assert (row["difference"], row["within"]) == (None, None)
    assert row["note"] == "its weights have seen this split; else"
    record["metrics"]["cross_validated"] = record["metrics"]["fused"]
    path.write_text(json.dumps(record))
    (row,) = (row for row in rows_of(fused) if row["published"] is not None)
    assert (row["within"], row["spread"], row["note"]) == ("yes", 200, "else")


def test_a_fusion_of_before_has_no_published_numbers(fused: Path) -> None:
    path = fused / "fusion.json"
    record = json.loads(path.read_text())
    record.pop("published", None)
    path.write_text(json.dumps(record))
    rows = rows_of(fused)
    assert {row["published"] for row in rows} == {None}
    assert {row["split"] for row in rows} == {"val"}


def test_an_ensemble_that_was_not_fused_yet_shows_what_was_published(tmp_path: Path) -> None:
    rows = comparison_rows(["mmit_winners"], tmp_path / "runs", tmp_path / "fusions")
    assert [(row["published"], row["split"], row["measured"]) for row in rows] == [
        (67.22, "val", None),
        (60.77, "test", None),
    ]
    with pytest.raises(UserError, match="nothing was tested yet and nothing published"):
        comparison_rows(["mmit"], tmp_path / "runs", tmp_path / "fusions")


@pytest.mark.parametrize(
    "entry", [{"metric": "sample_map", "source": "x"}, {"number": 1, "metric": "map", "source": "x"}]
)
def test_a_published_entry_says_what_was_measured(entry: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EnsembleSpec.model_validate({"members": [{"run": "a"}], "published": [entry]})
