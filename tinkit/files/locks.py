"""One writer at a time for one output: a run, a fusion, a submission, any file or folder that a command makes.

The lock is the system's (flock), so it ends with its process however that ends, and a record in the lock file says who
holds it. Where the file system cannot lock, the record alone has to do, and that is said. A library that does this
(filelock) empties the file that it locks and does not name the holder, whom a person needs to know.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from tinkit.errors import UserError
from tinkit.files.hashes import sha256_text

logger = logging.getLogger(__name__)

_CANNOT_LOCK = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_ORPHANS = 10.0  # seconds that the children of a killed process may still hold its lock: they end within five
_BEAT = 30.0  # seconds between two signs of life, for processes of other hosts
_SILENT = 300.0  # seconds without one after which a holder on another host is taken for dead
_MAX_BYTES = 1 << 16


class InUseError(UserError):
    """Another process writes this output."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: ``started`` tells a process from a later one of its number; ``since`` is local time."""

    pid: int
    host: str
    started: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on host {self.host} since {self.since}"


@contextmanager
def writing(output: str | Path) -> Iterator[None]:
    """Be the one writer of ``output``, a file or a folder, until the block ends.

    The lock file lies in the folder, which must exist, or beside the file: ``.lock`` or ``.NAME.lock``; it goes with
    the lock. Links are followed to a folder, so that two names of one folder are one output. A lock that a dead process
    of this host left is taken over; one of another host is refused, or, if that has shown no sign of life for five
    minutes, taken over with a warning. Raises :class:`InUseError`, which names the holder, at once.
    """
    file = lock_file(Path(output))
    descriptor = _acquire(file, Path(output))
    ended = threading.Event()
    beats = threading.Thread(target=_show_life, args=(descriptor, ended), daemon=True)
    beats.start()
    try:
        yield
    finally:
        ended.set()
        beats.join()
        if _is_the_file(descriptor, file):  # else somebody removed it, and another holds its successor
            with suppress(OSError):  # what stays is the record of a process that has ended
                file.unlink()
        os.close(descriptor)


@contextmanager
def in_turn(writer: Callable[[], AbstractContextManager[None]], patience: float = 120.0) -> Iterator[None]:
    """The context that ``writer`` gives, for what several commands need and any may make: waits for another's end.

    Raises :class:`InUseError` after ``patience`` seconds.
    """
    give_up = time.monotonic() + patience
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(writer())
                break
            except InUseError:
                if time.monotonic() > give_up:
                    raise
            time.sleep(0.2)
        yield


def lock_file(output: Path) -> Path:
    """Where the lock of ``output`` lies, whether it is held or not."""
    if output.is_dir():
        return output.resolve() / ".lock"
    name = f".{output.name}.lock"
    if len(os.fsencode(name)) > 255:  # NAME_MAX
        name = f".{sha256_text(output.name)[:32]}.lock"
    return output.parent.resolve() / name


def holder_of(output: str | Path) -> Holder | None:
    """Who holds the lock of ``output`` by its record, alive or not; None without one."""
    try:
        with lock_file(Path(output)).open("rb") as file:
            return _parsed(file.read(_MAX_BYTES))
    except OSError:
        return None


def _acquire(file: Path, output: Path) -> int:
    """The open, locked lock file, with this process as its holder."""
    give_up = time.monotonic() + _ORPHANS
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            locked = _try_to_lock(descriptor, file)
            before = _parsed(os.pread(descriptor, _MAX_BYTES, 0))
            alive = before is not None and _is_alive(before)
            if locked is False and (alive or time.monotonic() > give_up):
                raise _in_use(output, file, before, alive=alive)
            if locked is not False and _is_the_file(descriptor, file):
                _check_left_behind(output, file, before, alive=alive, locked=bool(locked))
                try:
                    record = _write_record(descriptor)
                except OSError:  # a full disk: an empty lock file would stay
                    file.unlink(missing_ok=True)
                    raise
                if locked or _is_undisputed(descriptor, record):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(0.05)


def _try_to_lock(descriptor: int, file: Path) -> bool | None:
    """Whether the lock was acquired; None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _CANNOT_LOCK:
            raise
        logger.warning(
            "%s: this file system cannot lock (%s); only the note in %s keeps a second process from writing here",
            *(file.parent, error.strerror, file.name),
        )
        return None
    return True


def _check_left_behind(output: Path, file: Path, before: Holder | None, *, alive: bool, locked: bool) -> None:
    """Raise if the record in a lock file that can be had says that its holder may be at work all the same."""
    if before is None:
        return
    if before.host == socket.gethostname():
        if alive and not locked:
            raise _in_use(output, file, before, alive=alive)
        return
    silent = _seconds_since_sign_of_life(file)
    if silent < _SILENT:
        raise _in_use(output, file, before, alive=alive)
    logger.warning(
        "%s: taken over from %s, which has shown no sign of life for %d minutes", output, before, silent // 60
    )


def _in_use(output: Path, file: Path, holder: Holder | None, *, alive: bool) -> InUseError:
    who = "another process" if holder is None else str(holder)
    if holder is not None and holder.host != socket.gethostname():
        fix = f"wait for it; if it has ended, remove {file}, or try again {_SILENT / 60:.0f} minutes after its end"
    elif holder is not None and not alive:
        fix = f"that process has ended, and a child of it has not: end it (fuser {file} names it)"
    else:
        fix = "wait for it or end it; nothing has been changed"
    return InUseError(f"in use by {who}", file=output, fix=fix)


def _write_record(descriptor: int) -> Holder:
    now = datetime.now().astimezone().isoformat(" ", "seconds")
    record = Holder(os.getpid(), socket.gethostname(), _started(os.getpid()), now)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(asdict(record)).encode(), 0)
    return record


def _is_undisputed(descriptor: int, record: Holder) -> bool:
    """Without the system's lock: whether no other process wrote its record over ours at the same moment."""
    time.sleep(0.2)
    return _parsed(os.pread(descriptor, _MAX_BYTES, 0)) == record


def _parsed(data: bytes) -> Holder | None:
    """The holder in a lock file; None for one that is empty or torn, as a kill between two writes leaves it."""
    try:
        record = json.loads(data)
        pid, texts = record["pid"], [record[name] for name in ("host", "started", "since")]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    whole = isinstance(pid, int) and 0 < pid < 1 << 31 and all(isinstance(text, str) for text in texts)
    return Holder(pid, *texts) if whole else None


def _is_alive(holder: Holder) -> bool:
    """Whether the holder runs on this host: its number, and the start of that process."""
    if holder.host != socket.gethostname():
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _started(holder.pid) in ("", holder.started)


def _started(pid: int) -> str:
    """When a process started, in the system's ticks; empty where that is not known, ``ended`` for a dead one that its
    parent has not asked about yet."""
    with suppress(OSError, IndexError):
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "ended" if state in ("Z", "X") else rest[18]
    return ""


def _seconds_since_sign_of_life(file: Path) -> float:
    """By the file server's clock: the age of ``file`` beside a file that is written now."""
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        beside.touch()
        return max(0.0, beside.stat().st_mtime - file.stat().st_mtime)
    finally:
        beside.unlink(missing_ok=True)


def _show_life(descriptor: int, ended: threading.Event) -> None:
    while not ended.wait(_BEAT):
        with suppress(OSError):  # a file system that is away for a moment
            os.utime(descriptor)


def _is_the_file(descriptor: int, file: Path) -> bool:
    """Whether ``file`` is still the open one: its holder may have removed it between our opening and locking it."""
    try:
        there = file.lstat()
    except OSError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)
