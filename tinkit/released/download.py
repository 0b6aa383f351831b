"""A file fetched from a host or copied from a folder, a part at a time, so that an interrupted one is continued."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tinkit.errors import UserError
from tinkit.files.atomic import write_atomic
from tinkit.files.json import read_json
from tinkit.files.reading import open_regular
from tinkit.files.system_errors import cannot_be_written, read_errors, write_errors
from tinkit.released.http import BROKEN, Answer, BusyError, ShorterError, ask

MOST_BYTES = 8 << 30
"""A longer file is refused: no checkpoint of the table is nearly as long."""
_CHUNK = 1 << 18
_MIB = 1 << 20
_ELSEWHERE = "name another folder: --folder DIR"

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there, and with how many there will be (None: not known)."""


@dataclass(frozen=True)
class Patience:
    """``tries`` in a row without a new byte end a download; the first wait between them lasts ``wait`` seconds, each
    further one twice as long. A host that sends nothing for ``timeout`` seconds counts as gone."""

    tries: int = 4
    wait: float = 0.5
    timeout: float = 30.0


@dataclass(frozen=True)
class Wanted:
    """``address`` of the file; ``mib``, its size to three decimals where that is known; whether something of its
    SHA-256 is ``known``, so that parts of two versions would be found out."""

    address: str
    mib: float | None
    known: bool


def download(
    wanted: Wanted, part: Path, say: Callable[[str], None], progress: Progress, patience: Patience = Patience()
) -> str:
    """Fetch a file into ``part``, continuing what is there of it; returns the address that gave it in the end.

    What a broken connection leaves in ``part`` stays, and so it does for the next call. A host that cannot continue
    begins anew, which is said. Raises :class:`~tinkit.errors.UserError`.
    """
    idle, most = 0, 0
    while True:
        try:
            address, missing = _attempt(wanted, part, say, progress, patience.timeout)
            if not missing:
                return address
            reason = f"the host closed the connection {missing} bytes before the end"
        except BusyError as error:
            reason = str(error)
        except ShorterError as error:
            remove_part(part)
            reason = str(error)
        except BROKEN as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        here = _size(part)
        idle, most = (0, here) if here > most else (idle + 1, most)
        if idle >= patience.tries:
            raise UserError(
                f"{wanted.address}: {reason[:300]}; {here / _MIB:.1f} MiB are here",
                fix="run the same command again, which continues where the host can, or name a folder or an address "
                "that has the file: --mirror DIR|URL",
            )
        say(f"{wanted.address}: {reason[:300]}; trying again")
        time.sleep(patience.wait * 2**idle)


def copy(source: Path, mib: float | None, part: Path, progress: Progress) -> None:
    """Copy a file of this machine into ``part``. Raises :class:`~tinkit.errors.UserError`."""
    with read_errors(source, "a checkpoint in the folder of --mirror"), open_regular(source) as file:
        length = source.stat().st_size
        _check_length(length, mib, str(source))
        with _writing(part, "wb") as out:
            done = 0
            while chunk := file.read(_CHUNK):
                _write(out, chunk, part)
                done += len(chunk)
                progress(done, length)


def remove_part(part: Path) -> None:
    """Remove what is there of a download, and what is known of it."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _attempt(
    wanted: Wanted, part: Path, say: Callable[[str], None], progress: Progress, timeout: float
) -> tuple[str, int]:
    """One connection: the address that answered, and how many bytes are missing still."""
    here, version, length = _left(part, wanted)
    with ask(wanted.address, here, version, timeout) as answer:
        if answer.start and answer.length != length:
            raise ShorterError(f"the host says that the file has {answer.length} bytes, and said {length} before")
        if answer.start < here:
            say(f"{wanted.address}: the host cannot continue, or has another version by now: begun anew")
        _check_length(answer.length, wanted.mib, wanted.address)
        _check_room(part, answer)
        with write_errors(part, _ELSEWHERE):
            note = {"address": wanted.address, "version": answer.version, "length": answer.length}
            write_atomic(_note(part), json.dumps(note) + "\n")
        done = answer.start
        with _writing(part, "r+b" if answer.start else "wb") as out:
            out.seek(answer.start)
            for chunk in _chunks(answer):
                done += len(chunk)
                if done > (answer.length or MOST_BYTES):
                    raise UserError(f"{wanted.address}: the host sends more than the file holds")
                _write(out, chunk, part)
                progress(done, answer.length)
        _check_length(done if answer.length is None else None, wanted.mib, wanted.address)
        return answer.address, 0 if answer.length is None else answer.length - done


def _left(part: Path, wanted: Wanted) -> tuple[int, str, int | None]:
    """How many bytes are there of this file, of which version, and how many it has; 0 where they cannot be trusted."""
    nothing = 0, "", None
    if not part.is_file() or not _note(part).is_file():
        return nothing
    try:
        note = read_json(_note(part), "what is known of a download", limit=1 << 16)
    except UserError:
        return nothing
    if not isinstance(note, dict) or note.get("address") != wanted.address:
        return nothing
    version, length = note.get("version"), note.get("length")
    if not isinstance(version, str) or not isinstance(length, int | None) or not (version or wanted.known):
        return nothing
    return (_size(part), version, length) if version.isprintable() else nothing


def _chunks(answer: Answer) -> Iterator[bytes]:
    if answer.start == answer.length:
        return
    try:
        while chunk := answer.body.read(_CHUNK):
            yield chunk
    except OSError as error:  # of the connection, and never of the file that is written
        raise ConnectionError(str(error)) from error


def _check_length(length: int | None, mib: float | None, where: str) -> None:
    if length is None:
        return
    if mib is not None and abs(length / _MIB - mib) > 0.0011:
        raise UserError(
            f"{where}: it has {length} bytes ({length / _MIB:.3f} MiB)",
            expected=f"{mib:.3f} MiB, as its owners state",
            fix="name a folder or an address that has the file: --mirror DIR|URL",
        )
    if length > MOST_BYTES:
        raise UserError(f"{where}: it has {length / (1 << 30):.0f} GiB", expected="a checkpoint of 8 GiB at most")


def _check_room(part: Path, answer: Answer) -> None:
    free = shutil.disk_usage(part.parent).free
    more = 0 if answer.length is None else answer.length - answer.start
    if more > free:
        raise UserError(
            f"the disk has room for {free / _MIB:.0f} MiB, and {more / _MIB:.0f} MiB are to come",
            file=part.parent,
            fix=f"make room, or {_ELSEWHERE}",
        )


def _writing(part: Path, mode: str) -> IO[bytes]:
    try:
        return part.open(mode)
    except OSError as error:
        raise cannot_be_written(part, error, _ELSEWHERE) from error


def _write(out: IO[bytes], chunk: bytes, part: Path) -> None:
    try:
        out.write(chunk)
        out.flush()  # a full disk is found out here, and not where the file is closed
    except OSError as error:
        raise cannot_be_written(part, error, _ELSEWHERE) from error


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")
