"""The page on formats: its blocks are run, and its tables are compared with what is written and read."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import BaseModel

from tests.helpers.key_tables import key_table
from tests.helpers.page_runs import run_page
from tests.helpers.page_set_ups import fused_pair
from tests.helpers.places import ROOT
from tinkit.fusion.spec import EnsembleSpec, MemberSpec, PublishedFusion
from tinkit.scores import ScoreInfo, read_scores
from tinkit.submission import Challenge, make_submission
from tinkit.submission.spec_parts import Asked, Document, Head

PAGE = ROOT / "docs" / "score-files.md"


def keys_of(table: str) -> list[str]:
    """The first column of the table that the page marks as ``table``."""
    text = PAGE.read_text().partition(f"<!-- keys: {table} -->\n")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


def test_the_blocks_do_what_they_say(tmp_path: Path) -> None:
    fused_pair(tmp_path)
    run_page(PAGE, tmp_path)


def test_every_key_that_is_written_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fused_pair(tmp_path)
    manifest = make_submission("pair", "mmit", Path("sub/mmit.csv")).manifest
    assert keys_of("manifest.json") == list(manifest) == list(json.loads(Path("sub/manifest.json").read_text()))
    record = json.loads(Path("fusions/pair/fusion.json").read_text())
    assert sorted(keys_of("fusion.json")) == sorted(record)
    assert keys_of("ScoreInfo") == [field.name for field in dataclasses.fields(ScoreInfo)]


def test_the_columns_are_those_of_a_file(tmp_path: Path) -> None:
    fused_pair(tmp_path)
    path = tmp_path / "fusions" / "pair" / "val.arrow"
    width = len(read_scores(path).info.classes)
    schema = pa.ipc.open_file(path).schema
    for name in schema.names:
        kind = str(schema.field(name).type).replace(f"[{width}]", "[C]").replace("item: ", "")
        assert f"| `{name}` | `{kind}` |" in PAGE.read_text()


@pytest.mark.parametrize("model", [EnsembleSpec, MemberSpec, PublishedFusion, Challenge, Head, Asked, Document])
def test_the_keys_of_a_toml_are_those_of_the_code(model: type[BaseModel]) -> None:
    assert key_table(model) in PAGE.read_text()
