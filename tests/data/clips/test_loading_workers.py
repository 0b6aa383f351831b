"""Worker processes of a loader: that come and go, die, are stuck or interrupted, and the thread that pins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path

import pytest
import torch

from tests.helpers.loaded_clips import CLIP, all_equal, thirteen_clips
from tests.helpers.places import ROOT
from tinkit.data.clips.item import ClipItem
from tinkit.data.clips.loading import LoaderWorkers, train_loader
from tinkit.data.clips.training import TrainClips
from tinkit.data.manifest.manifest import Manifest
from tinkit.errors import UserError


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return thirteen_clips(tmp_path_factory.mktemp("loading"))


@pytest.fixture
def train(manifest: Manifest) -> TrainClips:
    return TrainClips(manifest, CLIP, seed=4)


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


@pytest.mark.thorough
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
