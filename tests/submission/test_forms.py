"""Whatever form a challenge asks for: what is written passes its check, and other programs read what was meant."""

from __future__ import annotations

import csv
import gzip
import io
import json
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.helpers.submission_tables import make_table
from tests.helpers.submissions import listing
from tinkit.errors import UserError
from tinkit.submission import (
    Answers,
    Challenge,
    Scored,
    check_submission,
    plan_submission,
    rehearse,
    write_submission,
)
from tinkit.submission.ids import read_ids

HARD = (
    "=1+1",
    "+a",
    "-b",
    "@c",
    "\tx",
    "../../etc/passwd",
    "a b",
    "x,y;z",
    'q"q',
    "'",
    "#",
    "nan",
    "é",
    "e\u0301",
    "日本",
)
NAMES = st.lists(
    st.sampled_from(HARD)
    | st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=6)
    | st.integers(0, 99).map(lambda n: f"{'long' * 400}{n}"),
    min_size=2,
    max_size=5,
    unique=True,
).filter(lambda names: all(name.strip() for name in names))
PLAIN = {"title": "x", "source": "x", "task": "multi-label", "rows": "scores", "metrics": ["class_map"]}
TEXT = {"delimiter": st.sampled_from(",;\t|"), "quoting": st.sampled_from(["csv", "all"]), "header": st.booleans()}


@st.composite
def challenges(draw: st.DrawFn) -> Challenge:
    """Rules of any form."""
    json_syntax = draw(st.booleans())
    rows = draw(st.sampled_from(["scores", "ranked", "long", "pairs"]))
    values: dict[str, Any] = {
        "title": "Drawn",
        "source": "a test",
        "task": "multi-label",
        "rows": rows,
        "syntax": "json" if json_syntax else "text",
        "labels": draw(st.sampled_from(["index", "text"])),
        "first_index": draw(st.sampled_from([0, 1])),
        "zip": draw(st.booleans()),
        "metrics": ["class_map"] if rows == "ranked" else ["class_map", "gap20"],
    }
    values["gz"] = not values["zip"] and draw(st.booleans())
    if not json_syntax:
        values |= {name: draw(choice) for name, choice in TEXT.items()}
        values |= {"id_column": "the name of the file"}
        values["columns"] = {"long": ["class", "its score"], "pairs": ["cell"]}.get(rows, "column {index}")
    elif rows == "long" or draw(st.booleans()):
        values["document"] = {"clips": "list", "results": draw(st.sampled_from(["", "found"]))}
    if rows != "scores":
        values |= {"top": draw(st.integers(1, 3)), "ties": draw(st.sampled_from(["first", "last"]))}
        if draw(st.booleans()):
            values |= {"threshold": draw(st.floats(0, 1)), "least": 1}
    elif json_syntax and draw(st.booleans()):
        values["document"] = {"scores": "array"} | values.get("document", {})
    if rows != "ranked" and draw(st.booleans()):
        values |= draw(st.sampled_from([{"decimals": 7}, {"precision": 9}, {"precision": 12}]))
    if values["zip"] and draw(st.booleans()):
        values["extra"] = {"readme.txt": "team\n"}
    return Challenge.model_validate(values)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data(), rules=challenges(), names=NAMES)
