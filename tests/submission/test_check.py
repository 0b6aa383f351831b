"""The judge: each fault on its line, and files meant to hurt."""

from __future__ import annotations

import gzip
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.submission_tables import challenge, make_table
from tinkit.errors import UserError
from tinkit.submission import Challenge, CheckReport, IdList, check_submission, plan_submission, write_submission
from tinkit.submission import text as text_module

V2 = challenge("sthv2", top=2, metrics=("top1",))
MMIT = challenge("mmit")
HEADER = "filename,score_0,score_1\n"


def listing(*ids: str, folder: bool = False) -> IdList:
    return IdList(Path("ids.txt"), "text", ids, tuple(range(1, len(ids) + 1)), folder=folder, ordered=not folder)


def judge(
    tmp_path: Path,
    content: str | bytes,
    rules: Challenge,
    ids: IdList | None = None,
    *,
    classes: list[str] | None = None,
    num_classes: int | None = None,
) -> CheckReport:
    path = tmp_path / "sub.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return check_submission(path, rules, ids=ids, classes=classes, num_classes=num_classes)


def found(report: CheckReport) -> list[tuple[int | None, str]]:
    return [(problem.line, problem.kind) for problem in report.problems]


def test_a_good_file(tmp_path: Path) -> None:
    report = judge(tmp_path, HEADER + "a,0.5,1\nb,1e-07,0\n", MMIT, listing("a", "b"), num_classes=2)
    assert report.ok
    assert report.rows == 2
    assert report.problems == ()
    assert report.notes == ()


def test_windows_line_ends_and_no_last_line_end(tmp_path: Path) -> None:
    report = judge(tmp_path, "a;1;0\r\nb;0;1", V2, listing("a", "b"), num_classes=2)
    assert report.ok
    assert found(report) == [(2, "line end")]
    assert judge(tmp_path, "a;1;0\r\nb;0;1\r\n", V2, listing("a", "b"), num_classes=2).problems == ()


def test_a_file_cut_in_its_last_number_is_warned_about(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    table = make_table([[0.5, 0.123456], [0.25, 0.654321]], ids=["a", "b"])
    write_submission(plan_submission(table, MMIT, listing("a", "b")), out, inputs={}, ids=None)
    assert check_submission(out, MMIT, ids=listing("a", "b")).problems == ()
    whole = out.read_bytes()
    out.write_bytes(whole[:-4])
    report = check_submission(out, MMIT, ids=listing("a", "b"))
    assert found(report) == [(3, "line end"), (None, "manifest")]
    assert report.warnings == 2
    out.write_bytes(whole.replace(b"0.25", b"0.75"))
    assert found(check_submission(out, MMIT)) == [(None, "manifest")]
    for foreign in ("[]", "{", '{"file": "other.csv", "sha256": "0"}'):
        (tmp_path / "manifest.json").write_text(foreign)
        assert check_submission(out, MMIT).problems == ()


@pytest.mark.parametrize(
    ("row", "line", "kind"),
    [
        ("b,0.5", 3, "columns"),
        ("b,0.5,0.5,0.5", 3, "columns"),
        ("b", 3, "columns"),
        ("b,0.5,nan", 3, "not finite"),
        ("b,-inf,0", 3, "not finite"),
        ("b,0.5,1.01", 3, "not a probability"),
        ("b,-0.1,0.5", 3, "not a probability"),
        ("b,0.5,x", 3, "not a number"),
        ("b,0.5,", 3, "not a number"),
        ("b,0.5,1_0", 3, "not a number"),
        ("b,0.5,٠", 3, "not a number"),
        ('"b,0.5,0.5', 3, "quotes"),
        ("b,0.5,0.5\n", 4, "blank line"),
        ("b,0.5,0.5\nb,0.5,0.5", 4, "doubled id"),
        ("b,0.5,0.5\nc,0.5,0.5", 4, "unknown id"),
        ("b,0.5,0.5\n,0.5,0.5", 4, "name"),
    ],
)
def test_each_fault_of_a_file_of_scores_on_its_line(tmp_path: Path, row: str, line: int, kind: str) -> None:
    report = judge(tmp_path, f"{HEADER}a,0.5,0.5\n{row}\n", MMIT, listing("a", "b"), num_classes=2)
    assert not report.ok
    assert (line, kind) in found(report)
    assert set(found(report)) - {(line, kind)} <= {(None, "missing id")}


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("b;1", "columns"),
        ("b;1;0;2", "columns"),
        ("b,1,0", "columns"),
        ("b;1;1", "doubled label"),
        ("b;1;3", "unknown label"),
        ("b;01;1", "unknown label"),
        ("b;00;1", "unknown label"),
        ("b;1;-1", "unknown label"),
        ("b;1;+2", "unknown label"),
        ("b;1; 2", "unknown label"),
        ("b;1;2.0", "unknown label"),
        ("b;1;Holding", "unknown label"),
        ("b;1;²", "unknown label"),
        ("b.webm;1;0", "name"),
        ("x/b;1;0", "name"),
    ],
)
def test_each_fault_of_a_file_of_ranked_labels(tmp_path: Path, row: str, kind: str) -> None:
    report = judge(tmp_path, f"a;1;2\n{row}\n", V2, listing("a", "b"), num_classes=3)
    assert not report.ok
    assert (2, kind) in found(report)


