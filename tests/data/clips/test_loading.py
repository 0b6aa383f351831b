"""Batches: order and shares, the same bits from any number of workers and processes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tests.helpers.loaded_clips import CLIP, all_equal, thirteen_clips
from tinkit.data.clips import loading
from tinkit.data.clips.batch import Batch
from tinkit.data.clips.item import ClipItem
from tinkit.data.clips.loading import LoaderWorkers, Share, epoch_order, train_loader
from tinkit.data.clips.testing import TestClips
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.views import ViewConfig
from tinkit.data.manifest.manifest import Manifest
from tinkit.errors import UsageError

VIEWS = ViewConfig(views="2x3", scale=20, crop=16)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return thirteen_clips(tmp_path_factory.mktemp("loading"))


@pytest.fixture
def train(manifest: Manifest) -> TrainClips:
    return TrainClips(manifest, CLIP, seed=4)


def test_the_order_is_a_permutation_of_seed_and_epoch() -> None:
    order = epoch_order(1000, 3, 5)
    assert sorted(order) == list(range(1000))
    assert np.array_equal(order, epoch_order(1000, 3, 5))
    assert not np.array_equal(order, epoch_order(1000, 3, 6))
    assert not np.array_equal(order, epoch_order(1000, 4, 5))
    assert not np.array_equal(order, np.arange(1000))
    assert epoch_order(8, 0, 0).tolist() == [7, 6, 5, 0, 4, 2, 1, 3]  # on every machine


def test_batches_hold_the_clips_of_the_order(train: TrainClips) -> None:
    batches = list(train_loader(train, batch=4, epoch=2))
    order = epoch_order(13, 4, 2).tolist()
    assert [batch["index"].tolist() for batch in batches] == [order[0:4], order[4:8], order[8:12]]
    for batch in batches:
        assert batch["frames"].shape == (4, 3, 3, 16, 16)
        assert batch["frames"].dtype == torch.uint8
        assert batch["frames"].flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
        for slot, index in enumerate(batch["index"].tolist()):
            item = train[2, index]
            assert torch.equal(batch["frames"][slot], item["frames"])
            assert torch.equal(batch["labels"][slot], item["labels"])
            assert batch["valid"][slot] == (index != 5)
            assert batch["labelled"][slot]
            assert bool(batch["reason"][slot]) == (index == 5)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_no_bit(train: TrainClips, workers: int) -> None:
    alone = list(train_loader(train, batch=4, epoch=1))
    assert len(alone) == 3
    assert all_equal(list(train_loader(train, batch=4, epoch=1, workers=LoaderWorkers(workers))), alone)


def joined(parts: Sequence[Batch]) -> Batch:
    """One batch out of several, one after the other."""
    return {
        "frames": torch.cat([part["frames"] for part in parts]),
        "labels": torch.cat([part["labels"] for part in parts]),
        "labelled": torch.cat([part["labelled"] for part in parts]),
        "index": torch.cat([part["index"] for part in parts]),
        "valid": torch.cat([part["valid"] for part in parts]),
        "reason": [reason for part in parts for reason in part["reason"]],
    }


@pytest.mark.parametrize("world", [2, 3, 6])
def test_the_number_of_processes_changes_no_bit(train: TrainClips, world: int) -> None:
    alone = list(train_loader(train, batch=6, epoch=1))
    shares = [list(train_loader(train, batch=6, epoch=1, share=Share(rank, world))) for rank in range(world)]
    assert all_equal([joined(parts) for parts in zip(*shares, strict=True)], alone)


class Recording(TrainClips):
    """Remembers which rows were read."""

    read: tuple[int, ...] = ()

    def __getitem__(self, key: tuple[int, int]) -> ClipItem:
        self.read += (key[1],)
        return super().__getitem__(key)


def test_an_epoch_can_begin_in_its_middle_without_reading_what_was_skipped(manifest: Manifest) -> None:
    whole = list(train_loader(TrainClips(manifest, CLIP, 4), batch=4, epoch=3))
    recording = Recording(manifest, CLIP, 4)
    loader = train_loader(recording, batch=4, epoch=3, start_step=2)
    assert len(loader) == 1
    assert all_equal(list(loader), whole[2:])
    assert list(recording.read) == whole[2]["index"].tolist()
    assert list(train_loader(recording, batch=4, epoch=3, start_step=3)) == []
    assert len(train_loader(recording, batch=4, epoch=3, start_step=9)) == 0


def test_a_loader_reads_no_further_ahead_than_it_must(manifest: Manifest) -> None:
    recording = Recording(manifest, CLIP, 4)
    next(iter(train_loader(recording, batch=4, epoch=0)))
    assert len(recording.read) == 4


def test_a_loader_can_be_iterated_again(train: TrainClips) -> None:
    loader = train_loader(train, batch=4, epoch=0)
    assert all_equal(list(loader), list(loader))


@pytest.mark.parametrize("workers", [0, 2])
def test_testing_takes_the_rows_asked_for_in_order(manifest: Manifest, workers: int) -> None:
    test = TestClips(manifest, CLIP, VIEWS)
    loader = loading.test_loader(test, batch=2, workers=LoaderWorkers(workers), indices=np.array([11, 5, 0, 7, 2]))
    batches = list(loader)
    assert len(loader) == 3
    assert [batch["index"].tolist() for batch in batches] == [[11, 5], [0, 7], [2]]
    assert batches[0]["valid"].tolist() == [True, False]
    assert batches[0]["frames"].shape == (2, 6, 3, 3, 16, 16)
    assert torch.equal(batches[1]["frames"][1], test[7]["frames"])
    assert [batch["index"].tolist() for batch in loading.test_loader(test, batch=10)] == [[*range(10)], [10, 11, 12]]
    assert list(loading.test_loader(test, batch=10, workers=LoaderWorkers(workers), indices=[])) == []


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (5, "5 clips does not divide among 2 processes"),
        (14, "13 clips, a step takes 14"),
    ],
)
def test_what_does_not_divide_is_refused(train: TrainClips, batch: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train_loader(train, batch=batch, epoch=0, share=Share(0, 2))
