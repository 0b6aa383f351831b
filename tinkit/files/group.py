"""A result of several files that appears at once, or is recognised as unfinished and refused.

The files of a group lie in one folder. Its *head* is the one that describes the others: a fusion's ``fusion.json``, a
submission's ``manifest.json``. All are written whole into a hidden stage beside their places; then a journal says that
the stage is complete, and from there on any process can finish the group. The old head goes first and the new one
comes last, so that a head never stands beside files that it does not describe, whoever looks.

Whoever writes holds the lock of the output (:func:`writing_in` takes it); whoever reads asks
:func:`refuse_unfinished` first.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from tinkit.errors import UserError
from tinkit.files.atomic import flush, flush_folder, temporaries
from tinkit.files.locks import writing
from tinkit.files.system_errors import write_errors

_MAX_BYTES = 1 << 20
_UNFINISHED = ".unfinished"


class FileGroup:
    """The files of one group while they are written."""

    def __init__(self, head: Path, stage: Path) -> None:
        self._head = head
        self._stage = stage
        self._names: list[str] = []
        self._removed: list[str] = []

    def place(self, name: str) -> Path:
        """Where to write the file that will be called ``name``."""
        if name not in self._names:
            self._names.append(name)
        return self._stage / "new" / name

    def remove(self, name: str) -> None:
        """Remove the file ``name``, which this group replaces by nothing."""
        self._removed.append(name)

    def commit(self) -> None:
        """Bring all files to their places. If that fails, what was there stays and OSError is raised."""
        folder, head = self._head.parent, self._head.name
        names = [*(name for name in self._names if name != head), head]
        for name in names:
            flush(self._stage / "new" / name)
        flush_folder(self._stage / "new")
        journal = self._stage / "journal"
        content = {"stage": self._stage.name, "files": names, "removed": self._removed}
        journal.write_text(json.dumps(content), encoding="utf-8", errors="surrogateescape")
        flush(journal)
        try:
            journal.replace(_journal(self._head))
            flush_folder(folder)
            _bring(folder, self._stage, names, self._removed)
            _journal(self._head).unlink()
        except BaseException as failure:
            try:
                _take_back(folder, self._stage, names, self._removed)
                _journal(self._head).unlink(missing_ok=True)
            except OSError as second:
                raise UserError(
                    f"unfinished: {failure}; and what was there could not be put back: {second}",
                    file=self._head,
                    fix="mend the disk and repeat the command: it finishes what it began",
                ) from failure
            raise


@contextmanager
def file_group(head: Path, output: Path | None = None) -> Iterator[FileGroup]:
    """Write the files of the group that ``head`` describes; on a clean exit all appear, else none.

    ``output`` is what errors name, where that is not ``head``. The caller holds the lock of the output and has called
    :func:`recover`. Raises :class:`~tinkit.errors.UserError` where the disk is full or cannot be written; what was
    there is as it was.
    """
    stage = head.with_name(f".stage-{head.name}-{secrets.token_hex(4)}")
    group = FileGroup(head, stage)
    try:
        with write_errors(output or head):
            for part in ("new", "old"):
                (stage / part).mkdir(parents=True)
            yield group
            group.commit()
    finally:
        if not _journal(head).exists():  # else it is what finishes, or undoes, what could be done neither way here
            shutil.rmtree(stage, ignore_errors=True)


def recover(head: Path) -> None:
    """Finish what a process that was killed left of the group of ``head``, and sweep its stages.

    The caller holds the lock of the output. Raises :class:`~tinkit.errors.UserError` for a journal that is damaged.
    """
    with write_errors(head):
        journal = _journal(head)
        if (content := _read_journal(journal)) is not None:
            _bring(head.parent, head.with_name(content["stage"]), content["files"], content["removed"])
            journal.unlink()
        stages = re.compile(_stage_pattern(head.name))
        for entry in [path for path in head.parent.iterdir() if stages.fullmatch(path.name)]:
            shutil.rmtree(entry)
        sweep(head)


def refuse_unfinished(head: Path) -> None:
    """Raise :class:`~tinkit.errors.UserError` if the group of ``head`` is only partly in its places."""
    if _journal(head).exists():
        raise UserError(
            "unfinished: the command that wrote it was ended half-way, or is still at work",
            file=head,
            fix="wait for that command or repeat it: it finishes what it began",
        )


def sweep(target: Path) -> None:
    """Remove the temporary files that processes which were killed left beside ``target``.

    The caller holds the lock of ``target``, so that no living process writes one.
    """
    for entry in temporaries(target):
        entry.unlink(missing_ok=True)


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make ``folder``; what was made and has nothing in it goes when the block ends. Raises OSError."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with suppress(OSError):  # it is not empty
            for path in made:
                path.rmdir()


@contextmanager
def writing_in(folder: Path, *outputs: Path) -> Iterator[None]:
    """Be the one writer of ``outputs``, which are ``folder`` or lie in it, until the block ends.

    The folder is made if need be, and goes again if the block leaves it empty. Raises
    :class:`~tinkit.files.locks.InUseError`, and :class:`~tinkit.errors.UserError` where nothing can be written.
    """
    with ExitStack() as stack:
        with write_errors(outputs[0]):
            stack.enter_context(made_folder(folder))
            for output in outputs:
                stack.enter_context(writing(output))
        yield


def _journal(head: Path) -> Path:
    return head.with_name(f".{head.name}{_UNFINISHED}")


def _stage_pattern(head: str) -> str:
    return rf"\.stage-{re.escape(head)}-[0-9a-f]{{8}}"


def _bring(folder: Path, stage: Path, names: Sequence[str], removed: Sequence[str]) -> None:
    """Move what is still in the stage to its place, and what was there before into the stage.

    ``names`` has the head last. It may be repeated, whatever part of it was done before.
    """
    waiting = [name for name in names if (stage / "new" / name).exists()]
    for name in (*reversed(waiting), *removed):
        with suppress(FileNotFoundError):
            (folder / name).replace(stage / "old" / name)
    for name in waiting:
        (stage / "new" / name).replace(folder / name)
    flush_folder(folder)


def _take_back(folder: Path, stage: Path, names: Sequence[str], removed: Sequence[str]) -> None:
    """The reverse of ``_bring``."""
    for name in reversed(names):
        if not (stage / "new" / name).exists():
            (folder / name).replace(stage / "new" / name)
    for name in (*removed, *names):
        with suppress(FileNotFoundError):
            (stage / "old" / name).replace(folder / name)
    flush_folder(folder)


def _read_journal(journal: Path) -> dict[str, Any] | None:
    try:
        with journal.open("rb") as file:
            data = file.read(_MAX_BYTES)
    except FileNotFoundError:
        return None
    try:
        content = json.loads(data.decode(errors="surrogateescape"))
        names = [content["stage"], *content["files"], *content["removed"]]
        if not all(isinstance(name, str) and name == Path(name).name and name not in ("", "..") for name in names):
            raise ValueError("names that are not those of files in this folder")
        if not re.fullmatch(_stage_pattern(journal.name[1 : -len(_UNFINISHED)]), content["stage"]):
            raise ValueError("a stage that is not one")
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise UserError(
            f"damaged: {problem}",
            file=journal,
            fix="remove it, and write what lies beside it again: those files may not belong together",
        ) from problem
    return dict(content)
