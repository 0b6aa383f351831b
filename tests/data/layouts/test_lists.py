"""TSN-style lists and their variants."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinkit.data.config.dataset import DataConfig
from tinkit.data.layouts.layout import AnnotationFile
from tinkit.data.layouts.lists import read_list
from tinkit.data.manifest.manifest import open_manifest
from tinkit.errors import UserError


def fields(
    tmp_path: Path, text: str, columns: str = "path frames labels", delimiter: str | None = None, **keys: bool
) -> list[tuple]:
    file = tmp_path / "list.txt"
    file.write_text(text)
    annotation = AnnotationFile(path=file, split="train", columns=columns, delimiter=delimiter, **keys)  # type: ignore[arg-type]
    rows = read_list(annotation)
    columns_of = (rows.paths, rows.start, rows.stated, rows.labels)
    return list(zip(*(c.to_pylist() if c is not None else [None] * len(rows.ids) for c in columns_of), strict=True))


def refused(*args: object, **keys: bool) -> str:
    with pytest.raises(UserError) as caught:
        fields(*args, **keys)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "columns", "delimiter", "expected"),
    [
        ("a/v_x_g01.avi 120 7", "path frames labels", None, ("a/v_x_g01.avi", None, 120, ["7"])),
        ("trimming/getty-id163936215_13.mp4 90 144,246", "path frames labels", None,
         ("trimming/getty-id163936215_13.mp4", None, 90, ["144", "246"])),
        ("a/b 90 144 246 3", "path frames labels", None, ("a/b", None, 90, ["144", "246", "3"])),
        ("78687 43 5", "path frames labels", None, ("78687", None, 43, ["5"])),
        ("a/b.mp4\t90\t1", "path frames labels", None, ("a/b.mp4", None, 90, ["1"])),
        ("my clips/one two.mp4 90 1", "path frames labels", None, ("my clips/one two.mp4", None, 90, ["1"])),
        ("my  clips/one.mp4 90 1,2", "path frames labels", None, ("my  clips/one.mp4", None, 90, ["1", "2"])),
        ("a/b.mp4 3", "path labels", None, ("a/b.mp4", None, None, ["3"])),
        ("a/b.mp4 3 4", "path labels", None, ("a/b.mp4", None, None, ["3", "4"])),
        ("my clip.mp4 3", "path labels", None, ("my clip.mp4", None, None, ["3"])),
        ("a/b 30 60 2", "path start frames labels", None, ("a/b", 30, 60, ["2"])),
        ("a b/c 30 60 2", "path start frames labels", None, ("a b/c", 30, 60, ["2"])),
        ("my clip 3.mp4,90,4,5", "path frames labels", ",", ("my clip 3.mp4", None, 90, ["4", "5"])),
        ("clip 3\t90\t4", "path frames labels", "\t", ("clip 3", None, 90, ["4"])),
        ("a|5|6|7 8", "path start frames labels", "|", ("a", 5, 6, ["7", "8"])),
    ],
)  # fmt: skip
def test_one_line(tmp_path: Path, line: str, columns: str, delimiter: str | None, expected: tuple) -> None:
    assert fields(tmp_path, f"first 1 2 3\n{line}\n".replace("first 1 2 3\n", ""), columns, delimiter) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/1\nmy clip.mp4\n", [("a/1", None), ("my clip.mp4", None)]),
        ("a/1 30\nmy clip.mp4 20\n", [("a/1", 30), ("my clip.mp4", 20)]),
        ("a/1 30 0\nmy clip.mp4 20 -1\n", [("a/1", 30), ("my clip.mp4", 20)]),
    ],
)
def test_without_labels_the_numbers_may_be_missing(tmp_path: Path, text: str, expected: list) -> None:
    rows = fields(tmp_path, text, labelled=False)
    assert [(path, stated) for path, _, stated, _ in rows] == expected


@pytest.mark.parametrize(
    ("line", "columns", "delimiter", "problem"),
    [
        ("my clip 3 90 5", "path frames labels", None, "where the path ends is not clear"),
        ("a/b 90", "path frames labels", None, "too few numbers after the path"),
        ("a/b 90 cat", "path frames labels", None, "'cat' is not a number"),
        ("a/b", "path labels", None, "too few numbers after the path"),
        ("a/b,ninety,3", "path frames labels", ",", "'ninety' is not a number of frames"),
        ("a/b 99999999999 3", "path frames labels", None, "99999999999 frames"),
        ("a/b 99999999999999999999999 3", "path frames labels", None, "is not a number of frames"),
    ],
)
def test_a_line_that_is_not_clear_is_refused_by_its_number(
    tmp_path: Path, line: str, columns: str, delimiter: str | None, problem: str
) -> None:
    good = {",": "x,5,1", None: "x 5 1" if columns == "path frames labels" else "x 1"}[delimiter]
    message = refused(tmp_path, f"{good}\n\n{line}\n", columns, delimiter)
    assert "list.txt:3: " in message
    assert problem in message


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.text("abcXYZ019._-+/", min_size=1, max_size=12),
            st.integers(0, 2**31 - 1),
            st.lists(st.integers(0, 400), min_size=1, max_size=4),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([(" ", None, ","), (" ", None, " "), ("\t", "\t", ","), (",", ",", ",")]),
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list, form: tuple) -> None:
    gap, delimiter, between = form
    text = "\n".join(f"{path}{gap}{frames}{gap}{between.join(map(str, labels))}" for path, frames, labels in rows)
    expected = [(path, None, frames, [str(label) for label in labels]) for path, frames, labels in rows]
    assert fields(tmp_path_factory.mktemp("list"), text, "path frames labels", delimiter) == expected


def list_config(root: Path, train: str, **keys: object) -> DataConfig:
    (root / "category.txt").write_text("a\nb\nc\n")
    for split in ("train", "val"):
        (root / f"{split}.txt").write_text(train)
    return DataConfig(dataset="list", root=root, **keys)


def test_stated_counts_are_not_kept_but_short_clips_are_left_out_of_training(tmp_path: Path) -> None:
    config = list_config(tmp_path, "x/1 2 0\nx/2 3 1\nx/3 40 2\n")
    train, val = open_manifest(config, "train"), open_manifest(config, "val")
    assert train.ids == ["x/2", "x/3"]
    assert train.skipped == ("1 clips of train.txt have fewer than 3 frames, as the list states",)
    assert val.ids == ["x/1", "x/2", "x/3"]
    assert val.skipped == ()
    assert [val.row(index).frames for index in range(3)] == [None, None, None]


def test_a_range_is_kept_and_names_the_clip(tmp_path: Path) -> None:
    manifest = open_manifest(
        list_config(tmp_path, "x/1 0 30 0\nx/1 30 25 1\n", columns="path start frames labels"), "train"
    )
    assert manifest.ids == ["x/1 0 30", "x/1 30 25"]
    row = manifest.row(1)
    assert (row.path, row.start, row.frames, row.labels) == ("x/1", 30, 25, (1,))


def test_two_labels_in_a_single_label_list(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train.txt:2: the row has 2 labels: 0, 1"):
        open_manifest(list_config(tmp_path, "x/1 30 0\nx/2 30 0,1\n"), "train")
