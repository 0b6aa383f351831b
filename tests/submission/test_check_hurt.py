"""The judge of files meant to hurt: archives, bombs, what is not text, and files without an end."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import pytest

from tests.helpers.submission_tables import challenge
from tests.helpers.submissions import found, judge
from tinkit.errors import UserError
from tinkit.submission import check_submission
from tinkit.submission import text as text_module

V2 = challenge("sthv2", top=2, metrics=("top1",))


MMIT = challenge("mmit")


HEADER = "filename,score_0,score_1\n"


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
    assert found(check_submission(zipped(path, good | {"b.csv": b""}), rules)) == [(None, "container")]
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
