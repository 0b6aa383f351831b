"""Lists of test clips in every form, and class names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.submission_tables import make_table
from tinkit.errors import UserError
from tinkit.scores import write_scores
from tinkit.submission.classes import read_classes
from tinkit.submission.ids import choose_rule, read_ids


def put(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "ids"),
    [
        ("testSet.csv", "a+b/x.mp4,3,5\nc/y.mp4,1\n", ("a+b/x.mp4", "c/y.mp4")),
        ("testSet.csv", "a+b/x.mp4\nc/y.mp4\n", ("a+b/x.mp4", "c/y.mp4")),
        ("something-something-v1-test.csv", "100\n7\n42\n", ("100", "7", "42")),
        ("something-something-v1-test.csv", "id\r\n100\r\n7\r\n", ("100", "7")),
        ("something-something-v1-validation.csv", "100;Moving, slowly\n7;b\n", ("100", "7")),
        ("quoted.csv", '"a,b.mp4",1\nc.mp4,2\n', ("a,b.mp4", "c.mp4")),
        ("ids.txt", "one clip.mp4\n\ntwo;three,four.mp4\n", ("one clip.mp4", "two;three,four.mp4")),
        ("ids.txt", "a+b/x.mp4 \r\nc/y.mp4\t\n", ("a+b/x.mp4", "c/y.mp4")),
        ("ids.csv", "100 \n7 \n", ("100", "7")),
        ("ids.txt", "id\n100\n7\n", ("100", "7")),
        ("ids.txt", "Filename \nb.mp4\na.mp4\n", ("b.mp4", "a.mp4")),
        ("ids.txt", "b.mp4\nvideo\n", ("b.mp4", "video")),
        ("test.txt", "a+b/x.mp4 35 3,5\nc/y.mp4 7 0\n", ("a+b/x.mp4", "c/y.mp4")),
        ("test.txt", "my clip.mp4 35 3\n78687 40 -1\n", ("my clip.mp4", "78687")),
        ("test.txt", "x.mp4 35\ny.mp4 7\n", ("x.mp4", "y.mp4")),
        ("test.txt", "x.mp4 35 1 2\ny.mp4 7 0\n", ("x.mp4", "y.mp4")),
        ("test.txt", "path frames label\nx.mp4 35 1\ny.mp4 7 0\n", ("x.mp4", "y.mp4")),
        ("test.txt", "take 1\ntake 2\nlast take\n", ("take 1", "take 2", "last take")),
        ("test.txt", "path of x.mp4\ntake 2\nlast take\n", ("path of x.mp4", "take 2", "last take")),
        ("v2-test.json", '[{"id": "78687"}, {"id": "2"}]', ("78687", "2")),
        ("v2-test.json", '[{"id": 78687}]', ("78687",)),
        ("ids.list", '["b", "a"]', ("b", "a")),
    ],
)
def test_official_files_and_id_files(tmp_path: Path, name: str, content: str, ids: tuple[str, ...]) -> None:
    listed = read_ids(put(tmp_path / name, content))
    assert listed.ids == ids
    assert not listed.folder
    assert listed.form


def test_lines_of_a_list_with_a_header_and_blanks(tmp_path: Path) -> None:
    assert read_ids(put(tmp_path / "a.csv", "id\n5\n\n6\n")).lines == (2, 4)


def test_the_form_says_how_a_text_was_read(tmp_path: Path) -> None:
    listed = read_ids(put(tmp_path / "a.txt", "x 35 2\n\ny 7 0\n"))
    assert (listed.form, listed.lines) == ("list: path frames labels", (1, 3))
    listed = read_ids(put(tmp_path / "a.txt", "video\nx\n\ny\n"))
    assert (listed.form, listed.lines) == ("text: an id a line, header skipped", (2, 4))


def test_doubled_id_names_both_lines(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 1 and in line 3") as caught:
        read_ids(put(tmp_path / "ids.txt", "a\nb\na\n"))
    assert caught.value.line == 3


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.txt", "", "lists no clip"),
        ("a.json", '{"Moving something": "0"}', "no list of clips"),
        ("a.json", '[{"name": "5"}]', "entry 1 has no id"),
        ("a.json", "[1, true]", "entry 2 has no id"),
        ("a.json", '["\\ud800"]', "lone surrogate"),
        ("a.json", "[", "not valid JSON"),
        ("a.json", "[" * 100_000, "not valid JSON"),
        ("a.json", '["a", "a"]', "entry 1 and in entry 2"),
        ("a.csv", ",1\n", "without an id"),
        ("a.csv", "a" * (1 << 20) + "\n", "longer than"),
        ("a.txt", "ARROW1\0\0", "no list of clips"),
    ],
)
def test_what_is_no_list(tmp_path: Path, name: str, content: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        read_ids(put(tmp_path / name, content))


def test_bytes_that_are_no_text_have_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\n\xff\n")
    with pytest.raises(UserError, match="UTF-8") as caught:
        read_ids(tmp_path / "a.txt")
    assert caught.value.line == 2


def test_missing_list(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_ids(tmp_path / "none.csv")


def test_folder_of_videos_gives_relative_paths_in_order(tmp_path: Path) -> None:
    for name in ("b+b/2.mp4", "a/1.MP4", "a/.hidden.mp4", "notes.txt", "a/thumb.jpg"):
        put(tmp_path / name, "x")
    listed = read_ids(tmp_path)
    assert listed.ids == ("a/1.MP4", "b+b/2.mp4")
    assert listed.folder
    assert not listed.ordered
    assert "2 videos" in listed.form


def test_folder_of_frame_folders(tmp_path: Path) -> None:
    for name in ("78687/00001.jpg", "78687/00002.jpg", "5/00001.jpg", "empty.txt"):
        put(tmp_path / name, "x")
    assert read_ids(tmp_path).ids == ("5", "78687")


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither videos"):
        read_ids(tmp_path)


def test_a_folders_hash_is_that_of_its_names(tmp_path: Path) -> None:
    put(tmp_path / "a.mp4", "x")
    before = read_ids(tmp_path).sha256()
    put(tmp_path / "a.mp4", "other")
    assert read_ids(tmp_path).sha256() == before
    put(tmp_path / "b.mp4", "x")
    assert read_ids(tmp_path).sha256() != before


def test_the_rule_is_verbatim_unless_a_looser_one_finds_more() -> None:
    assert choose_rule(["a/x.mp4", "b/y.mp4"], ["a/x.mp4", "b/y.mp4"]) == "id"
    assert choose_rule(["a/x.mp4", "b/y.mp4"], ["a/x.mp4", "b/z.mp4"]) == "id"
    assert choose_rule(["x.mp4", "y.mp4"], ["a/x.mp4", "b/y.mp4"]) == "basename"
    assert choose_rule(["5.webm", "6.webm"], ["6", "5"]) == "stem"
    assert choose_rule(["q", "r"], ["s", "t"]) == "id"
    # Two clips of one base name: only whole ids tell them apart.
    assert choose_rule(["a/x.mp4", "b/x.mp4"], ["x.mp4"]) == "id"


def test_classes_from_every_source(tmp_path: Path) -> None:
    mit = put(tmp_path / "moments_categories.txt", "stroking/petting,1\nadult+singing,0\n")
    assert read_classes(mit, "file") == ("adult+singing", "stroking/petting")
    labels = put(tmp_path / "labels.csv", "Moving, slowly\nHolding\n")
    assert read_classes(labels, "file") == ("Moving, slowly", "Holding")
    assert read_classes(labels, "alphabetical") == ("Holding", "Moving, slowly")
    v2 = put(tmp_path / "labels.json", json.dumps({"B": "0", "A": "1"}))
    assert read_classes(v2, "alphabetical") == ("B", "A")
    write_scores(tmp_path / "s.arrow", make_table([[0.5, 0.5]], classes=("p", "q")))
    assert read_classes(tmp_path / "s.arrow", "file") == ("p", "q")


@pytest.mark.parametrize(
    ("name", "content"), [("a.txt", "x\nx\n"), ("a.txt", "x,0\ny,2\n"), ("a.json", "[1]"), ("a.txt", "")]
)
def test_what_names_no_classes(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(UserError):
        read_classes(put(tmp_path / name, content), "file")
