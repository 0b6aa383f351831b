"""Soft labels from score files: joined by id, squashed once, refused where they do not fit."""

from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinkit.data.manifest.manifest import Manifest
from tinkit.data.manifest.table import SCHEMA
from tinkit.engine.training.soft_labels import SoftLabels
from tinkit.errors import UserError
from tinkit.metrics import Task
from tinkit.recipe import load_recipe
from tinkit.scores import Kind, ScoreInfo, ScoreTable, write_scores

CLASSES = ("a", "b", "c", "d")
MULTI: Task = "multi-label"
SINGLE: Task = "single-label"


def manifest(ids: list[str], task: Task = MULTI, classes: tuple[str, ...] = CLASSES) -> Manifest:
    count = len(ids)
    columns = [ids, ids, [None] * count, [0] * count, [[0]] * count, ids]
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)
    return Manifest(
        dataset="set",
        version="",
        split="train",
        task=task,
        root=Path(),
        media="video",
        frame_template="",
        min_frames=1,
        classes=classes,
        skipped=(),
        table=table,
        file=Path("train.arrow"),
    )


def written(path: Path, ids: list[str], scores: np.ndarray, **changes: Any) -> Path:
    valid = ~np.isnan(scores).any(axis=1)
    facts: dict[str, Any] = {"kind": "logits", "task": MULTI, "classes": CLASSES, "split": "train"}
    info = ScoreInfo(dataset="set", dataset_version="", **(facts | changes))
    write_scores(path, ScoreTable(info, ids, scores.astype(np.float32), valid, [None] * len(ids), ids))
    return path


def truth(logits: np.ndarray, task: Task) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64))
    return powers / (1 + powers) if task == MULTI else powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("soft")


@pytest.mark.parametrize("task", [MULTI, SINGLE])
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@settings(max_examples=15)
@given(data=st.data())
def test_targets_are_mixed_clip_by_clip(folder: Path, task: Task, kind: Kind, data: st.DataObject) -> None:
    """Whatever the order of the file, clips it lacks or could not score, clips of other splits, any batch."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    ids = [f"clip {number}" for number in range(9)]
    others = [f"other {number}" for number in range(3)]
    scored = rng.permutation([*ids[: data.draw(st.integers(1, 9))], *others]).tolist()
    logits = rng.normal(0, 4, (len(scored), len(CLASSES))).astype(np.float32)
    null = rng.random(len(scored)) < 0.2
    null[scored.index(ids[0])] = False
    scores = np.where(null[:, None], np.nan, logits if kind == "logits" else truth(logits, task))
    path = written(folder / f"{task}-{kind}.arrow", scored, scores, task=task, kind=kind)
    weight = data.draw(st.sampled_from([0.25, 0.5, 1.0]))
    soft = SoftLabels(path, manifest(ids, task), weight)

    rows = rng.integers(9, size=data.draw(st.integers(1, 6)))
    hard = np.eye(4)[rng.integers(4, size=len(rows))]
    target = torch.tensor(hard.argmax(1)) if task == SINGLE else torch.tensor(hard, dtype=torch.float32)
    found = soft.soft(target, torch.tensor(rows))

    by_id = {name: row for name, row, missing in zip(scored, truth(logits, task), null, strict=True) if not missing}
    for got, own, row in zip(found, hard, rows, strict=True):
        has = ids[row] in by_id
        wanted = (1 - weight) * own + weight * by_id[ids[row]] if has else own
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
        if not has:
            assert got.tolist() == own.tolist()
    assert found.dtype == torch.float32
    assert soft.count == len(set(by_id) & set(ids))
    assert soft.missing == 9 - soft.count


@pytest.mark.parametrize(
    ("task", "changes", "scores", "said"),
    [
        (SINGLE, {}, 0.5, "soft labels of a multi-label task"),
        (MULTI, {"task": SINGLE}, 0.5, "soft labels of a single-label task"),
        (MULTI, {"kind": "ranks"}, 0.5, "ranks do not say"),
        (MULTI, {"classes": ("a", "b", "d", "c")}, 0.5, "in another order: class 2 is 'd', in the data set 'c'"),
        (MULTI, {"classes": ("a", "b", "c", "e")}, 0.5, "of another set: class 3 is 'e', in the data set 'd'"),
        (SINGLE, {"task": SINGLE, "kind": "probabilities"}, 0.5, "clip 'x' sum to 2"),
        (SINGLE, {"task": SINGLE, "kind": "probabilities"}, 0.0, "clip 'x' sum to 0"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, task: Task, changes: dict[str, Any], scores: float, said: str
) -> None:
    path = written(tmp_path / "scores.arrow", ["x"], np.full((1, 4), scores), **changes)
    with pytest.raises(UserError, match=said) as caught:
        SoftLabels(path, manifest(["x"], task), 0.5)
    assert caught.value.file == str(path)
    assert caught.value.fix or caught.value.expected


def test_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "scores.arrow", ["x"], np.zeros((1, 4)))
    with pytest.raises(UserError, match="of 4 classes, the data set has 3"):
        SoftLabels(path, manifest(["x"], classes=("a", "b", "c")), 0.5)


def test_files_without_one_clip_or_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "val.arrow", ["x", "y"], np.array([[0.0] * 4, [np.nan] * 4]), split="val")
    for ids in (["z", "w"], ["y"]):  # not there, and there without scores
        with pytest.raises(UserError, match=f"none of the {len(ids)} clips of 'train'") as caught:
            SoftLabels(path, manifest(ids), 0.5)
        assert "--split train" in str(caught.value)
    (tmp_path / "text").write_text("no scores")
    for name in ("text", "nowhere"):
        with pytest.raises(UserError):
            SoftLabels(tmp_path / name, manifest(["x"]), 0.5)


def test_scores_that_are_not_finite_are_found_before_training(tmp_path: Path) -> None:
    """Another tool's file: our own writer would refuse it."""
    path = written(tmp_path / "scores.arrow", ["x", "y"], np.full((2, 4), 12345.0))
    raw = path.read_bytes()
    value = np.float32(12345.0).tobytes()
    at = raw.rindex(value)
    path.write_bytes(raw[:at] + np.float32("inf").tobytes() + raw[at + 4 :])
    with pytest.raises(UserError, match="'y'"):
        SoftLabels(path, manifest(["x"]), 0.5)


