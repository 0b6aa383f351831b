"""The pages that are made of the code are what the code says; the picture is what the results say."""

from __future__ import annotations

import re
import shlex

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


def test_the_examples_of_commands_use_options_that_exist() -> None:
    """The page marks them as not run; they stand in the help, and so their words are checked here."""
    seen = 0
    for section in (FOLDER / "commands.md").read_text().split("\n## `")[1:]:
        called = section.partition("`")[0]
        options = {
            word
            for row in re.findall(r"^\| (`-.+?) \|", section, re.MULTILINE)
            for word in re.findall(r"`(-\S+)`", row)
        }
        for line in re.findall(r"^tinkit .+$", section, re.MULTILINE):
            assert line.startswith(called), f"{called}: {line}"
            used = {word for word in shlex.split(line) if re.match(r"--?[a-z]", word)}
            assert used <= options, f"{line}: {used - options}"
            seen += 1
    assert seen > 50
