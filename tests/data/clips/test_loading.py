"""Batches: order and shares, elastic determinism, worker processes that come and go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.places import ROOT
from tests.helpers.video_files import write_manifest, write_video
from tinkit.data.clips import loading
from tinkit.data.clips.batch import Batch
from tinkit.data.clips.item import ClipItem
from tinkit.data.clips.loading import LoaderWorkers, Share, epoch_order, train_loader
from tinkit.data.clips.testing import TestClips
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.manifest.manifest import Manifest
from tinkit.errors import UsageError, UserError

CLIP = ClipConfig(num_segments=3, size=16)
VIEWS = ViewConfig(views="2x3", scale=20, crop=16)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """13 clips, of which number 5 is broken."""
    root = tmp_path_factory.mktemp("loading")
    rows = []
    for number in range(13):
        path = root / f"{number}.mp4"
        if number == 5:
            path.write_bytes(b"broken")
        else:
            write_video(path, count=8 + number, width=40, height=30, seed=number)
        rows.append((f"clip {number}", path.name, "abc"[number % 3]))
    return write_manifest(root, rows)


@pytest.fixture
def train(manifest: Manifest) -> TrainClips:
    return TrainClips(manifest, CLIP, seed=4)


def equal(a: Batch, b: Batch) -> bool:
    left, right = (
        (batch["frames"], batch["labels"], batch["labelled"], batch["index"], batch["valid"]) for batch in (a, b)
    )
    return a["reason"] == b["reason"] and all(torch.equal(x, y) for x, y in zip(left, right, strict=True))


def all_equal(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))


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


class Stuck(TrainClips):
    """A data set whose worker is stopped, as by a disk that does not answer."""

    def __getitem__(self, key: tuple[int, int]) -> ClipItem:
        if torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().__getitem__(key)


class Dying(TrainClips):
    """A data set whose worker dies as if the system had run out of memory."""

    def __getitem__(self, key: tuple[int, int]) -> ClipItem:
        if torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(key)


def test_a_killed_worker_is_told_without_a_traceback(manifest: Manifest) -> None:
    with pytest.raises(UserError, match="memory ran out") as caught:
        list(train_loader(Dying(manifest, CLIP, 4), batch=4, epoch=0, workers=LoaderWorkers(2)))
    assert "fewer data workers" in str(caught.value)


class Faulty(TrainClips):
    """A data set with a fault of the program."""

    def __getitem__(self, key: tuple[int, int]) -> ClipItem:
        raise RuntimeError("a fault")


def test_a_fault_of_the_program_is_not_hidden(manifest: Manifest) -> None:
    with pytest.raises(RuntimeError, match="a fault"):
        list(train_loader(Faulty(manifest, CLIP, 4), batch=4, epoch=0))


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for the workers in /proc")
def test_workers_end_with_the_iteration(train: TrainClips) -> None:
    before = set(children(os.getpid()))
    batches = iter(train_loader(train, batch=1, epoch=0, workers=LoaderWorkers(2)))
    list(islice(batches, 2))
    assert len(set(children(os.getpid())) - before) == 2
    del batches
    assert set(children(os.getpid())) <= before


ENDLESS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.path.insert(0, {tests!r})
from pathlib import Path
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.dataset import DataConfig
from tinkit.data.clips.loading import LoaderWorkers, train_loader
from tinkit.data.manifest.manifest import open_manifest
from tinkit.data.config.views import ClipConfig

manifest = open_manifest(DataConfig(dataset="table", root=Path({root!r})), "train")
try:
    for epoch in range(10**6):
        clips = TrainClips(manifest, ClipConfig(num_segments=3, size=16), 0)
        for batch in train_loader(clips, batch=4, epoch=epoch, workers=LoaderWorkers(2)):
            print("batch", flush=True)
except KeyboardInterrupt:
    sys.exit("interrupted")
"""


