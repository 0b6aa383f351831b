"""The feature file as other writers make it, and what is refused of it by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tinkit.errors import UserError
from tinkit.scores.features import inspect_features, read_features, write_features

COLUMNS = {
    "id": pa.array(["a", "b", "c"]),
    "features": pa.array([[0.0, 1.0], None, [4.0, 5.0]], pa.list_(pa.float32(), 2)),
    "labels": pa.array([[0], None, []], pa.list_(pa.int32())),
    "source": pa.array(["x", "y", "z"]),
}


def by_hand(path: Path, columns: dict[str, pa.Array], **info: Any) -> Path:
    """A file as anyone with pyarrow would write it: in batches of two rows, with nulls under the null row."""
    metadata = {"tinkit": json.dumps({"kind": "features", "version": 1} | info)}
    table = pa.table(columns).replace_schema_metadata(metadata)
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


def test_a_file_of_another_writer_is_read(tmp_path: Path) -> None:
    found = read_features(by_hand(tmp_path / "f.arrow", COLUMNS, classes=["p"]))
    np.testing.assert_array_equal(found.features, [[0, 1], [np.nan, np.nan], [4, 5]])
    assert found.features.dtype == np.float32
    assert (list(found.ids), list(found.labels), list(found.source)) == (
        ["a", "b", "c"],
        [(0,), None, ()],
        ["x", "y", "z"],
    )
    assert (found.valid.tolist(), found.info["classes"], len(found)) == ([True, False, True], ["p"], 3)


def changed(**columns: pa.Array | None) -> dict[str, pa.Array]:
    return {name: column for name, column in (COLUMNS | columns).items() if column is not None}


@pytest.mark.parametrize(
    ("columns", "info", "problem"),
    [
        (changed(labels=None), {}, "has no column 'labels' of list<item: int32>"),
        (changed(features=None), {}, "has no column 'features' of fixed_size_list<item: float>[1]"),
        (changed(features=pa.array([[0.0]] * 3)), {}, "has no column 'features' of fixed_size_list<item: float>[1]"),
        (changed(id=pa.array([1, 2, 3])), {}, "has no column 'id' of string"),
        (changed(id=pa.array(["a", None, "c"])), {}, "column 'id' has empty places"),
        (changed(source=pa.array(["x", "y", None])), {}, "column 'source' has empty places"),
        (changed(id=pa.array(["a", "b", "b"])), {}, "clip 'b' is there 2 times"),
        (COLUMNS, {"kind": "logits"}, "holds logits of version 1"),
        (COLUMNS, {"version": 2}, "holds features of version 2"),
    ],
)
@pytest.mark.parametrize("read", [read_features, inspect_features])
def test_a_file_that_is_none_is_named(
    tmp_path: Path, columns: dict[str, pa.Array], info: dict[str, Any], problem: str, read: Callable[[Path], Any]
) -> None:
    path = by_hand(tmp_path / "f.arrow", columns, **info)
    with pytest.raises(UserError) as caught:
        read(path)
    assert caught.value.problem.replace("element", "item") == problem
    assert caught.value.file == str(path)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    for path, problem in ((tmp_path, "is a folder"), (tmp_path / "none.arrow", "no such feature file")):
        with pytest.raises(UserError) as caught:
            read_features(path)
        assert (caught.value.file, caught.value.problem) == (str(path), problem)


def test_no_clips_and_too_few_are_told_apart(tmp_path: Path) -> None:
    empty = np.zeros((0, 2), np.float32), np.zeros(0, bool)
    write_features(tmp_path / "f.arrow", {}, [], [], [], [empty])
    assert read_features(tmp_path / "f.arrow").features.shape == (0, 2)
    one = np.zeros((1, 2), np.float32), np.ones(1, bool)
    with pytest.raises(ValueError, match="features of 1 clips, ids of 2"):
        write_features(tmp_path / "g.arrow", {}, ["a", "b"], [None, None], ["a", "b"], [one])
    assert not (tmp_path / "g.arrow").exists()