def test_indices_from_one(tmp_path: Path) -> None:
    rules = challenge("sthv2", top=2, first_index=1, metrics=("top1",))
    assert judge(tmp_path, "a;1;3\n", rules, num_classes=3).ok
    assert found(judge(tmp_path, "a;0;3\nb;1;4\n", rules, num_classes=3)) == [
        (1, "unknown label"),
        (2, "unknown label"),
    ]


def test_label_texts(tmp_path: Path) -> None:
    rules = challenge("sthv1")
    good = judge(tmp_path, "1;Holding it\n2;Moving, slowly\n", rules, classes=["Holding it", "Moving, slowly"])
    assert good.ok
    assert found(judge(tmp_path, "1;holding it\n", rules, classes=["Holding it"])) == [(1, "unknown label")]
    assert found(judge(tmp_path, "1;a;b\n", rules, classes=["a;b"])) == [(1, "columns"), *[(1, "unknown label")] * 2]
    unjudged = judge(tmp_path, "1;anything\n", rules)
    assert unjudged.ok
    assert any("--categories" in note for note in unjudged.notes)


def test_missing_ids_are_listed_with_their_place(tmp_path: Path) -> None:
    report = judge(tmp_path, "b;1;0\n", V2, listing("a", "b", "c"))
    assert [p.message for p in report.problems] == [
        "'a' has no row (number 1 of ids.txt)",
        "'c' has no row (number 3 of ids.txt)",
    ]


def test_without_a_list_doubles_are_still_found(tmp_path: Path) -> None:
    report = judge(tmp_path, "a;1;0\nb;1;0\na;1;0\n", V2)
    assert found(report) == [(3, "doubled id")]
    assert "line 1" in report.problems[0].message
    assert any("--ids" in note for note in report.notes)


@pytest.mark.parametrize(("order", "ok", "count"), [("warning", True, 1), ("error", False, 1), ("any", True, 0)])
def test_the_order_of_rows(tmp_path: Path, order: str, ok: bool, count: int) -> None:
    rules = challenge("sthv2", top=2, order=order, metrics=("top1",))
    report = judge(tmp_path, "b;1;0\na;1;0\nc;0;1\n", rules, listing("a", "b", "c"))
    assert report.ok is ok
    assert [kind for _, kind in found(report)] == ["order"] * count
    assert report.warnings == (order == "warning")


def test_headers(tmp_path: Path) -> None:
    ids = listing("a")
    assert found(judge(tmp_path, "a,0.5,0.5\n", MMIT, ids)) == [(1, "header")]
    report = judge(tmp_path, "filename,score_0,score_2\na,0.5,0.5\n", MMIT, ids)
    assert found(report) == [(1, "header")]
    assert "column 3 is called 'score_2', expected 'score_1'" in report.problems[0].message
    assert found(judge(tmp_path, "video,p,q\na,0.5,0.5\n", MMIT, ids)) == [(1, "header")]
    assert found(judge(tmp_path, HEADER + "a,0.5,0.5\n", MMIT, ids, num_classes=3))[0] == (1, "header")
    assert found(judge(tmp_path, "id;l1;l2\na;1;0\n", V2, ids)) == [(1, "header")]
    assert found(judge(tmp_path, HEADER + "a,0.5\n", MMIT, ids)) == [(2, "columns")]


def test_the_number_of_classes_has_one_source(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--categories 1, --num-classes 2"):
        judge(tmp_path, "a,1\n", MMIT, classes=["x"], num_classes=2)


def test_a_folders_layout_is_not_the_files_fault(tmp_path: Path) -> None:
    content = HEADER + "cat/a.mp4,0.5,0.5\ncat/b.mp4,0.5,0.5\n"
    report = judge(tmp_path, content, MMIT, listing("b.mp4", "a.mp4", folder=True))
    assert report.ok
    assert any("base name" in note for note in report.notes)
    assert not judge(tmp_path, content, MMIT, listing("b.mp4", "a.mp4")).ok
    assert judge(tmp_path, "5;0;1\n", V2, listing("5.webm", folder=True)).ok


def test_problems_are_bounded_and_counted(tmp_path: Path) -> None:
    report = judge(tmp_path, "".join(f"{i};7;7\n" for i in range(1000)), V2, num_classes=3)
    assert len(report.problems) == 10
    assert report.counts == {"doubled label": 1000, "unknown label": 2000}
    assert report.errors == 3000


def test_reading_stops_where_all_is_wrong(tmp_path: Path) -> None:
    report = judge(tmp_path, "\n" * 150_000, V2)
    assert report.errors == 100_000
    assert any("stopped" in note for note in report.notes)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a;1;0\n\xff;1;0\n", 2),
        (b"a;1;0\n" + b"x" * (1 << 21), 2),
        (b"\xef\xbb\xbfa;1;0\n", 1),
    ],
)
def test_what_is_no_text(tmp_path: Path, content: bytes, line: int) -> None:
    report = judge(tmp_path, content, V2)
    assert found(report) == [(line, "unreadable")]
    assert not report.ok


