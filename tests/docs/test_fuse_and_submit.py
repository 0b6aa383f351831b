"""The pages on fusing, submitting and an evening of both: what each command prints is what the page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.page_runs import run_page
from tests.helpers.page_set_ups import evening, foreign_scores, fused_pair, listed_runs, write_holes
from tests.helpers.places import ROOT
from tinkit.files.shipped import shipped_names
from tinkit.fusion import METHODS

FUSE, SUBMIT, EVENING = (ROOT / "docs" / name for name in ("fuse.md", "submit.md", "evening.md"))


def method_table() -> str:
    rows = [f"| `{row.name}` | {row.formula} | {'labels' if row.fit else 'nothing'} |" for row in METHODS.values()]
    return "\n".join(["| method | what becomes of the members' scores | needs |", "|---|---|---|", *rows]) + "\n"


@pytest.mark.slow
def test_the_page_on_fusing(tmp_path: Path) -> None:
    listed_runs(tmp_path)
    foreign_scores(tmp_path)
    run_page(FUSE, tmp_path)


def test_the_page_on_fusing_lists_the_table() -> None:
    assert method_table() in FUSE.read_text()


@pytest.mark.slow
def test_the_page_on_submitting(tmp_path: Path) -> None:
    fused_pair(tmp_path)
    write_holes(tmp_path)
    run_page(SUBMIT, tmp_path)


@pytest.mark.slow
def test_the_page_of_an_evening(tmp_path: Path) -> None:
    evening(tmp_path)
    run_page(EVENING, tmp_path)


def test_the_page_on_submitting_names_every_challenge() -> None:
    listed = SUBMIT.read_text().partition("names the rules:")[2].partition("toml")[0]
    assert re.findall(r"`(\w+)`", listed) == shipped_names("submissions")