def test_there_and_back_in_any_form(
    data: st.DataObject, rules: Challenge, names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    width = 4
    levels = data.draw(st.lists(st.integers(0, 20), min_size=width * len(names), max_size=width * len(names)))
    scores = (np.array(levels, np.float32) / 20).reshape(-1, width)
    classes = ["Doing", "do=ing", "Über", "-x"]
    rows, ids = listing(*names), tuple(names)
    ending = "zip" if rules.zip else "gz" if rules.gz else "json" if rules.syntax == "json" else "csv"
    out = tmp_path_factory.mktemp("forms") / f"out.{ending}"
    plan = plan_submission(make_table(scores, ids=ids, classes=classes), rules, rows)
    write_submission(plan, out, inputs={}, ids=None)
    report = check_submission(out, rules, ids=rows, classes=classes)
    assert {problem.kind for problem in report.problems} <= {"alike", "ties"}, report.problems
    assert report.rows == len(names)
    assert names_by_others(out, rules) == names
    labels = tuple(tuple(np.flatnonzero(row > 0.4).tolist()) for row in scores)
    assume(any(labels))
    got = rehearse(out, rules, Answers(listing(*reversed(ids)), labels[::-1]), classes=classes)
    again = rehearse(out, rules, Answers(rows, labels), classes=classes)
    assert got.metrics == pytest.approx(again.metrics, nan_ok=True)
    if rules.rows == "scores":
        assert again.metrics["class_map"] == pytest.approx(1)


def names_by_others(out: Path, rules: Challenge) -> list[str]:
    """The file names that Python's own readers find."""
    if rules.zip:
        with zipfile.ZipFile(out) as archive:
            assert archive.namelist() == ["submission.csv", *rules.extra]
            text = archive.read("submission.csv").decode()
    else:
        text = (gzip.decompress(out.read_bytes()) if rules.gz else out.read_bytes()).decode()
    if rules.syntax == "json":
        document = json.loads(text)
        clips = document[rules.shape.results] if rules.shape.results else document
        found = list(clips) if rules.shape.clips == "object" else [clip["id"] for clip in clips]
    else:
        table = list(csv.reader(io.StringIO(text), delimiter=rules.delimiter, strict=True))
        found = [row[0] for row in table[rules.header :]]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_in_another_unicode_form_is_another_name_and_said(tmp_path: Path, form: Any) -> None:
    rules = Challenge.model_validate(PLAIN)
    name, other = (unicodedata.normalize(one, "Café") for one in ("NFC", "NFD"))
    name, other = (name, other) if form == "NFC" else (other, name)
    path = tmp_path / "a.csv"
    path.write_text(f"{other},0.5,0.25\nb,0.25,0.5\n")
    report = check_submission(path, rules, ids=listing(name, "b"))
    assert [problem.kind for problem in report.problems] == ["unknown id", "missing id"]
    assert "in another Unicode form" in report.problems[0].message


def test_ids_with_formulas_are_written_as_they_are_and_noted(tmp_path: Path) -> None:
    rules = Challenge.model_validate(PLAIN)
    table = make_table([[0.5, 0.25], [0.25, 0.5]], ids=["=cmd|' /C calc'!A0", "-7"])
    manifest = write_submission(plan_submission(table, rules, None), tmp_path / "a.csv", inputs={}, ids=None)
    assert (tmp_path / "a.csv").read_text() == "=cmd|' /C calc'!A0,0.5,0.25\n-7,0.25,0.5\n"
    assert any(note.startswith("1 names begin as a formula does") for note in manifest["notes"])


@settings(max_examples=8)
@given(names=NAMES, seed=st.integers(0, 2**16))
def test_a_missing_doubled_or_renamed_id_is_found(
    names: list[str], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rules = Challenge.model_validate(
        {
            "title": "x",
            "source": "x",
            "task": "multi-label",
            "rows": "scores",
            "quoting": "all",
            "metrics": ["class_map"],
        }
    )
    random = np.random.default_rng(seed)
    values = random.permuted(np.linspace(0.1, 0.9, 3 * len(names))).reshape(-1, 3)
    folder = tmp_path_factory.mktemp("ids")
    write_submission(plan_submission(make_table(values, ids=names), rules, None), folder / "a.csv", inputs={}, ids=None)
    lines = (folder / "a.csv").read_text().split("\n")[:-1]
    victim, donor = (int(place) for place in random.permutation(len(names))[:2])
    assert check_submission(folder / "a.csv", rules, ids=listing(*names)).ok
    changes = {
        "missing": ([line for i, line in enumerate(lines) if i != victim], {"missing id"}),
        "doubled": ([*lines, lines[victim]], {"doubled id"}),
        "renamed": (
            ['"zz' + line[1:] if i == victim else line for i, line in enumerate(lines)],
            {"unknown id", "missing id"},
        ),
        "instead": (
            [lines[donor] if i == victim else line for i, line in enumerate(lines)],
            {"doubled id", "missing id"},
        ),
    }
    for how, (changed, kinds) in changes.items():
        (folder / "b.csv").write_text("".join(f"{line}\n" for line in changed))
        report = check_submission(folder / "b.csv", rules, ids=listing(*names))
        assert not report.ok, how
        assert {problem.kind for problem in report.problems if problem.severity == "error"} == kinds, how


def test_heads_in_files_of_their_own_and_what_was_asked(tmp_path: Path) -> None:
    rules = Challenge.model_validate(
        {
            "title": "Two files",
            "source": "x",
            "task": "single-label",
            "rows": "ranked",
            "top": 1,
            "heads": {"verb": {"num_classes": 3}, "noun": {"num_classes": 4}},
            "joint": "action",
            "zip": True,
            "member": "{head}.csv",
            "extra": {"about.txt": "team {team}, open: {open}\n"},
            "asked": {"team": {"takes": "text", "meaning": "who"}, "open": {"takes": "boolean", "meaning": "code"}},
            "metrics": ["top1"],
            "file": "entry.zip",
        }
    )
    heads = {
        "verb": Scored(make_table(np.eye(3), task="single-label", ids=["a", "b", "c"])),
        "noun": Scored(make_table(np.eye(4)[[3, 1, 0]], task="single-label", ids=["a", "b", "c"])),
    }
    plan = plan_submission(heads, rules, listing("a", "b", "c"), answers={"team": "us", "open": True})
    write_submission(plan, tmp_path / "entry.zip", inputs={}, ids=None)
    with zipfile.ZipFile(tmp_path / "entry.zip") as archive:
        found = {name: archive.read(name).decode() for name in archive.namelist()}
    assert found == {"verb.csv": "a,0\nb,1\nc,2\n", "noun.csv": "a,3\nb,1\nc,0\n", "about.txt": "team us, open: True\n"}
    report = check_submission(tmp_path / "entry.zip", rules, ids=listing("a", "b", "c"))
    assert report.problems == ()
    truth = {"verb": ((0,), (1,), (0,)), "noun": ((3,), (0,), (0,))}
    got = rehearse(tmp_path / "entry.zip", rules, Answers(listing("a", "b", "c"), (), truth)).metrics
    assert got == {"action_top1": 1 / 3, "verb_top1": 2 / 3, "noun_top1": 2 / 3}
    (tmp_path / "entry.zip").rename(tmp_path / "other.zip")
    other = check_submission(tmp_path / "other.zip", rules, ids=listing("a", "b", "c"))
    assert [problem.kind for problem in other.problems if problem.severity == "error"] == ["file name"]


def test_ties_size_and_threshold(tmp_path: Path) -> None:
    table = make_table([[0.5, 0.5, 0.1], [0.9, 0.2, 0.3]])
    base = PLAIN | {"rows": "ranked", "top": 2}

    def written(folder: str, **changes: Any) -> tuple[str, list[str]]:
        out = tmp_path / folder / "a.csv"
        rules = Challenge.model_validate(base | changes)
        manifest = write_submission(plan_submission(table, rules, None), out, inputs={}, ids=None)
        return out.read_text(), manifest["notes"]

    text, notes = written("first")
    assert text == "c0,0,1\nc1,0,2\n"
    assert any("in 1 of 2 rows, classes of equal score" in note for note in notes)
    assert written("last", ties="last")[0] == "c0,1,0\nc1,0,2\n"
    assert written("some", threshold=0.4, least=1)[0] == "c0,0,1\nc1,0\n"
    assert any("takes 10" in note for note in written("large", max_bytes=10)[1])
    with pytest.raises(UserError, match="the clip c0 has classes of equal score"):
        written("refused", ties="refuse")
    assert not (tmp_path / "refused").exists()


def test_a_list_of_ids_may_be_in_windows_own_encoding(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_bytes("é.mp4\r\n日本.mp4\r\n".encode("utf-16"))
    assert read_ids(tmp_path / "ids.csv").ids == ("é.mp4", "日本.mp4")
