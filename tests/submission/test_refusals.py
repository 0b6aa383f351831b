"""What is refused on the way to a submission names the file, the line and what is wrong there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.submission_tables import SINGLE, challenge, make_table
from tinkit.errors import UserError
from tinkit.submission import IdList, check_submission, plan_submission, read_answers, read_ids, rehearse
from tinkit.submission import text as text_module
from tinkit.submission.findings import Findings
from tinkit.submission.manifest import described_by
from tinkit.submission.text import field_text, open_bytes, read_lines, zip_members
from tinkit.submission.write import refuse_overwriting

V2 = challenge("sthv2", top=2, metrics=("top1",))


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(call: Callable[[], Any]) -> tuple[str | None, int | None, str]:
    """The file, the line and the problem of the error that ``call`` ends in."""
    with pytest.raises(UserError) as caught:
        call()
    return caught.value.file, caught.value.line, caught.value.problem


# -- the list of test clips --


@pytest.mark.parametrize(
    ("name", "content", "line", "problem"),
    [
        ("a.csv", 'a,1\nb,"2\n', 2, "unexpected end of data"),
        ("a.csv", "a,1\n,2\n", 2, "a row without an id"),
        ("a.txt", "a\nb\na\n", 3, "'a' is listed twice, in line 1 and in line 3"),
        ("a.json", '["a", "b", "a"]', None, "'a' is listed twice, in entry 1 and in entry 3"),
        ("a.json", "{}", None, "holds no list of clips"),
        ("a.json", '["a", 5, ""]', None, "entry 3 has no id"),
        ("a.txt", "\n\n", None, "lists no clip"),
    ],
)
def test_a_bad_list_of_clips(tmp_path: Path, name: str, content: str, line: int | None, problem: str) -> None:
    path = put(tmp_path / name, content)
    assert refusal(lambda: read_ids(path)) == (str(path), line, problem)


def test_a_list_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.submission.ids._MAX_JSON", 1 << 20)
    whole = put(tmp_path / "a.json", '["a"]'.ljust(1 << 20))
    assert read_ids(whole).ids == ("a",)
    put(whole, '["a"]'.ljust((1 << 20) + 1))
    assert refusal(lambda: read_ids(whole)) == (str(whole), None, "larger than 1 MiB")


def test_a_json_list_says_which_of_two_forms_it_has(tmp_path: Path) -> None:
    assert read_ids(put(tmp_path / "a.json", '["a", "b"]')).form == "json: a list of ids"
    assert read_ids(put(tmp_path / "a.json", '[{"id": "a"}]')).form == 'json: a list of {"id": ...}'
    assert read_ids(put(tmp_path / "a.json", '[{"id": 7}]')).lines == (1,)


def test_a_folder_with_a_name_that_is_not_text(tmp_path: Path) -> None:
    put(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")), "x")
    file, _, problem = refusal(lambda: read_ids(tmp_path))
    assert (file, problem) == (str(tmp_path), r"holds the file '\udcff.mp4', whose name is not text")


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    scan = os.scandir

    def refuses(folder: Path) -> Any:
        if Path(folder) == inner:
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuses)
    assert refusal(lambda: read_ids(tmp_path)) == (str(inner), None, "cannot be listed: Permission denied")


# -- the answers --


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ("video,labels\na,1\n", 1, "the header is 'video,labels'"),
        ("id,labels\na,1\n\nb,-2\n", 4, "no answer: a negative index"),
        ("id,labels\na,1\na,2\n", 3, "'a' is there already, in line 2"),
        ("id,labels\n", None, "holds no answers"),
    ],
)
def test_bad_answers(tmp_path: Path, content: str, line: int | None, problem: str) -> None:
    path = put(tmp_path / "answers.csv", content)
    assert refusal(lambda: read_answers(path)) == (str(path), line, problem)


def test_answers_and_file_that_do_not_fit(tmp_path: Path) -> None:
    file = put(tmp_path / "sub.csv", "a;0;1\nb;1;0\n")
    answers = put(tmp_path / "answers.csv", "id,labels\na,1\nc,0\n")
    said = (str(file), 2, "there is no answer for 'b'")
    assert refusal(lambda: rehearse(file, V2, read_answers(answers), num_classes=3)) == said
    put(answers, "id,labels\na,2\n\nb,3\n")
    said = (str(answers), 4, "there is no class 3")
    assert refusal(lambda: rehearse(file, V2, read_answers(answers), num_classes=3)) == said
    put(answers, "id,labels\na,2\nb,0\n")
    assert rehearse(file, V2, read_answers(answers), num_classes=3).metrics == {"top1": 0.0}


# -- the scores --


def test_label_texts_that_cannot_stand_in_a_row_name_the_score_file() -> None:
    path = Path("scores.arrow")
    for classes, problem in (
        (["a", "b;c"], "class 1: 'b;c' holds the delimiter ';', which this format cannot quote"),
        (["a", "b", "a"], "classes 0 and 2 are both called 'a'"),
    ):
        table = make_table([[1.0] * len(classes)], task=SINGLE, kind="logits", classes=classes)
        call = lambda table=table: plan_submission(table, challenge("sthv1"), None, scores_path=path)  # noqa: E731
        assert refusal(call) == (str(path), None, problem)


def test_scores_that_do_not_fit_the_list_name_the_score_file() -> None:
    path, listed = Path("scores.arrow"), IdList(Path("ids.txt"), "text: an id a line", ("a", "z"), (1, 2))
    table = make_table([[0.5], [0.5]], ids=["a", "b"])
    with pytest.raises(UserError) as caught:
        plan_submission(table, challenge("mmit"), listed, scores_path=path)
    assert caught.value.file == "scores.arrow"
    assert caught.value.problem == (
        "1 of 2 test clips have no row of scores: z; 1 clips are not in the list of test clips: b"
    )
    assert caught.value.expected == "the clips of ids.txt (text: an id a line)"


# -- the file and its place --


def test_a_line_may_have_so_many_bytes_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "MAX_LINE", 8)

    def read(content: bytes) -> list[tuple[int, str]]:
        with open_bytes(put(tmp_path / "a", content)) as handle:
            return list(read_lines(handle, tmp_path / "a"))

    assert read(b"abcdefg\nXX\r\nabcdefgh") == [(1, "abcdefg"), (2, "XX"), (3, "abcdefgh")]
    for content in (b"ab\nabcdefgh\n", b"ab\nabcdefghi"):
        said = (str(tmp_path / "a"), 2, "a line longer than 8 bytes")
        assert refusal(lambda content=content: read(content)) == said
    marked = (str(tmp_path / "a"), 1, "starts with a byte order mark")
    assert refusal(lambda: read(b"\xef\xbb\xbfa\n")) == marked
    monkeypatch.setattr(text_module, "MAX_BYTES", 6)
    assert read(b"ab\nde\n") == [(1, "ab"), (2, "de")]
    assert refusal(lambda: read(b"ab\nde\n\n"))[:2] == (str(tmp_path / "a"), 3)


def test_a_text_that_is_half_a_character_has_no_place_in_a_row() -> None:
    with pytest.raises(ValueError, match=r"^'a\\udcff' is not text$"):
        field_text("a\udcff", ",", "csv")


def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    place = tmp_path / "manifest.json"
    place.symlink_to("/proc/self/mem")  # its first page cannot be read
    assert refusal(lambda: described_by(place)) == (str(place), None, "cannot be read: Input/output error")


def test_a_folder_is_not_a_manifest_of_ours(tmp_path: Path) -> None:
    place = tmp_path / "manifest.json"
    place.mkdir()
    assert described_by(place) is None


def test_an_archive_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = put(tmp_path / "a.zip", b"PK\x03\x04 and then nothing")
    file, _, problem = refusal(lambda: zip_members(path))
    assert file == str(path)
    assert problem.startswith("not a zip archive that can be read: ")


def test_a_manifest_without_its_submission_is_in_the_way(tmp_path: Path) -> None:
    out, manifest = tmp_path / "a.csv", put(tmp_path / "manifest.json", json.dumps({"file": "a.csv"}))
    assert refusal(lambda: refuse_overwriting(out, [], force=False)) == (str(manifest), None, "is there already")
    assert refuse_overwriting(out, [], force=True) is None
    put(out, "mine")
    assert refusal(lambda: refuse_overwriting(out, [], force=False)) == (str(out), None, "is there already")


# -- what the judge says --


def messages(tmp_path: Path, content: str | bytes, rules: Any, **options: Any) -> list[str]:
    report = check_submission(put(tmp_path / "sub.csv", content), rules, **options)
    return [problem.message for problem in report.problems]


def test_the_judge_says_what_it_expected(tmp_path: Path) -> None:
    assert messages(tmp_path, "a;1\nb;x;0\n", V2) == [
        "1 labels, expected 2",
        "'x' is not the index of a class, expected 0 or more",
    ]
    assert messages(tmp_path, "a;01;3\n", V2, num_classes=3) == [
        "'01' is not the index of a class, expected 0 to 2, without leading zeros",
        "'3' is not the index of a class, expected 0 to 2",
    ]
    assert messages(tmp_path, "filename,score_0,score_1\na,0.5\n", challenge("mmit")) == ["1 scores, expected 2"]
    assert messages(tmp_path, "a,1,0\n", V2) == ["0 labels, expected 2; is the delimiter ';'?"]


def test_the_judge_reads_on_after_quotes_that_do_not_match(tmp_path: Path) -> None:
    content = 'filename,score_0\n"a,0.5\nb,nan\n'
    assert messages(tmp_path, content, challenge("mmit")) == [
        "the quotes do not match: unexpected end of data",
        "column 2 is nan",
    ]


def test_any_names_of_columns_are_a_header_of_scores(tmp_path: Path) -> None:
    assert messages(tmp_path, "clip name,first,second\na,0.5,0.5\n", challenge("mmit", header=False)) == [
        "a header ('clip name' ...), which the challenge has not"
    ]
    # Of ranked labels, texts are what any row may hold.
    assert check_submission(put(tmp_path / "sub.csv", "clip name;a\n"), challenge("sthv1"), classes=["a"]).ok


def test_what_the_judge_only_warns_of_is_a_warning(tmp_path: Path) -> None:
    path = put(tmp_path / "sub.json", "a;1;0\nb;0;1")
    report = check_submission(path, V2)
    assert [(problem.severity, problem.kind, problem.message) for problem in report.problems] == [
        ("warning", "line end", "the last line has no end: was the file cut short?"),
        (
            "warning",
            "file name",
            "the name ends in '.json', and the challenge wants text, with fields parted by ';': "
            "a leaderboard may refuse it by its name",
        ),
    ]
    assert (report.ok, report.errors, report.warnings) == (True, 0, 2)


def test_clips_of_the_list_that_the_format_calls_alike(tmp_path: Path) -> None:
    path = put(tmp_path / "sub.csv", "x;1;0\n")
    listed = IdList(Path("ids.txt"), "text", ("a/x.webm", "b/x.webm"), (1, 2))
    rules = challenge("sthv2", top=2, metrics=("top1",), filename="stem")
    _, _, problem = refusal(lambda: check_submission(path, rules, ids=listed))
    assert problem == "'a/x.webm' and 'b/x.webm' of ids.txt are both 'x'"


def test_the_error_that_ends_the_reading_may_be_one_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.submission.findings.GIVE_UP", 1)
    report = check_submission(put(tmp_path / "sub.csv", b"\xff;1;0\n"), V2)
    assert (report.errors, report.counts) == (1, {"unreadable": 1})


def test_long_messages_are_cut_to_300_characters() -> None:
    findings = Findings(keep=3)
    for length in (300, 301, 1000):
        findings.add(1, "kind", "x" * length)
    assert [problem.message for problem in findings.problems] == ["x" * 300, "x" * 297 + "...", "x" * 297 + "..."]
