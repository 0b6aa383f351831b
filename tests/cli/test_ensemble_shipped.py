"""The ensembles that are shipped."""

from __future__ import annotations

import pytest

from tinkit.files.shipped import shipped, shipped_names
from tinkit.fusion import load_spec
from tinkit.recipe import load_recipe


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
