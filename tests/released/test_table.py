"""The table of released checkpoints against the recipes, torchvision's own table, and itself."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tinkit.errors import UsageError
from tinkit.recipe import load_recipe
from tinkit.released.names import released_names
from tinkit.released.table import find_released, fitting, released
from tinkit.timm_import import import_timm

ROWS = released()


def test_names_and_files_are_there_once() -> None:
    assert released_names() == [row.name for row in ROWS]
    assert len({row.name for row in ROWS}) == len({row.file for row in ROWS}) == len(ROWS)
    assert {row.code_base for row in ROWS} == {"x_temporal", "tsm", "mmaction2", "torchvision", "pyslowfast"}
    for row in ROWS:
        parts = urlsplit(row.address)
        assert (parts.scheme, bool(parts.hostname)) == ("https", True)
        assert row.name.rpartition("-")[2].removesuffix("_1x") == row.code_base
        assert row.resumes == (row.host != "drive.usercontent.google.com")
        assert row.code_base == "x_temporal" or row.address.endswith(f"/{row.file}")


def test_mmaction2s_and_torchvisions_names_hold_digits() -> None:
    for row in ROWS:
        assert bool(row.digits) == (row.code_base in ("mmaction2", "torchvision")), row.name
        assert not row.digits or row.file.partition(".")[0].endswith(row.digits)


def test_a_row_with_a_recipe_has_a_number_that_the_recipe_publishes() -> None:
    """But for files whose numbers are of other weights of the same network."""
    elsewhere = {"k400_tsm_r50-mmaction2", "k400_slowfast_50_4x16-pyslowfast", "k400_slowfast_50-pyslowfast"}
    checked = 0
    for row in ROWS:
        if not row.recipe:
            assert not row.set
            continue
        recipe = load_recipe(row.recipe, row.settings).recipe  # every key is one that there is
        if row.code_base == "torchvision" or row.name in elsewhere:
            continue
        checked += 1
        found = {(entry.number, entry.metric, entry.views) for entry in recipe.published}
        assert (row.number, row.metric, row.views) in found, row.name
    assert checked > 45


def test_torchvisions_rows_are_torchvisions() -> None:
    import_timm()
    from torchvision.models import get_model_weights, list_models

    own = {}
    for network in list_models():
        for weights in get_model_weights(network):
            scores = next(iter(weights.meta.get("_metrics", {"": {}}).values()))
            own[weights.url] = (weights.meta["_file_size"], scores.get("acc@1"))
    ours = {row.address: (row.mib, row.number) for row in ROWS if row.code_base == "torchvision"}
    assert len(ours) > 15
    assert ours == {address: own[address] for address in ours}


def test_names_are_found_and_mistakes_have_a_way_out() -> None:
    assert find_released("mmit_r50-x_temporal").recipe == "mmit_r50"
    with pytest.raises(UsageError, match="did you mean 'mmit_r50-x_temporal'") as caught:
        find_released("mmit_r50-xtemporal")
    assert caught.value.exit_code == 2
    assert len(fitting([])) == len(ROWS)
    assert {row.code_base for row in fitting(["tsm"])} == {"tsm"}
    assert {row.recipe for row in fitting(["sthv1_tsm_r50"])} == {"sthv1_tsm_r50"}
    assert {row.dataset for row in fitting(["mmit_*", "jester*"])} == {"Multi-Moments in Time", "Jester"}
    with pytest.raises(UsageError, match="no released checkpoint fits"):
        fitting(["tsm", "nothing*"])
