"""What a score file may not hold is neither written nor read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.helpers.score_files import INFO, keep, rewritten, table, written
from tinkit.errors import UserError
from tinkit.scores import (
    ScoreInfo,
    label_matrix,
    read_scores,
    write_scores,
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ids": ["x", "y", "x"]}, "'x' occurs twice: rows 1 and 3"),
        ({"ids": ["x", None, "y"]}, "row 2 has no id"),
        ({"labels": [(0,), (1,), (3,)]}, "row 3 ('c') has labels [3]"),
        ({"labels": [(0,), (1, -1), None]}, "row 2 ('b,2') has labels [1, -1]"),
        ({"scores": np.array([[0, 0, 0], [0, 0, 0], [0, np.inf, 0]], np.float32)}, "row 3 ('c') has scores"),
        ({"info": dataclasses.replace(INFO, kind="probabilities")}, "row 1 ('a/1.mp4') has scores"),
        ({"info": dataclasses.replace(INFO, task="single-label")}, "row 1 ('a/1.mp4') has 2 labels"),
        ({"info": dataclasses.replace(INFO, classes=("a", "b", "a"))}, "class 'a' is named twice"),
        ({"info": ScoreInfo(**{**dataclasses.asdict(INFO), "kind": "scores"})}, "kind is 'scores'"),
    ],
)
def test_nothing_wrong_is_written(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = written(tmp_path / "s.arrow")
    before = path.read_bytes()
    with pytest.raises(UserError) as caught:
        write_scores(path, table(**changes))
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_shapes_that_do_not_fit_are_a_programming_error() -> None:
    with pytest.raises(ValueError, match="3 ids and 3 classes"):
        table(scores=np.zeros((3, 4), np.float32))
    with pytest.raises(ValueError, match="labels has 2 rows"):
        table(labels=[None, None])


def set_column(name: str, array: pa.Array) -> Any:
    return lambda data: data.set_column(data.schema.get_field_index(name), name, array)


@pytest.mark.parametrize(
    ("change", "metadata", "said"),
    [
        (keep, lambda meta: None, "no key 'tinkit'"),
        (keep, lambda meta: [1], "not what it should be"),
        (keep, lambda meta: meta | {"version": 2}, "version 2"),
        (keep, lambda meta: {key: value for key, value in meta.items() if key != "task"}, "without the keys task"),
        (keep, lambda meta: {k: v for k, v in meta.items() if k != "split"}, "split"),
        (keep, lambda meta: meta | {"classes": 3}, "must be a list"),
        (keep, lambda meta: meta | {"classes": ["a", "b"]}, "column 'scores' is fixed_size_list"),
        (keep, lambda meta: meta | {"classes": ["a", "b", 4]}, "not all text"),
        (keep, lambda meta: meta | {"protocol": ["even"]}, "protocol is ['even']"),
        (keep, lambda meta: meta | {"protocol": {"crop": [224]}}, "protocol is {'crop': [224]}"),
        (keep, lambda meta: meta | {"view": -1}, "view is -1"),
        (keep, lambda meta: meta | {"view": True}, "view is True"),
        (keep, lambda meta: meta | {"view": "0"}, "view is '0'"),
        (keep, lambda meta: meta | {"gflops": -1}, "gflops is -1"),
        (keep, lambda meta: meta | {"gflops": float("inf")}, "gflops is inf"),
        (lambda data: data.drop_columns(["labels"]), None, "column 'labels' is missing"),
        (set_column("id", pa.array([1, 2, 3])), None, "column 'id' is int64"),
        (set_column("id", pa.array(["x", "y", "y"])), None, "'y' occurs twice: rows 2 and 3"),
        (set_column("id", pa.array(["x", None, "y"])), None, "row 2 has no id"),
        (set_column("labels", pa.array([[0], [7], []], pa.list_(pa.int32()))), None, "row 2 ('b,2') has labels [7]"),
        (set_column("labels", pa.array([[0], [], [None]], pa.list_(pa.int32()))), None, "row 3 ('c') has labels"),
        (set_column("scores", pa.array([[0] * 4] * 3, pa.list_(pa.float32(), 4))), None, "column 'scores'"),
        (
            set_column("scores", pa.array([[0] * 3, [0, None, 0], None], pa.list_(pa.float32(), 3))),
            None,
            "row 2 ('b,2')",
        ),
    ],
)
def test_a_strange_file_is_refused_by_name(tmp_path: Path, change: Any, metadata: Any, said: str) -> None:
    path = rewritten(tmp_path / "s.arrow", change, metadata)
    with pytest.raises(UserError) as caught:
        read_scores(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = written(tmp_path / "s.arrow").read_bytes()
    short = tmp_path / "short.arrow"
    for length in range(0, len(whole), 23):
        short.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"short\.arrow"):
            read_scores(short)


def test_changed_bytes_never_end_in_a_crash(tmp_path: Path) -> None:
    whole = written(tmp_path / "s.arrow").read_bytes()
    path, random, refused = tmp_path / "s.arrow", np.random.default_rng(0), 0
    for _ in range(500):
        bad = bytearray(whole)
        for place in random.integers(0, len(bad), random.integers(1, 4)):
            bad[place] = random.integers(256)
        path.write_bytes(bad)
        try:
            read = read_scores(path)
            list(zip(read.ids, read.labels, read.source, strict=True))
            label_matrix(read)
        except UserError:
            refused += 1
    assert refused > 30


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.arrow").write_text("id,scores\n")
    for path in (tmp_path / "none.arrow", tmp_path, tmp_path / "text.arrow"):
        with pytest.raises(UserError) as caught:
            read_scores(path)
        assert str(path) in str(caught.value)


def test_what_other_programs_note_in_the_metadata_may_be_the_name_of_any_file(tmp_path: Path) -> None:
    """Names of files need not be UTF-8: their bytes are written as JSON's escapes of half characters, and read back."""
    path = rewritten(tmp_path / "s.arrow", keep, lambda meta: meta | {"made_of": "\udcff.mp4"})
    assert b"udcff" in path.read_bytes()
    assert list(read_scores(path).ids) == list(read_scores(written(tmp_path / "plain.arrow")).ids)
