"""The score file: what is written is read, what is broken is refused, and one kind becomes another once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit, softmax
from scipy.stats import rankdata

from tinkit.errors import UserError
from tinkit.metrics import Task
from tinkit.scores import (
    Kind,
    ScoreInfo,
    ScoreTable,
    check_scores,
    label_matrix,
    read_info,
    read_scores,
    take_rows,
    to_logits,
    to_probabilities,
    to_ranks,
    write_scores,
)
from tinkit.scores.tools import unlike_facts

INFO = ScoreInfo(
    kind="logits",
    task="multi-label",
    classes=("push/pull", "up", "déjà+vu"),
    dataset="mmit",
    dataset_version="1",
    split="val",
    views="2x1",
    average="logits",
    weights="best",
    trained_on=("train",),
    run="r",
    hashes={"checkpoint": "abc"},
)


def table(**changes: Any) -> ScoreTable:
    values: dict[str, Any] = {
        "info": INFO,
        "ids": ["a/1.mp4", "b,2", "c"],
        "scores": np.array([[1, -2, 3], [9, 9, 9], [0, 0.5, -80]], np.float32),
        "valid": np.array([True, False, True]),
        "labels": [(0, 2), None, ()],
        "source": ["s", "s", "t"],
    }
    return ScoreTable(**values | changes)


def written(path: Path, **changes: Any) -> Path:
    write_scores(path, table(**changes))
    return path


def rewritten(path: Path, change: Any, metadata: Any = None) -> Path:
    """A score file whose Arrow table went through ``change`` and whose metadata through ``metadata``."""
    data = pa.ipc.open_file(written(path)).read_all()
    kept = json.loads(data.schema.metadata[b"tinkit"])
    data = change(data)
    kept = metadata(kept) if metadata else kept
    data = data.replace_schema_metadata({} if kept is None else {"tinkit": json.dumps(kept)})
    with pa.ipc.new_file(path, data.schema) as writer:
        writer.write_table(data)
    return path


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


def keep(value: Any) -> Any:
    return value


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


def random_table(kind: Kind, task: Task) -> ScoreTable:
    scores = (np.random.default_rng(0).normal(size=(40, 7)) * 6).astype(np.float32)
    scores[3] = np.round(scores[3])
    scores[4] = 2
    scores[5] = np.nan
    info = dataclasses.replace(INFO, kind=kind, task=task, classes=tuple("abcdefg"))
    return ScoreTable(info, [str(i) for i in range(40)], scores, np.arange(40) != 5, [None] * 40, ["s"] * 40)


@pytest.mark.parametrize("task", ["multi-label", "single-label"])
def test_kinds_are_scipys_and_are_asked_first(task: Task) -> None:
    logits = random_table("logits", task)
    squashed = to_probabilities(logits)
    truth = expit(logits.scores) if task == "multi-label" else softmax(logits.scores, axis=1)
    np.testing.assert_allclose(squashed.scores, truth, rtol=1e-5, atol=1e-30)
    assert squashed.info.kind == "probabilities"
    assert to_probabilities(squashed) is squashed
    again = to_probabilities(to_logits(squashed))
    np.testing.assert_allclose(again.scores, truth, atol=1e-5)
    ranks = to_ranks(logits)
    kept = logits.valid
    np.testing.assert_allclose(ranks.scores[kept], (rankdata(logits.scores[kept], axis=1) - 1) / 6, atol=1e-6)
    assert np.isnan(ranks.scores[~kept]).all()
    assert to_logits(logits) is logits
    for change in (to_probabilities, to_logits):
        with pytest.raises(UserError, match="ranks cannot"):
            change(ranks)


def test_logits_of_certain_probabilities_are_finite() -> None:
    sure = dataclasses.replace(random_table("probabilities", "multi-label"), scores=np.ones((40, 7), np.float32))
    assert np.isfinite(to_logits(sure).scores[sure.valid]).all()
    huge = dataclasses.replace(random_table("logits", "multi-label"), scores=np.full((40, 7), -2e38, np.float32))
    np.testing.assert_array_equal(to_probabilities(huge).scores[huge.valid], 0)


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


def test_writing_tells_the_hash_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.arrow"
    assert write_scores(path, table()) == hashlib.sha256(path.read_bytes()).hexdigest()
