"""The page of `tinkit report`: what is in it, and that nothing in it is taken for markup."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import vl_convert
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.scored_runs import command
from tinkit.report import figures
from tinkit.report.page import MOST_BYTES, page_text
from tinkit.report.section import Figure, Section, Table
from tinkit.scores import read_scores, write_scores

EVERY = ["results", "members", "classes", "confusion", "calibration", "clips", "offsets", "curves", "speed", "broken"]


class Page(HTMLParser):
    """The sections, specifications of figures and rows of tables of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sections: list[str] = []
        self.specs: list[Any] = []
        self.rows: dict[str, list[list[str]]] = {}
        self.addresses: list[str] = []
        self._table, self._in_spec, self._cell = "", False, False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.addresses += [value for name in ("src", "href") if (value := found.get(name))]
        if tag == "section":
            self.sections.append(str(found["id"]))
        if tag == "table":
            self._table = str(found["id"])
            self.rows[self._table] = []
        if tag == "tr":
            self.rows[self._table].append([])
        self._in_spec = tag == "script" and found.get("type") == "application/json"
        if tag in ("td", "th"):
            self._cell = True
            self.rows[self._table][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")
        self._in_spec = False

    def handle_data(self, data: str) -> None:
        if self._in_spec:
            self.specs.append(json.loads(data))
        elif self._cell:
            self.rows[self._table][-1][-1] += data


def reported(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> Page:
    where = ("--runs", folder / "runs", "--fusions", folder / "fusions")
    assert command(monkeypatch, "report", *words, *where, "--out", folder / "page.html") == 0
    return Page((folder / "page.html").read_text())


@pytest.fixture
def copy(workshop: Path, tmp_path: Path) -> Path:
    shutil.copytree(workshop, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_page_holds_everything_and_asks_for_nothing(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = reported(copy, monkeypatch, "tsn", "tin", "both")
    assert page.sections == [*EVERY, "recipes"]
    assert "MB" in capsys.readouterr().out
    assert (copy / "page.html").stat().st_size < MOST_BYTES
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    for spec in page.specs:
        assert vl_convert.vegalite_to_svg(spec | {"width": 300} if "facet" not in spec else spec).startswith("<svg")
    head, *rows = page.rows["classes-table-1"]
    assert head == [
        "class",
        "clips",
        "AP tsn",
        "AP tin",
        "AP both",
        "tin over tsn",
        "both over tsn",
        "confused with",
        "times",
    ]
    table = read_scores(copy / "fusions" / "both" / "val.arrow")
    assert [row[0] for row in rows] == list(table.info.classes)
    for row in rows:
        if row[2] != "–":
            assert float(row[5]) == pytest.approx(float(row[3]) - float(row[2]), abs=0.011)
    assert {row[0] for row in page.rows["results-table-1"][1:]} == {"tsn", "tin", "both"}
    assert (copy / "page.html").read_text().count("data:image/jpeg;base64,") >= 12


def test_the_fusion_is_shown_as_its_record_has_it(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = json.loads((copy / "fusions" / "both" / "fusion.json").read_text())
    page = reported(copy, monkeypatch, "both")
    members = {row[0]: row for row in page.rows["members-table-1"][1:]}
    assert set(members) == {"tin", "tsn"}
    for one in record["members"]:
        assert float(members[one["name"]][4]) == pytest.approx(one["clips_per_s"], abs=0.006)
    choice = record["choice"]
    honest, optimistic, equal = page.rows["members-table-2"][1:]
    assert [float(honest[k]) for k in (1, 2, 3, 4)] == pytest.approx(
        [100 * value for value in (choice["nested"], *choice["improvement"].values())], abs=0.006
    )
    assert float(optimistic[1]) == pytest.approx(100 * choice["optimistic"], abs=0.006)
    assert float(equal[1]) == pytest.approx(100 * choice["equal_mean"], abs=0.006)
    assert [row[0] for row in page.rows["members-table-3"][1:]] == [one["name"] for one in choice["candidates"]]
    (grid,) = [spec for spec in page.specs if "correlation" in spec["description"]]
    drawn = [row["correlation"] for row in grid["data"]["values"]]
    assert drawn == [value for row in record["worth"]["correlation"] for value in row]
    (front,) = [spec for spec in page.specs if "clips a second" in spec["description"]]
    assert [row["clips/s"] for row in front["data"]["values"]] == [
        one["clips_per_s"] for one in record["front"]["subsets"]
    ]


def test_what_was_picked_for_a_budget_is_ringed() -> None:
    rows = [
        {"members": "a", "clips/s": 9.0, "value": 60.0, "front": "yes", "picked": "yes"},
        {"members": "a + b", "clips/s": 5.0, "value": 61.0, "front": "yes", "picked": ""},
    ]
    ringed = figures.front(rows, "what it is", by="clips/s", y_title="percent")
    plain = figures.front([row | {"picked": ""} for row in rows], "what it is", by="clips/s", y_title="percent")
    assert (len(ringed["layer"]), len(plain["layer"])) == (3, 2)
    assert vl_convert.vegalite_to_svg(ringed | {"width": 300}).startswith("<svg")


def test_offsets_are_those_that_the_run_recorded(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = pd.read_csv(copy / "runs" / "tin" / "offsets.csv")
    assert set(kept["epoch"]) == {0, 1}
    assert len(kept) == 2 * 4 * 4  # epochs, blocks of timm's test_resnet, groups
    for _, block in kept.groupby(["epoch", "block"]):
        by_group = block.set_index("group")["offset"]
        assert by_group[0] == pytest.approx(-by_group[2], abs=1e-6)  # half of the fold looks back, half ahead
        assert by_group.abs().max() < 2
    page = reported(copy, monkeypatch, "tin")
    (drawn,) = [spec for spec in page.specs if "facet" in spec]
    values = pd.DataFrame(drawn["data"]["values"])
    assert values["offset"].tolist() == pytest.approx(kept["offset"].tolist())
    assert values["epoch"].tolist() == (kept["epoch"] + 1).tolist()


def test_what_is_missing_is_said_on_the_page_and_beside_it(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "runs" / "tin" / "offsets.csv").unlink()
    for file in (copy / "runs" / "tsn" / "scores").glob("*.arrow"):
        file.unlink()
    recipe = copy / "runs" / "tin" / "recipe.toml"
    root = re.search(r'^root = "(.*)"', recipe.read_text(), re.MULTILINE)
    assert root
    recipe.write_text(recipe.read_text().replace(root[1], str(copy / "gone")))
    page = reported(copy, monkeypatch, "tsn", "tin")
    assert "absent" in page.sections
    said, text = capsys.readouterr().err, (copy / "page.html").read_text()
    for wanted in ("no offsets.csv", "tinkit test tsn --split val"):
        assert wanted in said
        assert wanted in text
    assert "No frames: " in text


def test_classes_that_look_like_markup_stay_text(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = (copy / "runs" / "tsn" / "scores").glob("*.arrow")
    table = read_scores(file)
    names = ("</script><script>alert(1)</script>", "<b>&amp;", "\x1b[31mred\u202e", *table.info.classes[3:])
    table = dataclasses.replace(table, scores=table.scores.copy(), info=dataclasses.replace(table.info, classes=names))
    file.unlink()
    write_scores(file, table)
    page = reported(copy, monkeypatch, "tsn", "--no-frames")
    rows = page.rows["classes-table-1"]
    assert [rows[1][0], rows[2][0]] == list(names[:2])
    assert rows[3][0] == "\\x1b[31mred\\u202e"
    assert "<script>alert" not in (copy / "page.html").read_text()


@settings(max_examples=50)
@given(st.text(max_size=20))
def test_no_text_breaks_out_of_a_specification_or_a_cell(text: str) -> None:
    rows = [{"class": text, "value": 1.5}]
    figure = Figure(text, figures.bars(rows, "class", "value", text, title="points"), Table(text, rows))
    page = Page(page_text(text, text, [Section("one", text, [text], [figure], [Table(text, rows, sortable=True)])], ""))
    assert page.sections == ["one"]
    assert len(page.specs) == 1
    assert page.specs[0]["data"]["values"][0]["value"] == 1.5
    assert set(page.rows) == {"one-figure-1-data", "one-table-1"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "no run is called 'nothing'"),
        (["tin", "tin"], "two of them are called tin"),
        (["tin", "--baseline", "tsm"], "--baseline tsm: not part of the report"),
    ],
)
def test_wrong_use_is_said(
    words: list[str], said: str, workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    out = tmp_path / "page.html"
    assert command(monkeypatch, "report", *words, "--runs", workshop / "runs", "--out", out) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()
