"""The keeper of a run's checkpoints: names, pruning, one write at a time, failed writes, and which one is good."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import tinkit.engine.runs.checkpoint_writer
from tests.helpers.kept_runs import files, save, state, step_of
from tinkit.engine.runs.checkpoint import Snapshot, read_header, write_snapshot
from tinkit.engine.runs.checkpoint_writer import Keeper, newest_good
from tinkit.engine.runs.run import Run
from tinkit.recipe.training import SaveConfig


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


def test_names_are_links_and_old_steps_go(run: Run) -> None:
    with Keeper(run, SaveConfig(keep=2)) as keeper:
        for step in (0, 5, 10, 15):
            keeper.save(state(step, ema=True), step, ("best", "best-ema") if step == 5 else ())
    assert files(run) == ["best", "best-ema", "last", "step-00000010", "step-00000015"]
    assert [step_of(run, name) for name in ("best", "best-ema", "step=10", "last")] == [5, 5, 10, 15]
    assert run.checkpoint("last").samefile(run.step_path(15))
    best, averaged = run.checkpoint("best"), run.checkpoint("best-ema")
    assert best.stat().st_nlink == averaged.stat().st_nlink == 1  # of a step that is gone, and a file of its own
    assert read_header(averaged)["weights"] == "ema"
    assert averaged.stat().st_size < best.stat().st_size / 1.5  # the average alone


@pytest.mark.parametrize("keep", [1, 3])
def test_so_many_steps_stay(run: Run, keep: int) -> None:
    for step in range(5):
        save(run, step, keep=keep)
    assert list(run.step_paths()) == list(range(5))[-keep:]
    assert step_of(run, "last") == 4


def test_the_same_step_can_be_saved_again(run: Run) -> None:
    with Keeper(run, SaveConfig(keep=1)) as keeper:
        keeper.save(state(3), 3)
        keeper.save(state(3, best=0.5), 3, ("best",))
    assert files(run) == ["best", "last", "step-00000003"]
    assert all(read_header(run.checkpoint(which))["progress"]["best"] == 0.5 for which in ("best", "last", "step=3"))


def test_steps_beyond_the_one_gone_back_to_are_removed(run: Run) -> None:
    for step in (10, 20, 30):
        save(run, step, keep=3)
    save(run, 15, keep=3)
    assert files(run) == ["last", "step-00000010", "step-00000015"]


def test_without_links_there_are_copies(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*paths: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    save(run, 1, "best")
    save(run, 2)
    assert files(run) == ["best", "last", "step-00000001", "step-00000002"]
    assert [step_of(run, name) for name in ("best", "last")] == [1, 2]
    assert run.checkpoint("last").stat().st_nlink == 1
    assert run.checkpoint("last").read_bytes() == run.step_path(2).read_bytes()


class Slow:
    """Stands for the function that writes, and writes when it is let."""

    def __init__(self) -> None:
        self.begun, self.go_on, self.order = threading.Semaphore(0), threading.Semaphore(0), list[str]()

    def __call__(self, taken: Snapshot, path: Path) -> None:
        self.order.append(f"begin {path.stem[-1]}")
        self.begun.release()
        self.go_on.acquire()
        write_snapshot(taken, path)
        self.order.append(f"end {path.stem[-1]}")


def test_training_goes_on_while_one_write_at_a_time_is_done(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    monkeypatch.setattr(tinkit.engine.runs.checkpoint_writer, "write_snapshot", slow)
    before = time.monotonic()
    with Keeper(run, SaveConfig()) as keeper:
        assert keeper.saved_at >= before
        keeper.save(state(1), 1)  # returns, though nothing is written yet
        slow.begun.acquire()
        first = keeper.saved_at
        second = threading.Thread(target=keeper.save, args=(state(2), 2))
        second.start()
        second.join(0.05)
        assert second.is_alive()
        assert not run.checkpoint("last").exists()
        slow.go_on.release()
        second.join()
        assert keeper.saved_at > first
        slow.go_on.release()
        keeper.wait()
        assert step_of(run, "last") == 2
        keeper.wait()  # nothing is being written: returns at once
    assert slow.order == ["begin 1", "end 1", "begin 2", "end 2"]


def fill_the_disk(limit: int) -> Callable[[], None]:
    """Let files grow no further than ``limit`` bytes; returns what takes the limit back."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)


