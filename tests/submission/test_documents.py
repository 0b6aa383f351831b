"""JSON documents that any program may have written: each fault said on its line, none costs memory or a traceback."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.submissions import found, listing
from tinkit.submission import Challenge, CheckReport, check_submission, load_challenge

KINETICS, _ = load_challenge("kinetics")
EPIC, _ = load_challenge("epic100")
NAMES = [f"Doing {i}" for i in range(7)]
LIST = Challenge.model_validate(
    {
        "title": "x",
        "source": "x",
        "task": "multi-label",
        "syntax": "json",
        "rows": "long",
        "top": 2,
        "document": {"clips": "list", "results": ""},
        "metrics": ["class_map"],
    }
)


def document(**changes: Any) -> dict[str, Any]:
    pairs = [{"label": f"Doing {i}", "score": 0.5 - i / 10} for i in range(5)]
    whole = {"version": "VERSION 1.3", "external_data": {"used": False, "details": ""}, "results": {"a" * 11: pairs}}
    return whole | changes


def judge(folder: Path, content: Any, rules: Challenge = KINETICS, **options: Any) -> CheckReport:
    path = folder / "sub.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content, indent=1).encode())
    return check_submission(path, rules, **({"classes": NAMES} if rules is KINETICS else {}) | options)


def test_a_good_document(tmp_path: Path) -> None:
    report = judge(tmp_path, document(), ids=listing("v_" + "a" * 11 + ".mp4", "b" * 11))
    assert report.ok
    assert found(report) == [(None, "missing id")]  # it counts as wrong
    assert report.warnings == 1


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"version": "VERSION 1.2"}, "field", "version is 'VERSION 1.2', not 'VERSION 1.3'"),
        ({"external_data": True}, "field", "external_data is True, expected an object"),
        (
            {"external_data": {"used": "no", "details": ""}},
            "field",
            "external_data.used is 'no', expected true or false",
        ),
        ({"external_data": {"used": True}}, "field", "external_data.details is missing"),
        ({"results": []}, "unreadable", "results is not an object"),
        ({"results": {"a" * 11: "x"}}, "entry", "expected a list of labels with their scores, found 'x'"),
        ({"results": {"a" * 11: [{"label": "Doing 1"}]}}, "entry", "expected an object with 'label' and 'score'"),
        ({"results": {"a" * 11: [{"label": 1, "score": 1}]}}, "entry", "1 is not a label, expected a text"),
        ({"results": {"a" * 11: [{"label": "Doing 1", "score": "1"}]}}, "entry", "'1' is not a number"),
        ({"results": {"a" * 11: [{"label": "Doing 1", "score": True}]}}, "entry", "True is not a number"),
        ({"results": {"a" * 11: [{"label": "Doing 1", "score": float("nan")}]}}, "not finite", "score 1 is nan"),
        ({"results": {"a" * 11: [{"label": "Doing 1", "score": 10**400}]}}, "entry", "too large"),
        ({"results": {"a" * 11: [{"label": "Doing 1", "score": 2}]}}, "not a probability", "score 1 is 2"),
        ({"results": {"a" * 11: [{"label": "Doing 9", "score": 1}]}}, "unknown label", "'Doing 9' is not a class"),
        ({"results": {"a" * 11: [{"label": "Doing 1", "score": 1}] * 2}}, "doubled label", "twice"),
        ({"results": {"a" * 11: []}}, "labels", "0 labels, expected 1 to 5"),
        ({"results": {"v_" + "a" * 11: []}}, "name", "should be 'aaaaaaaaaaa'"),
        ({"results": {}}, "empty", "no rows"),
        ({"results": {"\ud800": []}}, "name", "is not a file name"),
    ],
)
def test_each_fault_of_a_document(tmp_path: Path, changes: dict[str, Any], kind: str, words: str) -> None:
    report = judge(tmp_path, document(**changes))
    assert not report.ok
    assert any(problem.kind == kind and words in problem.message for problem in report.problems), report.problems


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (b"", 1, "cut short"),
        (b"[]", 1, "the document is not an object"),
        (b'{"version": "VERSION 1.3",\n"results": {"aaaaaaaaaaa": [', 2, "not valid JSON"),
        (b'{"results": {}}\n\nx', 3, "something follows"),
        (b'{"results": {"aaaaaaaaaaa": [{"label": "a",\n"label": "b"}]}}', 1, "has the key 'label' twice"),
        (b'{"version": \xff}', 1, "not UTF-8"),
        (b'\xef\xbb\xbf{"results": {}}', 1, "byte order mark"),
        (b'{"version": 1}', None, "has no key 'results'"),
        (b'{"results": ' + b"[" * 100_000, 1, "results is not an object"),
        (b'{"version": ' + b"[" * 100_000, 1, "nested too deep"),
        (b'{"version": ' + b"1" * 5000 + b"}", 1, "thousands of digits"),
    ],
)
def test_what_is_no_document(tmp_path: Path, text: bytes, line: int | None, words: str) -> None:
    report = judge(tmp_path, text)
    (problem,) = [problem for problem in report.problems if problem.kind == "unreadable"]
    assert words in problem.message
    assert problem.line == line


def test_two_results_and_two_names(tmp_path: Path) -> None:
    entry = b'"aaaaaaaaaaa": [{"label": "Doing 1", "score": 1}]'
    fields = b'"version": "VERSION 1.3", "external_data": {"used": true, "details": "x"}, "more": 1'
    report = judge(tmp_path, b"{" + fields + b', "results": {' + entry + b",\n" + entry + b'}, "results": {}}')
    assert found(report) == [(1, "field"), (2, "doubled id"), (2, "field")]


def test_heads_want_all_classes(tmp_path: Path) -> None:
    good = {"verb": {str(c): c / 97 for c in range(97)}, "noun": {str(c): -c for c in range(300)}}
    whole = {"version": "0.2", "challenge": "action_recognition", "sls_pt": 2, "sls_tl": 3, "sls_td": 6}

    def report(entry: Any, **changes: Any) -> CheckReport:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("test.json", json.dumps(whole | changes | {"results": {"P01_101_0": entry}}))
        return check_submission(path, EPIC)

    assert [p.message for p in report(good).problems] == ["sls_td is 6, expected a whole number from 0 to 5"]
    assert report(good, sls_td=4).ok
    assert "expected an object with 'verb' and 'noun'" in report({"verb": good["verb"]}, sls_td=4).problems[0].message
    short = good | {"verb": {str(c): 0.5 for c in range(96)}}
    assert report(short, sls_td=4).problems[0].message == "96 scores, expected 97"
    renamed = good | {"verb": {str(c + 1): c for c in range(97)}}
    assert report(renamed, sls_td=4).problems[0].message == "'97' is not the index of a class, expected 0 to 96"


def test_a_list_of_objects(tmp_path: Path) -> None:
    told = (("a", 0, 0.5), ("a", 1, 0.25), ("b", 1, 1))
    rows = [{"id": name, "label": label, "score": score} for name, label, score in told]
    assert found(judge(tmp_path, [*rows, rows[2] | {"label": 0, "score": 0}], LIST, num_classes=2)) == []
    assert {kind for _, kind in found(judge(tmp_path, rows, LIST, num_classes=2))} == {"labels"}
    apart = [rows[0], rows[2], rows[1], rows[2] | {"label": 0}]
    assert "doubled id" in {kind for _, kind in found(judge(tmp_path, apart, LIST, num_classes=2))}
    assert found(judge(tmp_path, [{"label": 0, "score": 1}], LIST, num_classes=2))[0] == (2, "name")


@settings(max_examples=40)
@given(place=st.floats(0, 1), removed=st.integers(0, 4), added=st.binary(max_size=4))
def test_no_change_of_bytes_ends_in_a_traceback(
    place: float, removed: int, added: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = json.dumps(document()).encode()
    at = int(place * len(whole))
    judge(tmp_path_factory.mktemp("json"), whole[:at] + added + whole[at + removed :])


def test_a_document_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.submission.reading.stream._CHUNK", 1 << 14)
    entry = json.dumps(document()["results"]["a" * 11])
    entries = ",".join(f'"{number:011d}": {entry}' for number in range(4000))
    path = tmp_path / "large.json"
    path.write_text(json.dumps(document(results=None)).replace("null}", f"{{{entries}}}}}"))
    tracemalloc.start()
    try:
        report = check_submission(path, KINETICS, classes=NAMES)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (report.errors, report.rows) == (0, 4000)
    assert peak < 3 << 20  # the names that were seen; the values alone would be ten times as large