def test_ctrl_c_ends_all_workers_without_their_tracebacks(manifest: Manifest) -> None:
    code = ENDLESS.format(tests=str(ROOT), root=str(manifest.root))
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "batch\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
    _, errors = process.communicate(timeout=60)
    assert errors == "interrupted\n"
    assert process.returncode == 1
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("a worker outlived the main process")


TAKES_ONE = (
    ENDLESS.split("try:")[0]
    + """
import os
clips = TrainClips(manifest, ClipConfig(num_segments=3, size=16), 0)
batches = iter(train_loader(clips, batch=1, epoch=0, workers=LoaderWorkers(3)))
next(batches)
print(*[int(word) for word in open(f"/proc/{{os.getpid()}}/task/{{os.getpid()}}/children").read().split()], flush=True)
{rest}
"""
)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for the workers in /proc")
@pytest.mark.parametrize(
    ("rest", "code"),
    [("raise SystemExit(4)", 4), ("again = [batches]; again.append(again); del batches, again", 0)],
)
def test_a_script_that_takes_one_batch_ends(manifest: Manifest, rest: str, code: int) -> None:
    script = TAKES_ONE.format(tests=str(ROOT), root=str(manifest.root), rest=rest)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    workers = [int(word) for word in done.stdout.split()]
    assert len(workers) == 3
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


class Pinned:
    """Stands in for a CUDA device in the copying of batches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: set[str] = set()
        self.devices: list[int] = []
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
        monkeypatch.setattr(torch.cuda, "set_device", self.devices.append)
        monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: self.pin(tensor))

    def pin(self, tensor: torch.Tensor) -> torch.Tensor:
        self.threads.add(threading.current_thread().name)
        return tensor.clone()


def test_batches_are_pinned_ahead_by_a_thread_that_ends(train: TrainClips, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = list(train_loader(train, batch=4, epoch=0))
    with monkeypatch.context() as patch:
        device = Pinned(patch)
        loader = train_loader(train, batch=4, epoch=0, workers=LoaderWorkers(2))
        assert all_equal(list(loader), plain)
        assert (device.threads, device.devices) == ({"pinning"}, [1])
        batches = iter(loader)
        next(batches)
        begun = time.monotonic()
        batches.close()  # type: ignore[attr-defined]
        assert time.monotonic() - begun < 5
        assert "pinning" not in [thread.name for thread in threading.enumerate()]
        with pytest.raises(UserError, match="killed by signal 9"):
            list(train_loader(Dying(train.manifest, CLIP, 4), batch=4, epoch=0, workers=LoaderWorkers(2)))
        with pytest.raises(UserError, match="no sign of life for 2 s"):
            list(train_loader(Stuck(train.manifest, CLIP, 4), batch=4, epoch=0, workers=LoaderWorkers(2, give_up=2)))
    assert "pinning" not in [thread.name for thread in threading.enumerate()]


def test_a_worker_that_is_stuck_is_told_with_its_clips(train: TrainClips) -> None:
    batches = train_loader(Stuck(train.manifest, CLIP, 4), batch=4, epoch=0, workers=LoaderWorkers(2, give_up=1))
    with pytest.raises(UserError, match=r"no sign of life for 1 s, at 'clip \d+', 'clip \d+', 'clip \d+' and 1 more"):
        list(batches)


def test_a_broken_clip_passes_from_a_worker_as_it_is(train: TrainClips) -> None:
    """With its reason; tensors of every kind keep their dtype and layout."""
    here = {
        int(i): r for b in train_loader(train, batch=4, epoch=0) for i, r in zip(b["index"], b["reason"], strict=True)
    }
    for batch in train_loader(train, batch=4, epoch=0, workers=LoaderWorkers(1)):
        assert [here[int(index)] for index in batch["index"]] == batch["reason"]
        assert batch["frames"].is_contiguous(memory_format=torch.preserve_format) or batch["frames"].stride(2) == 1
        kinds = [batch[name].dtype for name in ("frames", "labels", "labelled", "index", "valid", "broken")]  # type: ignore[literal-required]
        assert kinds == [torch.uint8, torch.float32, torch.bool, torch.int64, torch.bool, torch.bool]
