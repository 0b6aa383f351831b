"""The pages that are made of the code are what the code says; the picture is what the results say."""

from __future__ import annotations

import pytest

from docs.made import FOLDER, files
from tests.helpers.places import ROOT
from tinkit.recipe import Recipe
from tinkit.submission.spec import Challenge


@pytest.mark.parametrize("name", sorted(files()))
def test_a_page_is_what_the_code_says(name: str) -> None:
    assert (FOLDER / name).read_text() == files()[name], "run `make docs`"


def test_every_key_is_listed_with_its_range_and_meaning() -> None:
    page = (FOLDER / "keys.md").read_text()
    row = "| `lr` | a number above 0 | *required* |"
    assert row in page
    assert '| `amp` | one of: auto, off, bf16, fp16 | `"off"` |' in page
    for table in (Recipe, Challenge):
        for key in table.model_fields:
            assert f"`{key}`" in page or f"`[{key}]`" in page or f"`[[{key}]]`" in page, key


def test_every_command_is_listed_with_its_options() -> None:
    page = (FOLDER / "commands.md").read_text()
    for called in ("train", "scores import", "kernels check", "data prepare"):
        assert f"\n## `tinkit {called}`\n" in page
    assert "| `--set` * | `KEY=VALUE` |" in page
    assert "| `--clips` | whole number | `1200` |" in page
    assert "| `--fill` | `prior`, `uniform` |" in page


def test_the_picture_shows_the_committed_results() -> None:
    assert (ROOT / "docs" / "static" / "demo.svg").stat().st_size < 10_000
    assert ">51.8<" in files()["static/demo.svg"]
