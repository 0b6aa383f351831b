"""``tinkit train`` as processes of their own that start at once: forked by a server that has imported everything.

Run as a script this is the server. It reads lines of JSON, ``["start", log, words]`` or ``["poll", pid]``, and answers
each with a process' id or with its exit status (minus a signal's number; null while it runs).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboard.summary.writer import event_file_writer


class TrainServer:
    """Starts trainings. A context: trainings that still run at its end are killed."""

    def __enter__(self) -> TrainServer:
        words = [sys.executable, "-m", __name__]
        self._server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.communicate()

    def train(self, log: Path, *words: str) -> ForkedTrain:
        """``tinkit train`` with the given words; what it says is added to ``log``."""
        time.sleep(1 - time.time() % 1)  # files of events are ordered by the second that they were begun in
        pid = self.ask("start", str(log), words)
        assert pid is not None
        return ForkedTrain(self, pid)

    def ask(self, *request: Any) -> int | None:
        """The server's answer."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(json.dumps(request), file=self._server.stdin, flush=True)
        answer: int | None = json.loads(self._server.stdout.readline())
        return answer


class ForkedTrain:
    """A training that a server has started."""

    def __init__(self, server: TrainServer, pid: int) -> None:
        self._server, self._pid = server, pid
        self._status: int | None = None

    def poll(self) -> int | None:
        """The exit status, minus the signal's number if one ended it; None while it runs."""
        if self._status is None:
            self._status = self._server.ask("poll", self._pid)
        return self._status

    def kill(self) -> None:
        """Send SIGKILL."""
        if self.poll() is None:
            os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end; the exit status."""
        while (status := self.poll()) is None:
            time.sleep(0.01)
        return status


def serve() -> None:
    """Answer requests until there are no more; then kill what still runs."""
    import tinkit.engine.training.start  # noqa: F401
    from tinkit.timm_import import import_timm

    import_timm()
    ended: dict[int, int | None] = {}
    for line in sys.stdin:
        verb, *rest = json.loads(line)
        if verb == "start":
            if not (pid := os.fork()):
                _train(*rest)
            ended[pid] = None
        else:
            (pid,) = rest
            found, status = os.waitpid(pid, os.WNOHANG) if ended[pid] is None else (0, 0)
            ended[pid] = os.waitstatus_to_exitcode(status) if found else ended[pid]
        print(json.dumps(pid if verb == "start" else ended[pid]), flush=True)
    for pid in [pid for pid, status in ended.items() if status is None]:
        os.kill(pid, signal.SIGKILL)


def _train(log: str, words: list[str]) -> None:
    """Be ``tinkit train``. Its TensorBoard events lie in memory until they are flushed.

    So they do where TensorFlow is installed, whose files TensorBoard then writes; its own files are not buffered.
    """
    from tinkit.cli.app import main

    said, nothing = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.open(os.devnull, os.O_RDONLY)
    for stream, file in enumerate((nothing, said, said)):
        os.dup2(file, stream)
    plain = event_file_writer.RecordWriter
    event_file_writer.RecordWriter = lambda file: plain(_Buffered(file))
    sys.argv = ["tinkit", "train", *words]
    status: Any = 1
    try:
        main()
        status = 0
    except SystemExit as error:
        status = error.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


class _Buffered:
    """A file whose bytes are written when it is flushed or closed."""

    def __init__(self, file: Any) -> None:
        self._file, self._held = file, b""

    def write(self, data: bytes) -> None:
        self._held += data

    def flush(self) -> None:
        held, self._held = self._held, b""
        if held:
            self._file.write(held)

    def close(self) -> None:
        self.flush()
        self._file.close()


if __name__ == "__main__":
    serve()
