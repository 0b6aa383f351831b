"""Several splits as one; the fingerprint of ids, however they lie in memory."""

from __future__ import annotations

import hashlib
import pickle
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.video_files import write_manifest, write_video
from tinkit.data.clips.loading import train_loader
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.views import ClipConfig
from tinkit.data.manifest.join import join
from tinkit.data.manifest.manifest import Manifest
from tinkit.errors import UserError

TRAIN = [("one", "1.mp4", "a"), ("two", "2.mp4", "a;c"), ("three", "3.mp4", "b")]
VAL = [("four", "1.mp4", "c"), ("five", "2.mp4", "b;c")]


@pytest.fixture
def train(tmp_path: Path) -> Manifest:
    return write_manifest(tmp_path, TRAIN)


@pytest.fixture
def val(tmp_path: Path) -> Manifest:
    return write_manifest(tmp_path, VAL, "val")


def test_joined_clips_come_one_split_after_the_other(train: Manifest, val: Manifest) -> None:
    both = join([train, val])
    assert both.split == "train+val"
    assert both.ids == [*train.ids, *val.ids]
    assert [both.row(index) for index in range(5)] == [*map(train.row, range(3)), *map(val.row, range(2))]
    assert len(both) == 5
    assert both.labelled
    assert np.array_equal(both.label_counts(), train.label_counts() + val.label_counts())
    assert both.labels_a_clip().tolist() == [0, 3, 2]
    assert both.head(4).ids == [*train.ids, "four"]
    assert (both.root, both.classes, both.task) == (train.root, train.classes, train.task)
    assert join([val, train]).ids == [*val.ids, *train.ids]
    with pytest.raises(IndexError):
        both.row(5)


def test_joining_copies_nothing(train: Manifest, val: Manifest) -> None:
    before = pa.total_allocated_bytes()
    both = join([train, val])
    assert pa.total_allocated_bytes() == before
    addresses = [chunk.buffers()[2].address for chunk in both.table.column("id").chunks]
    assert addresses == [m.table.column("id").chunk(0).buffers()[2].address for m in (train, val)]
    assert pickle.loads(pickle.dumps(both)).ids == both.ids


def test_one_split_joined_is_that_split_and_none_is_refused(train: Manifest) -> None:
    assert join([train]).ids == train.ids
    assert join([train]).split == "train"
    with pytest.raises(UserError, match="no split"):
        join([])


def test_what_was_left_out_is_still_said(train: Manifest, val: Manifest) -> None:
    both = join([replace(train, skipped=("two of train",)), replace(val, skipped=("one of val",))])
    assert both.skipped == ("two of train", "one of val")


def test_a_clip_in_two_splits_is_named(tmp_path: Path, train: Manifest, val: Manifest) -> None:
    test = write_manifest(tmp_path, [("six", "1.mp4", "a"), ("two", "3.mp4", "a")], "test", unlabelled=())
    with pytest.raises(UserError, match="the clip 'two' is in 'train' and in 'test'"):
        join([train, val, test])
    with pytest.raises(UserError, match="the clip 'four' is in 'val' and in 'val'"):
        join([train, val, val])
    assert len(join([train, val.head(0)])) == 3
    assert len(join([train.head(0), val])) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dataset", "other"),
        ("version", "2"),
        ("root", Path("/elsewhere")),
        ("task", "single-label"),
        ("media", "frames"),
        ("frame_template", "x{:d}.jpg"),
        ("min_frames", 7),
        ("classes", ("a", "c", "b")),
    ],
)
def test_what_does_not_go_together_is_refused(train: Manifest, val: Manifest, name: str, value: object) -> None:
    with pytest.raises(UserError, match=f"'train' and 'val' cannot be joined: they differ in {name}"):
        join([train, replace(val, **{name: value})])


def test_unlabelled_clips_among_labelled_ones(train: Manifest, tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("id,path\nx,1.mp4\n")
    both = join([train, write_manifest(tmp_path, [("x", "1.mp4", "a")], "test")])
    assert not both.labelled
    assert both.row(3).labels is None
    assert both.label_counts().tolist() == train.label_counts().tolist()


def test_training_goes_over_all_clips_of_both_splits(train: Manifest, val: Manifest) -> None:
    for number in (1, 2, 3):
        write_video(train.root / f"{number}.mp4", count=9, width=40, height=30, seed=number)
    both = join([train, val])
    clips = TrainClips(both, ClipConfig(num_segments=3, size=16), seed=2)
    batches = list(train_loader(clips, batch=5, epoch=0))
    assert sorted(batches[0]["index"].tolist()) == [0, 1, 2, 3, 4]
    assert batches[0]["valid"].all()
    alone = TrainClips(val, ClipConfig(num_segments=3, size=16), seed=2)
    assert torch.equal(clips[4, 4]["frames"], alone[4, 1]["frames"])  # a clip is cut as in its own split


ids = st.lists(st.text(max_size=6), max_size=12)


def with_ids(manifest: Manifest, parts: list[list[str]]) -> Manifest:
    """``manifest`` with other ids, a chunk for each part; the other columns are of no interest here."""
    column = pa.chunked_array([pa.array(part, pa.string()) for part in parts], pa.string())
    return replace(manifest, table=pa.table({"id": column}))


def slow_fingerprint(ids: list[str]) -> str:
    """The definition, on Python strings: the lengths, then the hash of the text."""
    texts = [text.encode() for text in ids]
    lengths = struct.pack(f"<{len(texts)}q", *map(len, texts))
    return hashlib.sha256(lengths + hashlib.sha256(b"".join(texts)).digest()).hexdigest()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return write_manifest(tmp_path_factory.mktemp("bare"), TRAIN)


@given(first=ids, second=ids, data=st.data())
def test_the_fingerprint_is_one_of_the_sequence_of_ids(
    bare: Manifest, first: list[str], second: list[str], data: st.DataObject
) -> None:
    whole = with_ids(bare, [first]).fingerprint
    assert whole == slow_fingerprint(first)
    assert (with_ids(bare, [second]).fingerprint == whole) == (first == second)
    cut = data.draw(st.integers(0, len(first)))
    assert with_ids(bare, [first[:cut], [], first[cut:]]).fingerprint == whole
    for parts in ([second, first, second], [second + first + second]):  # cut out between chunks, and out of one
        longer = with_ids(bare, parts)
        sliced = replace(longer, table=longer.table.slice(len(second), len(first)))
        assert sliced.fingerprint == whole
    assert with_ids(bare, []).fingerprint == with_ids(bare, [[]]).fingerprint


def test_ids_that_run_together_alike_have_other_fingerprints(bare: Manifest) -> None:
    sequences = (
        ["ab", "c"],
        ["a", "bc"],
        ["abc"],
        ["abc", ""],
        ["", "abc"],
        ["a", "b", "c"],
        ["c", "b", "a"],
        [],
        [""],
    )
    assert len({with_ids(bare, [list(ids)]).fingerprint for ids in sequences}) == len(sequences)


def test_the_fingerprint_of_a_file_is_that_of_its_ids(train: Manifest, val: Manifest, bare: Manifest) -> None:
    assert train.fingerprint == with_ids(bare, [["one", "two", "three"]]).fingerprint
    assert train.head(2).fingerprint == with_ids(bare, [["one", "two"]]).fingerprint
    assert join([train, val]).fingerprint == with_ids(bare, [["one", "two", "three", "four", "five"]]).fingerprint
    assert join([train, val]).fingerprint != join([val, train]).fingerprint
    assert train.fingerprint == "83a110f2166db6377dd0c609ca7222397c7e075625745b81b501031c96a22885"  # on every machine
