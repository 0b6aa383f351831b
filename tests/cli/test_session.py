"""What a command begins with: it leaves where its processes have done the work, and says what an interruption keeps."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import typer

from tinkit.cli.session import session, stoppable
from tinkit.engine.distributed import launch
from tinkit.engine.runtime.session import Session
from tinkit.errors import Interrupted


def test_the_process_that_launched_others_does_none_of_their_work(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int | None, int]] = []
    monkeypatch.setattr(launch, "launched", lambda *words: asked.append(words) or True)
    with pytest.raises(typer.Exit) as leaving, session(gpus=2, max_restarts=3, quiet=True, runs=Path("runs")):
        pytest.fail("the work is that of the processes")
    assert leaving.value.exit_code == 0
    assert asked == [(2, 3)]


def test_one_process_is_a_world_of_one_that_speaks_unless_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for quiet, said in ((True, ""), (False, "hello\n")):
        with session(gpus=None, quiet=quiet, runs=Path("mine")) as ours:
            assert (ours.world.size, ours.world.main, ours.runs) == (1, True, Path("mine"))
            ours.reporter.say("hello")
        assert capsys.readouterr().err == said


def interrupted_twice(ours: Session) -> None:
    with stoppable(ours, "all of it is kept"):
        assert ours.stop.number == 0  # nothing is left of a wish before
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_is_a_wish_and_a_second_ctrl_c_an_end() -> None:
    ours, before = Session(), signal.getsignal(signal.SIGINT)
    with stoppable(ours, "all of it is kept"):
        os.kill(os.getpid(), signal.SIGTERM)
        assert ours.stop.number == signal.SIGTERM
    with pytest.raises(Interrupted, match="interrupted; all of it is kept") as caught:
        interrupted_twice(ours)
    assert caught.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before
