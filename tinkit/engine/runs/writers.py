"""One writer for a run, and for each file that a command makes of one; what killed writers have left goes first."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tinkit.engine.distributed.world import World
from tinkit.engine.runs.run import Run
from tinkit.errors import UsageError, UserError
from tinkit.files.atomic import temporaries
from tinkit.files.group import made_folder
from tinkit.files.group import sweep as sweep_temporaries
from tinkit.files.locks import lock_file, writing
from tinkit.files.system_errors import write_errors
from tinkit.run_folder import owner_of

_ELSEWHERE = "name another place: --runs DIR, --out FILE"
_OF_A_RUN = re.compile(r"\.(?!mean=).*\.[0-9a-f]{8}\.tmp(\..*)?")  # a mean's writer is another than the run's


@contextmanager
def writing_run(run: Run, world: World) -> Iterator[None]:
    """Be the one process, with the others of its ``world``, that trains into ``run``, until the block ends.

    The run's folder is made, and goes again where nothing was written to it. Every process of the world calls this.
    Raises :class:`~tinkit.files.locks.InUseError` where another process trains into it.
    """
    with _writing(run.folder, run.folder, world):
        if world.main:
            for folder in (run.folder, run.checkpoints):
                for path in folder.glob(".*.tmp*"):
                    if _OF_A_RUN.fullmatch(path.name):
                        path.unlink(missing_ok=True)
        yield


@contextmanager
def writing_file(path: Path, world: World | None = None) -> Iterator[None]:
    """Be the one process, with the others of its ``world``, that makes the file ``path``, until the block ends.

    Its folder is made. Raises :class:`~tinkit.files.locks.InUseError` where another process makes it.
    """
    world = world or World()
    with _writing(path, path.parent, world):
        if world.main:
            sweep_temporaries(path)
        yield


@contextmanager
def writing_result(path: Path) -> Iterator[None]:
    """:func:`writing_file` for a place that a user names: among a run's checkpoints, the run's one writer, too.

    The account beside it, ``PATH.json``, is its own. Raises :class:`~tinkit.errors.UsageError` for a device, a pipe or
    a folder, before anything opens it.
    """
    _check_is_file(path)
    owner = owner_of(path)
    with ExitStack() as stack:
        if owner is not None:
            stack.enter_context(writing_run(Run(owner[0]), World()))
        stack.enter_context(writing_file(path))
        sweep_temporaries(path.with_name(f"{path.name}.json"))
        try:
            yield
        except OSError as error:
            error.filename = error.filename or str(path)  # a write knows no name, and people need one
            raise


def _check_is_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError:  # what is wrong with the place, writing will tell
        return
    if not stat.S_ISREG(mode):
        raise UsageError("is there, and not a file", file=path, fix="name a file: --out FILE")


def sweep(path: Path) -> None:
    """Remove what a killed writer of ``path`` has left, unless somebody writes it now or it cannot be removed."""
    if lock_file(path).exists() or temporaries(path):
        with suppress(UserError), writing_file(path):
            pass


def sweep_run(run: Run) -> None:
    """:func:`sweep` for a run."""
    if lock_file(run.folder).exists():
        with suppress(UserError), writing_run(run, World()):
            pass


@contextmanager
def _writing(output: Path, folder: Path, world: World) -> Iterator[None]:
    with ExitStack() as stack:

        def enter() -> None:
            with write_errors(folder, _ELSEWHERE):
                stack.enter_context(made_folder(folder))
            with write_errors(output, _ELSEWHERE):
                stack.enter_context(writing(output))

        world.on_main(enter)
        yield
