"""`tinkit models`: what is counted, what is listed, and the page made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from benchmarks.zoo import page, read, store
from tests.helpers.places import ROOT
from tinkit.cli.app import app
from tinkit.data.config.views import ClipConfig
from tinkit.engine.measure.networks import BACKBONES, NetworkRow, networks, published_words, row_of
from tinkit.errors import UsageError, UserError
from tinkit.files.shipped import shipped_names
from tinkit.models.backbones.families import FAMILIES, family_of
from tinkit.recipe import load_recipe
from tinkit.recipe.model import ModelConfig

COLUMNS = ["backbone", "temporal", "input", "parameters", "gflops", "clips_per_s", "published"]


def network(backbone: str, temporal: str, frames: int = 8, size: int = 224, **model: Any) -> NetworkRow:
    keys = {"backbone": backbone, "temporal": temporal} | model
    return NetworkRow(ModelConfig.model_validate(keys), ClipConfig(num_segments=frames, size=size))


@pytest.mark.parametrize(
    ("one", "parameters", "products"),
    [
        (network("resnet50", "tsm"), 24.33, 32.88),
        (network("resnet50", "tsm", 16), 24.33, 65.75),
        (network("resnet50", "tsm", non_local="embedded_gaussian"), 31.68, 61.30),
        (network("resnet101", "tsm"), 43.32, 62.66),
    ],
)
def test_cost_is_that_of_mmaction2s_tables(one: NetworkRow, parameters: float, products: float) -> None:
    """Which count norms and activations too: half a percent."""
    cost = one.cost()
    assert cost.parameters == pytest.approx(parameters, abs=0.01)
    assert cost.giga_products == pytest.approx(products, rel=0.006)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_convnext", "test_vit"])
def test_operators_count_what_they_compute(backbone: str) -> None:
    """A TIN costs its TSN and the steering networks: of each place's fold, three channels of a kernel of three."""
    plain, interlaced = (network(backbone, temporal, 8, 96) for temporal in ("tsn", "tin"))
    model = interlaced.build()
    steering = sum(
        8 * module.fold * 3 * 3 + 8 * 8 + 8 * 2
        for module in model.steering_modules().values()  # the Linear layers of OffsetNet are T x T and T x 2
    )
    assert steering > 0
    difference = 1e9 * (interlaced.cost().giga_products - plain.cost().giga_products)
    assert difference == pytest.approx(steering, abs=0.5)


def test_norms_are_left_out_without_a_change() -> None:
    one = network("test_resnet", "tsm", 4, 64)
    model = one.build()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(one.video(model))
    assert one.cost().giga_products == counter.get_total_flops() / 2e9


def test_every_family_is_in_the_table() -> None:
    assert {family_of(backbone).name for backbone in BACKBONES} >= {family.name for family in FAMILIES} - {
        "NFNet",
        "Swin-v2",
        "MetaFormer",
    }


def test_every_recipe_is_in_the_table_once() -> None:
    found = [recipe for network in networks() for recipe in network.published]
    wanted = [name for name in shipped_names("recipes") if load_recipe(name).recipe.published]
    assert sorted(found) == wanted
    names = [(one.model.backbone, one.words, one.input) for one in networks()]
    assert len(names) == len(set(names))


def test_one_network_of_several_recipes_is_one_row() -> None:
    (one,) = (one for one in networks(["resnet50"], ["tin"]) if one.input == "8 x 224")
    assert {"mmit_r50", "sthv1_tin_r50", "sthv2_tin_r50", "k400_tin_r50"} <= set(one.published)
    row = row_of(one, one.cost())
    assert list(row) == COLUMNS
    words = published_words(row["published"])
    assert words is not None
    assert "mmit_r50 62.2 / 62.8" in words
    assert "sthv2_tin_r50 56.48" in words, "one metric of one source"
    first = next(entry for entry in row["published"] if entry["recipe"] == "mmit_r50")
    assert (first["number"], first["metric"], first["views"]) == (62.2, "sample_map", "1x1")


def test_a_model_is_tested_on_the_frames_of_its_number() -> None:
    (one,) = (one for one in networks(["resnet50"], ["tsn"]) if "k400_tsn_r50" in one.published)
    assert one.input == "8 x 224"


def command(*words: str) -> Any:
    result = CliRunner().invoke(app, ["models", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_lists_what_is_asked_for() -> None:
    rows = json.loads(command("resnet1?", "slowfast_50", "--json"))
    assert [list(row) for row in rows] == [COLUMNS] * len(rows)
    assert {row["backbone"] for row in rows} == {"resnet18", "slowfast_50"}
    assert {row["temporal"] for row in rows if row["backbone"] == "resnet18"} == {"tsn", "tsm", "tin", "tin_online"}
    assert {row["clips_per_s"] for row in rows} == {None}
    shown = command("slowfast_50")
    assert "77.5" in shown


def test_a_model_of_timms_needs_not_be_in_the_table() -> None:
    (row,) = json.loads(command("test_vit2", "--temporal", "tin", "--json"))
    assert row["input"] == "8 x 160", "the only size that it takes"


def test_the_command_measures() -> None:
    (row,) = json.loads(command("test_resnet", "--temporal", "tin", "--bench", "--seconds", "0", "-q", "--json"))
    assert row["clips_per_s"] > 0


def test_what_does_not_fit_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'resnet50'"):
        command("resnet5")
    with pytest.raises(UsageError, match="no temporal module is called 'trn'; did you mean 'tsn'"):
        command("resnet50", "--temporal", "trn")
    with pytest.raises(UsageError, match=r"no network fits rasnet\*") as caught:
        command("rasnet*")
    assert "resnet50" in str(caught.value)


def test_the_page_is_made_of_the_recipes_and_the_csv() -> None:
    """`python -m benchmarks.zoo --docs` makes it anew."""
    records = read(ROOT / "benchmarks" / "results" / "models_zoo.csv")
    made = page(networks(), records)
    assert made == (ROOT / "docs" / "models.md").read_text()
    for name in shipped_names("recipes"):
        assert f"| `{name}` |" in made


def test_the_csv_has_what_is_counted() -> None:
    records = {
        (row["backbone"], row["temporal"], row["input"]): row
        for row in read(ROOT / "benchmarks/results/models_zoo.csv")
    }
    assert set(records) == {(one.model.backbone, one.words, one.input) for one in networks()}
    for one in networks(["resnet50", "mobilenetv2_100", "slowfast_50"]):
        row, cost = records[one.model.backbone, one.words, one.input], one.cost()
        assert (float(row["parameters"]), float(row["gflops"])) == (
            round(cost.parameters, 2),
            round(cost.giga_products, 2),
        )


def test_a_network_timed_again_replaces_its_row(tmp_path: Path) -> None:
    path = tmp_path / "zoo.csv"
    row = dict.fromkeys(
        ("date", "machine", "backbone", "temporal", "input", "parameters", "gflops", "clips_per_s"), "1"
    )
    for change in ({}, {"temporal": "tin"}, {"clips_per_s": "2", "machine": "another"}):
        store(row | change, path)
    assert [(one["temporal"], one["clips_per_s"]) for one in read(path)] == [("1", "2"), ("tin", "1")]
