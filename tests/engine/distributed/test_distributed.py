"""A world of real processes over gloo: its exchanges, who says what went wrong, and starting again on an old store."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from tests.helpers.processes import Process, Ranks, agent_store, running, together
from tests.helpers.tiny_runs import QUIET, tiny
from tinkit.engine.distributed import world as distributed
from tinkit.engine.distributed.world import LostPeerError, World, join_world, lost_peer
from tinkit.engine.runs.run import Run
from tinkit.engine.training.auto_resume import restarted
from tinkit.engine.training.start import start_training
from tinkit.errors import Interrupted, UsageError, UserError


@pytest.fixture(scope="module")
def store() -> dist.TCPStore:
    """One store for all worlds here, so that each finds in it what those before have left."""
    return agent_store()


def exchanges(world: World) -> Any:
    spread = [torch.full((2, 3), float(world.rank)), torch.tensor(world.rank)]
    world.spread(spread)
    order: list[str] = []
    world.first(lambda: order.append(f"{world.rank}"))
    return {
        "place": (world.rank, world.size, world.main),
        "total": world.total(world.rank, 0.5, 1e12 + world.rank),
        "gather": world.gather({"rank": world.rank, "array": torch.arange(world.rank)}),
        "share": world.share(("of", world.rank)),
        "spread": [tensor.tolist() for tensor in spread],
        "first": order,
    }


@pytest.mark.thorough
@pytest.mark.parametrize("size", [1, 3])
def test_exchanges_give_every_process_what_they_say(store: dist.TCPStore, size: int) -> None:
    found = [exchanges(World())] if size == 1 else together(store, size, exchanges)
    for rank, one in enumerate(found):
        assert one["place"] == (rank, size, rank == 0)
        assert one["total"] == (sum(range(size)), 0.5 * size, size * 1e12 + sum(range(size)))
        assert one["share"] == ("of", 0)
        assert one["spread"] == [[[0.0] * 3] * 2, 0]
        assert one["first"] == [str(rank)]
        gathered = one["gather"]
        assert gathered is None if rank else [value["rank"] for value in gathered] == list(range(size))


def counted(world: World) -> tuple[float, ...]:
    return world.total(1)


@pytest.mark.thorough
def test_a_start_on_a_store_with_the_leavings_of_dead_processes_does_not_hang(store: dist.TCPStore) -> None:
    part = dist.PrefixStore("tinkit", store)
    together(store, 3, counted)
    came = part.get("here/1")
    dead = Ranks(store, 3, counted)
    dead.processes[0].send(signal.SIGKILL)  # the others come, and wait for its answer
    while part.get("here/1") == came:
        time.sleep(0.02)
    for process in dead.processes[1:]:
        process.send(signal.SIGKILL)
    assert {one.code for one in dead.wait()} == {-signal.SIGKILL}
    assert together(store, 3, counted) == [(3.0,)] * 3


def mistakes(world: World, what: str) -> Any:
    if what == "all alike":
        raise UsageError("a batch of 8 does not divide", fix="another one")
    if what == "a bug in all":
        raise ZeroDivisionError("no")
    if what == "asked to stop":
        raise Interrupted("interrupted", number=signal.SIGUSR1, fix="go on")
    if what == "ctrl-c":
        raise KeyboardInterrupt
    if what == "the last alone" and world.rank == world.size - 1:
        raise UsageError("only here")
    if what == "killed" and world.rank == world.size - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "main":

        def wrong() -> None:
            raise UsageError("wrong from the start")

        return world.first(wrong)
    while True:
        world.total(1)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("what", "name", "code"),
    [
        ("all alike", "UsageError", 2),
        ("a bug in all", "ZeroDivisionError", 1),
        ("asked to stop", "Interrupted", 75),
        ("the last alone", "UsageError", 2),
        ("main", "UsageError", 2),
    ],
)
def test_an_error_is_said_by_one_process(store: dist.TCPStore, what: str, name: str, code: int) -> None:
    raised = [one.raised for one in Ranks(store, 3, mistakes, what).wait()]
    speaking = [one for one in raised if one and one[0] != "SaidElsewhere"]
    assert [one[:2] for one in speaking] == [(name, code)]
    silent = [one for one in raised if one and one[0] == "SaidElsewhere"]
    assert len(silent) == 2
    if what != "main":  # there the main process' own code is what counts
        assert {one[1] for one in silent} == {code}


def test_ctrl_c_in_all_is_said_by_one(store: dist.TCPStore) -> None:
    raised = [one.raised for one in Ranks(store, 2, mistakes, "ctrl-c").wait()]
    assert sorted(one[0] for one in raised if one) == ["KeyboardInterrupt", "SaidElsewhere"]
    assert 130 in [one[1] for one in raised if one]


def test_when_a_process_is_killed_the_others_stop_and_one_says_so(store: dist.TCPStore) -> None:
    ended = Ranks(store, 3, mistakes, "killed").wait()
    assert ended[2].code == -signal.SIGKILL
    names = [one.raised[0] for one in ended[:2] if one.raised]
    assert sorted(names) == ["LostPeerError", "SaidElsewhere"]
    assert all(one.code == 1 for one in ended[:2])
    text = next(one.raised[2] for one in ended if one.raised and one.raised[0] == "LostPeerError")
    assert "--resume" in text
    assert ".cc" not in text


def lost_while_meeting(rank: int) -> None:
    """Let the last process be killed between the two groups it joins, and the others fail to connect to it."""

    def new_group(**_: Any) -> dist.ProcessGroup:
        if rank == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("Gloo connectFullMesh failed with [/a/tcp/pair.cc:5] Connection closed by peer [127.0.0.1]")

    dist.new_group = new_group  # type: ignore[assignment]


@pytest.mark.thorough
def test_when_a_process_is_killed_while_they_meet_one_says_so(store: dist.TCPStore) -> None:
    ended = Ranks(store, 3, counted, before=lost_while_meeting).wait()
    assert [one.code for one in ended] == [1, 1, -signal.SIGKILL]
    names = [one.raised[0] for one in ended if one.raised]
    assert sorted(names) == ["LostPeerError", "SaidElsewhere"]
    text = next(one.raised[2] for one in ended if one.raised and one.raised[0] == "LostPeerError")
    assert "cannot meet the other 2 at localhost:" in text
    assert "--resume" in text


def lost_while_training(world: World, root: Path, runs: Path) -> None:
    start_training(Run(runs / "a"), tiny(root, "optim.epochs=400"), replace(QUIET, world=world))


@pytest.mark.thorough
def test_a_training_stops_when_one_of_its_processes_is_killed(
    store: dist.TCPStore, challenge: Path, tmp_path: Path
) -> None:
    ranks = Ranks(store, 2, lost_while_training, challenge, tmp_path)
    while not Run(tmp_path / "a").step_path(3).is_file():
        assert ranks.processes[0].alive()
        time.sleep(0.02)
    ranks.processes[1].send(signal.SIGKILL)
    ended = ranks.wait()
    assert [one.code for one in ended] == [1, -signal.SIGKILL]
    assert ended[0].raised is not None
    assert ended[0].raised[0] == "LostPeerError"


@pytest.mark.thorough
def test_what_all_processes_refuse_is_said_once(store: dist.TCPStore, challenge: Path, tmp_path: Path) -> None:
    ended = Ranks(store, 3, lost_while_training, challenge, tmp_path).wait()
    speaking = [one.raised for one in ended if one.raised and one.raised[0] != "SaidElsewhere"]
    assert len(speaking) == 1
    assert "does not divide among 3 processes" in speaking[0][2]
    assert not (tmp_path / "a").exists()


def follower(folder: Path) -> None:
    """A launcher that is killed after it has started a process."""
    signal.signal(signal.SIGTERM, lambda *_: (folder / "told").touch() or os._exit(0))
    if os.fork() == 0:
        distributed._end_with_parent()
        (folder / "pid").write_text(str(os.getpid()))
        while True:
            signal.pause()
    while not (folder / "pid").is_file() or not (folder / "pid").read_text():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_is_told_when_its_launcher_is_killed(tmp_path: Path) -> None:
    assert Process(follower, tmp_path).wait().code == -signal.SIGKILL
    pid, deadline = int((tmp_path / "pid").read_text()), time.monotonic() + 30
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (tmp_path / "told").exists()


def count(world: World) -> bool:
    # torchrun's agents count each for itself: here only that of the last process has seen a failure
    os.environ["TORCHELASTIC_RESTART_COUNT"] = str(int(world.rank == world.size - 1))
    return restarted(world)


@pytest.mark.thorough
def test_all_know_of_a_restart_that_one_machine_has_counted(store: dist.TCPStore) -> None:
    assert together(store, 2, count) == [True, True]


def test_half_of_the_variables_is_a_mistake_that_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    for name in ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="LOCAL_RANK, MASTER_ADDR, MASTER_PORT not"), join_world():
        pass


def test_only_errors_of_a_connection_are_taken_for_a_lost_peer() -> None:
    gloo = RuntimeError("[/a/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:7. This is typical.")
    found = lost_peer(gloo)
    assert isinstance(found, LostPeerError)
    assert found.problem == "another process of this run has ended (Connection closed by peer :7)"
    for text in ("reset", "", "[only a place]"):
        assert isinstance(lost_peer(dist.DistNetworkError(text)), LostPeerError)
    assert lost_peer(RuntimeError("shape mismatch")) is None


def meet_nobody(ready: str) -> None:
    """Wait for another process that does not come."""
    Path(ready).touch()
    with join_world():
        raise AssertionError


def test_ctrl_c_ends_a_process_that_waits_for_the_others(tmp_path: Path) -> None:
    store = agent_store()
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(store.port)}
    place |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "RANK": "1", "LOCAL_RANK": "1"}
    process = Process(meet_nobody, str(tmp_path / "ready"), **place)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    time.sleep(1)
    process.send(signal.SIGINT)
    assert process.wait().code == -signal.SIGINT
