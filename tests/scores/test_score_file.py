"""The score file: what is written is read, whoever wrote it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.helpers.score_files import INFO, keep, rewritten, table, written
from tinkit.scores import (
    ScoreInfo,
    check_scores,
    label_matrix,
    read_info,
    read_scores,
    take_rows,
    verified_scores,
    write_scores,
)
from tinkit.scores.tools import unlike_facts


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "s.arrow")
    read = read_scores(path)
    assert read.info == read_info(path) == INFO
    assert read.ids == ["a/1.mp4", "b,2", "c"]
    assert read.source == ["s", "s", "t"]
    assert read.labels == [(0, 2), None, ()]
    assert read.labels[0] == (0, 2)
    assert read.ids[-1] == "c"
    assert read.ids[:2] == ["a/1.mp4", "b,2"]
    np.testing.assert_array_equal(read.valid, [True, False, True])
    np.testing.assert_array_equal(read.scores[[0, 2]], table().scores[[0, 2]])
    assert np.isnan(read.scores[1]).all()
    assert read.labelled
    np.testing.assert_array_equal(label_matrix(read), [[1, 0, 1], [0, 0, 0], [0, 0, 0]])
    check_scores(read, path)


def test_protocol_and_view_are_read_and_older_files_have_none(tmp_path: Path) -> None:
    protocol = {"sampling": "dense", "stride": 8, "scale": 256, "crop": 224, "flip": True, "num_segments": 16}
    info = dataclasses.replace(INFO, protocol=protocol, view=0)
    read = read_info(written(tmp_path / "s.arrow", info=info))
    assert read == info
    assert read.view is not None
    assert unlike_facts(info, INFO)["protocol"][0].startswith("sampling dense, stride 8")

    def older(meta: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in meta.items() if key not in ("protocol", "view")}

    read = read_info(rewritten(tmp_path / "old.arrow", keep, older))
    assert (read.protocol, read.view) == ({}, None)


def test_a_file_that_names_no_data_set_is_read(tmp_path: Path) -> None:
    least = ("version", "kind", "task", "classes", "split")
    path = rewritten(tmp_path / "s.arrow", keep, lambda meta: {name: meta[name] for name in least})
    assert read_info(path) == ScoreInfo("logits", "multi-label", INFO.classes, "", "", "val")


def test_the_file_is_plain_arrow_with_the_named_columns(tmp_path: Path) -> None:
    data = pa.ipc.open_file(written(tmp_path / "s.arrow")).read_all()
    assert data.schema.names == ["id", "scores", "labels", "source"]
    assert data["scores"].to_pylist() == [[1.0, -2.0, 3.0], None, [0.0, 0.5, -80.0]]
    meta = json.loads(data.schema.metadata[b"tinkit"])
    assert (meta["version"], meta["kind"], meta["classes"][2]) == (1, "logits", "déjà+vu")


def test_scores_are_a_view_into_the_file(tmp_path: Path) -> None:
    rows = 50_000
    big = table(
        ids=[str(i) for i in range(rows)],
        scores=np.arange(rows * 3, dtype=np.float32).reshape(rows, 3),
        valid=np.arange(rows) % 3 > 0,
        labels=[None] * rows,
        source=["s"] * rows,
    )
    write_scores(tmp_path / "s.arrow", big)
    before = pa.total_allocated_bytes()
    read = read_scores(tmp_path / "s.arrow")
    assert not read.scores.flags.writeable
    assert not read.scores.flags.owndata
    assert pa.total_allocated_bytes() - before < 100_000  # 600 kB of scores and more of ids would not fit
    assert not read.labelled
    np.testing.assert_array_equal(read.scores[read.valid], big.scores[big.valid])
    assert np.isnan(read.scores[~read.valid]).all()


def test_several_batches_nulls_of_others_and_no_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "s.arrow")
    data = pa.ipc.open_file(path).read_all()
    zero = pa.FixedSizeListArray.from_arrays(
        pa.array(np.zeros(9, np.float32)), type=data.schema.field("scores").type, mask=pa.array([False, True, False])
    )
    data = data.set_column(1, data.schema.field("scores"), zero)
    with pa.ipc.new_file(path, data.schema) as writer:
        writer.write_table(data, max_chunksize=1)
    read = read_scores(path)
    np.testing.assert_array_equal(read.scores, [[0] * 3, [np.nan] * 3, [0] * 3])
    assert read.labels == [(0, 2), None, ()]
    write_scores(path, take_rows(read, np.array([], np.int64)))
    assert len(read_scores(path)) == 0


def test_take_rows_takes_them_in_order(tmp_path: Path) -> None:
    taken = take_rows(read_scores(written(tmp_path / "s.arrow")), np.array([2, 0]))
    assert (list(taken.ids), list(taken.labels), list(taken.source)) == (["c", "a/1.mp4"], [(), (0, 2)], ["t", "s"])
    np.testing.assert_array_equal(taken.scores, table().scores[[2, 0]])


def by_hand(path: Path, metadata: dict[str, Any], text: pa.DataType, inner: pa.DataType, labels: pa.DataType) -> Path:
    """A file as anyone with pyarrow would write it from the description of the format, with a null row."""
    columns = {
        "id": pa.array(["a", "b", "c"], text),
        "scores": pa.array([[0.5, 0.25, 1], None, [0, 0.75, 0.5]], pa.list_(inner, 3)),
        "labels": pa.array([[0], None, [1, 2]], labels),
        "source": pa.array(["x", "x", "y"], text),
    }
    data = pa.table(columns).replace_schema_metadata({"tinkit": json.dumps(metadata)})
    with pa.ipc.new_file(path, data.schema) as writer:
        writer.write_table(data)
    return path


@pytest.mark.parametrize("text", [pa.string(), pa.large_string()])
@pytest.mark.parametrize("inner", [pa.float32(), pa.float64()])
@pytest.mark.parametrize("labels", [pa.list_(pa.int32()), pa.large_list(pa.int64())])
def test_files_of_other_writers_are_read(
    tmp_path: Path, text: pa.DataType, inner: pa.DataType, labels: pa.DataType
) -> None:
    metadata = {
        "version": 1, "kind": "probabilities", "task": "multi-label", "classes": ["p", "q", "r"], "dataset": "d",
        "dataset_version": "2", "split": "val", "views": None, "average": "logits", "hashes": {}, "comment": [1],
    }  # fmt: skip
    read = read_scores(by_hand(tmp_path / "s.arrow", metadata, text, inner, labels))
    assert read.valid.tolist() == [True, False, True]
    assert read.scores[[0, 2]].tolist() == [[0.5, 0.25, 1], [0, 0.75, 0.5]]
    assert np.isnan(read.scores[1]).all()
    assert list(read.labels) == [(0,), None, (1, 2)]
    assert (read.info.views, read.info.run, read.info.trained_on) == ("", "", ())
    write_scores(tmp_path / "again.arrow", read)
    assert read_scores(tmp_path / "again.arrow").ids == ["a", "b", "c"]


def test_writing_tells_what_names_the_content(tmp_path: Path) -> None:
    path, other = tmp_path / "scores.arrow", tmp_path / "other.arrow"
    assert write_scores(path, table()) == verified_scores(path)[1] == write_scores(other, table())
    changed = table()
    changed.scores[0, 0] += 1
    assert write_scores(other, changed) == verified_scores(other)[1] != verified_scores(path)[1]