def test_an_empty_file(tmp_path: Path) -> None:
    assert found(judge(tmp_path, "", MMIT)) == [(None, "empty")]
    assert found(judge(tmp_path, HEADER, MMIT)) == [(None, "empty")]


def test_too_many_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "MAX_ROWS", 2)
    assert found(judge(tmp_path, "a;1;0\nb;1;0\nc;1;0\n", V2)) == [(3, "unreadable")]


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        check_submission(tmp_path / "none", V2)
    with pytest.raises(UserError, match="is a folder"):
        check_submission(tmp_path, V2)


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_zip_archives(tmp_path: Path) -> None:
    rules = challenge("sthv2", top=2, zip=True, member="sub.csv", metrics=("top1",))
    path = tmp_path / "a.zip"
    good = {"sub.csv": b"a;1;0\n"}
    assert check_submission(zipped(path, good | {"__MACOSX/._sub.csv": b"x"}), rules).ok
    assert found(check_submission(zipped(path, {"other.csv": b"a;1;0\n"}), rules)) == [(None, "container")]
    assert found(check_submission(zipped(path, good | {"b.csv": b""}), rules)) == [
        (None, "container"),
        (None, "unreadable"),
    ]
    assert found(check_submission(zipped(path, good), V2)) == [(None, "container")]
    assert found(check_submission(zipped(path, {"sub.csv": b"a;1;1\n"}), rules)) == [(1, "doubled label")]
    assert found(check_submission(zipped(path, {"sub.csv": b"a;1;0\nb;0;1"}), rules)) == [(2, "line end")]
    assert found(judge(tmp_path, "a;1;0\n", rules)) == [(None, "container")]


def test_damaged_zip_archives(tmp_path: Path) -> None:
    rules = challenge("sthv2", top=2, zip=True, member="sub.csv", metrics=("top1",))
    path = zipped(tmp_path / "a.zip", {"sub.csv": b"".join(b"%d;1;0\n" % i for i in range(5000))})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert {kind for _, kind in found(check_submission(path, rules))} == {"unreadable"}
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(255 - b for b in whole[middle : middle + 40]) + whole[middle + 40 :])
    assert "unreadable" in {kind for _, kind in found(check_submission(path, rules))}


def test_archives_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("sub.csv", "a;1;0\n")
    assert (None, "unreadable") in found(check_submission(path, V2))
    content = bytearray(zipped(path, {"sub.csv": b"a;1;0\n"}).read_bytes())
    content[6] |= 1  # the flag of an encrypted file, in the file's own header and in the directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert (None, "unreadable") in found(check_submission(path, V2))


def test_a_zip_bomb_costs_no_memory(tmp_path: Path) -> None:
    rules = challenge("sthv2", top=2, zip=True, member="sub.csv", metrics=("top1",))
    path = zipped(tmp_path / "bomb.zip", {"sub.csv": bytes(300 << 20)})
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    try:
        report = check_submission(path, rules)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found(report) == [(1, "unreadable")]
    assert peak < 20 << 20


def test_check_and_writer_agree_on_every_format(tmp_path: Path) -> None:
    scores = np.random.default_rng(1).normal(size=(20, 7)).astype(np.float32)
    classes = [f"Moving {i}, slowly" for i in range(7)]
    ids = listing(*(str(i) for i in range(20)))
    for name in ("mmit", "demo", "mit2018", "sthv1", "sthv2", "jester"):
        rules = challenge(name)
        table = make_table(scores, ids=ids.ids, kind="logits", task=rules.task, classes=classes)
        out = tmp_path / name / "out"
        write_submission(plan_submission(table, rules, ids), out, inputs={}, ids=None)
        report = check_submission(out, rules, ids=ids, classes=classes)
        assert report.problems == (), name
        assert report.rows == 20


def test_rows_that_are_all_alike_and_names_of_another_kind_are_warned_of(tmp_path: Path) -> None:
    rows = "".join(f"{i};1;0\n" for i in range(20))
    report = judge(tmp_path, rows, V2)
    assert found(report) == [(None, "alike")]
    assert (report.ok, report.warnings) == (True, 1)
    assert "all 20 rows are alike" in report.problems[0].message
    assert found(judge(tmp_path, rows + "last;0;1\n", V2)) == []
    named = tmp_path / "sub.json"
    named.write_text("a;1;0\nb;0;1\n")
    assert found(check_submission(named, V2)) == [(None, "file name")]
    packed = tmp_path / "sub.csv"
    packed.write_bytes(gzip.compress(b"a;1;0\nb;0;1\n"))
    report = check_submission(packed, V2)
    assert not report.ok
    assert "packed by gzip" in report.problems[0].message
