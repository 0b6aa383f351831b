"""`tinkit train` as a process of its own that starts at once: forked from a server that has imported PyTorch already."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tensorboard.summary.writer import event_file_writer


class ForkedTrain:
    """A ``tinkit train`` with the given words; what it says goes to ``log``.

    Its TensorBoard events lie in memory until they are flushed. So they do where TensorFlow is installed, whose files
    TensorBoard then writes; its own files are not buffered.
    """

    def __init__(self, log: Path, *words: str) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tinkit.engine.start", "tensorboard.summary.writer.event_file_writer"])
        self._process: ForkServerProcess = context.Process(target=_train, args=(log, words))
        time.sleep(1 - time.time() % 1)  # files of events are ordered by the second that they were begun in
        self._process.start()

    def poll(self) -> int | None:
        """The exit status, minus the signal's number if one ended it; None while it runs."""
        return self._process.exitcode

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def wait(self) -> int:
        """Wait for its end; the exit status."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode


def _train(log: Path, words: tuple[str, ...]) -> None:
    from tinkit.cli.app import main

    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(said, stream)
    multiprocessing.set_start_method("fork", force=True)  # for its data workers: the command's own way
    plain = event_file_writer.RecordWriter
    event_file_writer.RecordWriter = lambda file: plain(_Buffered(file))  # type: ignore[misc]
    sys.argv = ["tinkit", "train", *words]
    main()


class _Buffered:
    """A file whose bytes are written when it is flushed or closed."""

    def __init__(self, file: Any) -> None:
        self._file, self._held, self._owner = file, b"", os.getpid()

    def write(self, data: bytes) -> None:
        self._held += data

    def flush(self) -> None:
        held, self._held = self._held, b""
        if held and self._owner == os.getpid():
            self._file.write(held)

    def close(self) -> None:
        self.flush()
        self._file.close()