def test_extreme_logits_neither_overflow_nor_warn(tmp_path: Path) -> None:
    path = written(tmp_path / "scores.arrow", ["x"], np.array([[-3e38, 3e38, 0.0, -100.0]]))
    for task, wanted in ((MULTI, [0, 1, 0.5, 0]), (SINGLE, [0, 1, 0, 0])):
        written(path, ["x"], np.array([[-1e38, 1e38, 0.0, -100.0]]), task=task)
        soft = SoftLabels(path, manifest(["x"], task), 1.0)
        target = torch.zeros(1, dtype=torch.int64) if task == SINGLE else torch.zeros(1, 4)
        with np.errstate(over="raise", invalid="raise"):
            np.testing.assert_allclose(soft.soft(target, torch.tensor([0]))[0], wanted, atol=1e-30)


def test_chunked_ids_as_of_two_splits_joined(tmp_path: Path) -> None:
    ids = ["a1", "a2", "b1", "b2"]
    path = written(tmp_path / "scores.arrow", ["b2", "a1"], np.array([[9.0] * 4, [-9.0] * 4]))
    one = manifest(ids)
    joined = dataclasses.replace(one, table=pa.concat_tables([one.table.slice(0, 2), one.table.slice(2)]))
    soft = SoftLabels(path, joined, 1.0)
    found = soft.soft(torch.full((4, 4), 0.5), torch.arange(4))
    np.testing.assert_allclose(found[:, 0], [1 / (1 + np.exp(9)), 0.5, 0.5, 1 / (1 + np.exp(-9))], rtol=1e-5)


def test_scores_stay_in_the_file(tmp_path: Path) -> None:
    count, classes = 20_000, tuple(map(str, range(300)))
    ids = [f"{number}.mp4" for number in range(count)]
    path = written(tmp_path / "scores.arrow", ids, np.zeros((count, 300)), classes=classes)
    whole = manifest(ids, classes=classes)
    tracemalloc.start()
    arrow = pa.total_allocated_bytes()
    soft = SoftLabels(path, whole, 0.5)
    found = soft.soft(torch.zeros(8, 300), torch.arange(8))
    taken = tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes() - arrow
    tracemalloc.stop()
    assert soft.count == count
    assert taken < path.stat().st_size / 2
    assert torch.equal(found, torch.full((8, 300), 0.25))


def test_soft_labels_and_swapped_labels_exclude_each_other() -> None:
    changes = ["loss.soft_labels=a.arrow", "clip.flip=true", "clip.flip_labels=left_right"]
    with pytest.raises(UserError, match=r"loss\.soft_labels"):
        load_recipe("demo_tin", changes)
