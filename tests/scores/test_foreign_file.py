"""Columns of foreign scores put in the order of the classes, and what cannot be."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.fusion_members import scores_of
from tinkit.errors import UserError
from tinkit.scores import ScoreTable
from tinkit.scores.foreign import foreign_table, is_numbered, read_foreign

INFO = dataclasses.replace(scores_of("r").info, classes=("walk", "run", "1"))


def table(path: Path, **known: dict[str, tuple[int, ...]] | dict[str, str]) -> ScoreTable:
    return foreign_table(read_foreign(path), INFO, path, **known)  # type: ignore[arg-type]


def npz(path: Path, classes: list[str] | None, *, width: int = 3) -> Path:
    names = {} if classes is None else {"classes": np.array(classes)}
    np.savez(path, ids=np.array(["a", "b"]), scores=np.arange(2 * width).reshape(2, width), **names)
    return path


@pytest.mark.parametrize(
    ("classes", "first"),
    [
        (None, [0, 1, 2]),
        (["walk", "run", "1"], [0, 1, 2]),
        (["1", "walk", "run"], [1, 2, 0]),
        (["score_2", "score_0", "score_1"], [1, 2, 0]),
        (["0", "2", "1"], [0, 2, 1]),
    ],
)
def test_columns_are_put_in_the_order_of_the_classes(
    tmp_path: Path, classes: list[str] | None, first: list[int]
) -> None:
    found = table(npz(tmp_path / "s.npz", classes), labels={"b": (1,)}, source={"b": "film"})
    assert found.scores.tolist() == [first, [3 + place for place in first]]
    assert (found.labels, found.source) == ([None, (1,)], ["a", "film"])
    assert found.scores.dtype == np.float32


@pytest.mark.parametrize(
    ("classes", "width", "problem"),
    [
        (["walk", "run", "walk"], 3, "two columns have the same name"),
        (["walk", "runs", "1"], 3, "column 'runs' is not a class; did you mean 'run'?"),
        (["0", "1", "3"], 3, "the columns are not numbered 0, 1, ... once each"),
        (["0", "1", "1"], 3, "the columns are not numbered 0, 1, ... once each"),
        (None, 2, "2 columns of scores"),
        (["a", "b"], 3, "2 classes and 3 columns of scores"),
    ],
)
def test_columns_that_are_not_the_classes(tmp_path: Path, classes: list[str] | None, width: int, problem: str) -> None:
    path = npz(tmp_path / "s.npz", classes, width=width)
    with pytest.raises(UserError) as caught:
        table(path)
    assert (caught.value.problem, caught.value.file) == (problem, str(path))


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ("id,walk,run,walk\na,1,2,3\n", 1, "two columns have the same name"),
        ("id\na\n", 1, "no column of scores"),
        ("id,walk,run,1\na,1,2,3\nb,1,,3\n", None, "row 2 ('b') lacks some of its scores"),
    ],
)
def test_a_csv_that_is_none(tmp_path: Path, content: str, line: int | None, problem: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        table(path)
    assert (caught.value.file, caught.value.line, caught.value.problem) == (str(path), line, problem)


def test_a_row_of_empty_cells_is_a_clip_without_scores(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("id,run,walk,1\n007,0.5,0.25,1\nb,,,\n")
    found = table(path)
    assert (found.ids, found.valid.tolist()) == (["007", "b"], [True, False])
    assert found.scores[0].tolist() == [0.25, 0.5, 1]
    assert np.isnan(found.scores[1]).all()


def test_what_counts_as_numbered() -> None:
    assert is_numbered(["0", "12"])
    assert is_numbered(["score_0", "class_1"])
    assert not is_numbered(["0", "one"])
    assert not is_numbered(["x0"])
    assert not is_numbered(["0 "])


@pytest.mark.parametrize(("at", "value"), [(4, 255), (6, 1)], ids=["an unknown version of zip", "a password"])
def test_an_archive_that_zipfile_does_not_unpack_is_refused(tmp_path: Path, at: int, value: int) -> None:
    path = npz(tmp_path / "s.npz", None)
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + at + 2] = value  # of the first member, in the archive's table
    path.write_bytes(data)
    with pytest.raises(UserError, match="not an npz of scores"):
        read_foreign(path)