def interrupted(keeper: Keeper) -> None:
    with keeper:
        raise KeyboardInterrupt


@pytest.mark.parametrize("how", ["wait", "save", "close", "context"])
def test_a_failed_write_is_raised_once_and_loses_nothing(run: Run, how: str) -> None:
    save(run, 1, "best", keep=1)
    keeper = Keeper(run, SaveConfig(keep=1))
    ways: dict[str, Callable[[], None]] = {
        "wait": keeper.wait,
        "save": lambda: keeper.save(state(3), 3),
        "close": keeper.close,
        "context": lambda: interrupted(keeper),
    }
    restore = fill_the_disk(1000)
    try:
        keeper.save(state(2), 2, ("best",))
        with pytest.raises(OSError, match="File too large") as failed:
            ways[how]()
    finally:
        restore()
    assert failed.value.filename == str(run.step_path(2))
    keeper.wait()
    assert files(run) == ["best", "last", "step-00000001"]
    assert [step_of(run, name) for name in ("best", "last")] == [1, 1]
    if how in ("wait", "save"):
        keeper.save(state(2), 2)
    keeper.close()
    assert step_of(run, "last") == (2 if how in ("wait", "save") else 1)


def test_a_full_disk_for_copies_keeps_the_names(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*paths: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    save(run, 1, "best", keep=1)
    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    keeper = Keeper(run, SaveConfig(keep=1))
    keeper.save(state(2), 2, ("best",))
    with pytest.raises(OSError, match="No space left"):
        keeper.close()
    assert files(run) == ["best", "last", "step-00000001", "step-00000002"]
    assert [step_of(run, name) for name in ("best", "last")] == [1, 1]


def test_leftovers_go_and_strangers_stay(run: Run) -> None:
    save(run, 1)
    for name in (".step-00000002.0a1b2c3d.tmp.safetensors", ".last.0a1b2c3d.tmp.safetensors"):
        (run.checkpoints / name).write_bytes(b"part")
    for name in ("notes.txt", "mine.safetensors", "step-7.safetensors", "step-000000012x.safetensors"):
        (run.checkpoints / name).write_bytes(b"mine")
    idle = Keeper(run, SaveConfig())  # as the other processes of a run have one: it removes nothing
    idle.close()
    assert sum(name.startswith(".") for name in files(run)) == 2
    for step in (3, 4, 5):
        save(run, step)
    assert files(run) == sorted(
        ["last", "mine", "notes.txt", "step-00000004", "step-00000005", "step-000000012x", "step-7"]
    )


def damage(path: Path) -> None:
    """Change a byte of the file itself, so under all its names."""
    with path.open("r+b") as file:
        file.seek(-100, 2)
        byte = file.read(1)[0]
        file.seek(-100, 2)
        file.write(bytes([byte ^ 1]))


def test_the_newest_good_one_is_found(run: Run) -> None:
    assert newest_good(run) == (None, [])
    save(run, 0, "best", keep=1)
    for step in (10, 20, 30):
        save(run, step, keep=3)
    last, best = run.checkpoint("last"), run.checkpoint("best")
    wrong = "its checksum is wrong"
    assert newest_good(run) == (last, [])
    damage(last)  # and with it the step of which it is a further name
    assert newest_good(run) == (run.step_path(20), [(last, wrong)])
    run.step_path(20).write_bytes(b"")
    assert newest_good(run) == (run.step_path(10), [(last, wrong), (run.step_path(20), "it ends after 0 bytes")])
    damage(run.step_path(10))
    found, damaged = newest_good(run)
    assert found == best
    assert [path for path, _ in damaged] == [last, run.step_path(20), run.step_path(10)]
    damage(best)
    found, damaged = newest_good(run)
    assert found is None
    assert len(damaged) == 4


def test_steps_count_where_last_is_missing(run: Run) -> None:
    for step in (9, 100_000_000):
        save(run, step)
    run.checkpoint("last").unlink()
    assert newest_good(run) == (run.step_path(100_000_000), [])


def test_a_damaged_one_does_not_outlive_the_next_save(run: Run) -> None:
    for step in (10, 20):
        save(run, step)
    damage(run.checkpoint("last"))
    assert newest_good(run)[0] == run.step_path(10)
    save(run, 15)
    assert newest_good(run) == (run.checkpoint("last"), [])
    assert list(run.step_paths()) == [10, 15]
