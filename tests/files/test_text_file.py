"""Text files in the encodings that people's programs write, and what cannot be told."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinkit.data.annotations.annotation import read_annotation
from tinkit.data.config.dataset import DataConfig
from tinkit.errors import UserError
from tinkit.files.json import parse_json, read_json
from tinkit.files.text import MAX_LINE, as_utf8, decode, read_lines, read_text
from tinkit.foreign_scores import read_foreign
from tinkit.models.foreign.classes import read_names
from tinkit.submission.answers import read_answers
from tinkit.submission.classes import read_classes
from tinkit.submission.ids import read_ids

MARKED = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]
FILE = Path("x.txt")


def put(path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
    return path


def refused(path: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        read_text(path)
    return caught.value


@settings(max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\ufeff")), st.sampled_from(MARKED))
def test_what_is_written_with_a_mark_is_read(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding), FILE) == text
    assert as_utf8(io.BytesIO(text.encode(encoding)), FILE).read().decode() == text


def test_utf16_without_a_mark_where_zeros_prove_it() -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        for text in ("running,0\nwalking,1\n", "a/1.mp4 30 2", "骑马,0\n跳舞,1\n唱歌,2\n", "ходьба 1\nбег 2\n"):
            assert decode(text.encode(encoding), FILE) == text


@pytest.mark.parametrize(
    "data", [b"ab\0\n", b"a\0", b"\0", b"a/1.mp4\0,1\n" * 50, b"a/12.mp4\0,1\n" * 50, "abc\n".encode("utf-32-le")]
)
def test_other_zeros_prove_nothing_and_are_refused(tmp_path: Path, data: bytes) -> None:
    assert "zero bytes" in str(refused(put(tmp_path / "x.txt", data)))


@pytest.mark.parametrize(
    ("text", "encoding", "name"),
    [
        ("骑马\n跳舞\n", "gbk", "GBK"),
        ("騎馬\n跳舞\n", "big5", "Big5"),
        ("走る\n歩く\n", "shift_jis", "Shift-JIS"),
        ("бег\nпрыжок\n", "cp1251", "Windows-1251"),
        ("бег\nпрыжок\n", "koi8_r", "KOI8-R"),
        ("café\npêche\n", "latin-1", "Windows-1252"),
    ],
)
def test_the_right_reading_is_among_those_named_and_no_command_converts(
    tmp_path: Path, text: str, encoding: str, name: str
) -> None:
    message = str(refused(put(tmp_path / "x.txt", b"plain\n" + text.encode(encoding))))
    assert message.startswith(f"{tmp_path / 'x.txt'}:2: ")
    assert f"{text.split()[0]!r} in {name}" in message
    assert "iconv" not in message


def test_a_mark_that_lies(tmp_path: Path) -> None:
    assert "UTF-16-LE" in str(refused(put(tmp_path / "x", b"\xff\xfea\0b")))


def test_ends_of_lines_and_marks_between_files() -> None:
    assert decode("a\r\nb\rc\n\ufeffd\n".encode("utf-8-sig"), FILE) == "a\nb\nc\nd\n"


def test_long_lines_large_files_and_folders_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "x", "a\n" + "b" * MAX_LINE + "\n" + "c" * (MAX_LINE + 1))
    with pytest.raises(UserError, match="longer than") as caught:
        read_lines(tmp_path / "x")
    assert caught.value.line == 3
    assert len(str(caught.value)) < 500
    put(tmp_path / "x", ("b" * MAX_LINE + "\n") * 3)
    assert len(read_lines(tmp_path / "x")) == 4
    monkeypatch.setattr("tinkit.files.text.MAX_BYTES", 10)
    assert "larger" in str(refused(tmp_path / "x"))
    assert "cannot be read" in str(refused(tmp_path))


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("[" * 100_000, "nested too deep", None),
        ('{"a":' * 100_000, "nested too deep", None),
        ("[" + "9" * 5000 + "]", "thousands of digits", None),
        ('[\n"\\ud800"]', "lone surrogate", 2),
        ('["\\ud83d\\ude00",\n"\\udc00\\ud800"]', "lone surrogate", 2),
        ("[1,\n2,", "not valid JSON", 2),
    ],
)
def test_json_that_is_none(tmp_path: Path, text: str, problem: str, line: int | None) -> None:
    with pytest.raises(UserError, match=problem) as caught:
        read_json(put(tmp_path / "x.json", text), "a list")
    assert caught.value.line == line


def test_json_with_pairs_of_halves_and_escaped_backslashes() -> None:
    assert parse_json('["\\ud83d\\ude00", "\\\\ud800"]', "", FILE) == ["\U0001f600", "\\ud800"]


@pytest.mark.parametrize("encoding", [*MARKED, "utf-16-le", "utf-16-be"])
def test_every_list_and_table_is_read_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    """Annotations of each layout, class names, ids, answers, scores: the same rows as in UTF-8."""
    n = "clip-é"
    assert read_ids(put(tmp_path / "ids.txt", f"{n} 1\nb\n", encoding)).ids == (f"{n} 1", "b")
    assert read_ids(put(tmp_path / "ids.csv", f"{n},1\nb,2\n", encoding)).ids == (n, "b")
    assert read_ids(put(tmp_path / "ids.json", f'[{{"id": "{n}"}}, "b"]', encoding)).ids == (n, "b")
    assert read_answers(put(tmp_path / "answers.csv", f"id,labels\n{n},0 1\n", encoding)).ids.ids == (n,)
    assert read_foreign(put(tmp_path / "scores.csv", f"id,a,b\n{n},0.5,1\n", encoding)).ids == [n]
    assert read_classes(put(tmp_path / "names.txt", f"{n},1\nb,0\n", encoding), "file") == ("b", n)
    assert read_names(put(tmp_path / "order.txt", f"{n}\nb\n", encoding)) == (n, "b")
    assert read_names(put(tmp_path / "order.json", f'{{"{n}": 0, "b": "1"}}', encoding)) == (n, "b")
    files = {
        "mmit": {
            "annotations/trainingSet.csv": f"{n}.mp4,0\nb.mp4,1,0\n",
            "annotations/moments_categories.txt": f"{n},0\nb,1\n",
        },
        "sthv1": {
            "something-something-v1-train.csv": f"{n};b\nb;{n}\n",
            "something-something-v1-labels.csv": f"b\n{n}\n",
        },
        "sthv2": {
            "something-something-v2-train.json": f'[{{"id": "{n}", "template": "[b]"}}]',
            "something-something-v2-labels.json": f'{{"{n}": "0", "b": "1"}}',
        },
        "list": {"train.txt": f"{n} 30 0\nb 40 1\n", "category.txt": f"{n}\nb\n"},
        "table": {"train.csv": f"id,path,labels\n{n},{n}.mp4,b\n", "classes.txt": f"{n}\nb\n"},
    }
    for dataset, contents in files.items():
        found = []
        for form in ("utf-8", encoding):
            root = tmp_path / form / dataset
            for name, content in contents.items():
                put(root / name, content, form)
            read = read_annotation(DataConfig(dataset=dataset, root=root), root, "train")  # type: ignore[arg-type]
            found.append((read.rows.ids.to_pylist(), read.labels.to_pylist(), read.classes))
        assert found[0] == found[1]
        assert n in found[1][0][0]


def test_lists_in_another_encoding_name_the_line(tmp_path: Path) -> None:
    data = "骑马,0.5\n".encode("gbk")
    for read, name in ((read_ids, "ids.csv"), (read_ids, "ids.txt"), (read_foreign, "scores.csv")):
        with pytest.raises(UserError, match=r"'骑马,0\.5' in GBK") as caught:
            read(put(tmp_path / name, b"id,a\n" + data))  # type: ignore[operator]
        assert caught.value.line == 2
