"""What a command that computes begins with: the processes it was asked for, its words, and the wish to stop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tinkit.errors import Interrupted

if TYPE_CHECKING:
    from tinkit.engine.runtime.session import Session


@contextmanager
def session(*, gpus: int | None, quiet: bool, runs: Path, max_restarts: int = 0) -> Iterator[Session]:
    """The session of this process, one of those that share the command.

    With ``gpus``, this process starts them, waits for them and leaves: the block is theirs.
    """
    from tinkit.engine.distributed.launch import launched
    from tinkit.engine.distributed.signals import StopSignal
    from tinkit.engine.distributed.world import join_world
    from tinkit.engine.runtime.reporter import Reporter
    from tinkit.engine.runtime.session import Session

    if launched(gpus, max_restarts):
        raise typer.Exit
    with join_world() as world:
        yield Session(world, Reporter(quiet=quiet or not world.main), StopSignal(patient=world.size > 1), runs)


@contextmanager
def stoppable(session: Session, kept: str) -> Iterator[None]:
    """In this block signals are a wish to stop; a second Ctrl-C ends it at once. ``kept`` says what is not lost."""
    try:
        with session.stop:
            yield
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {kept}", fix="resume with the same command") from None
