"""One writer at a time: processes that meet, die, are stopped, or write where nothing can be locked."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tinkit.errors import UserError
from tinkit.files.locks import holder_of, lock_file, writing

HOLD = """
    import sys, time
    from tinkit.files.locks import writing
    with writing(sys.argv[1]):
        print("held", flush=True)
        sys.stdin.read()
"""


def held_by_child(output: Path, code: str = HOLD) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(output)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout
    assert child.stdout.readline() == "held\n"
    return child


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def end(child: subprocess.Popen[str]) -> None:
    child.communicate(timeout=20)


def test_the_second_process_hears_who_the_first_is(tmp_path: Path) -> None:
    child = held_by_child(tmp_path)
    with pytest.raises(UserError, match=f"in use by process {child.pid} on host {socket.gethostname()} since 20"):
        writing(tmp_path).__enter__()
    end(child)
    assert left_in(tmp_path) == []
    with writing(tmp_path):
        assert holder_of(tmp_path).pid == os.getpid()  # type: ignore[union-attr]
    assert left_in(tmp_path) == []


def test_a_dead_process_is_taken_over_from_at_once(tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    child = held_by_child(out)
    child.kill()
    child.communicate()
    assert lock_file(out).exists()
    with writing(out):
        assert holder_of(out).pid == os.getpid()  # type: ignore[union-attr]
    assert left_in(tmp_path) == []


def test_a_stopped_process_keeps_its_lock(tmp_path: Path) -> None:
    child = held_by_child(tmp_path)
    child.send_signal(signal.SIGSTOP)
    with pytest.raises(UserError, match="in use by process"), writing(tmp_path):
        pass
    child.send_signal(signal.SIGCONT)
    end(child)


def test_children_of_a_dead_process_are_waited_for(tmp_path: Path) -> None:
    code = """
        import os, sys, time
        from tinkit.files.locks import writing
        with writing(sys.argv[1]):
            if os.fork() == 0:
                time.sleep(1.5)
                os._exit(0)
            print("held", flush=True)
            sys.stdin.read()
    """
    child = held_by_child(tmp_path, code)
    child.kill()
    child.wait()
    with writing(tmp_path):
        assert holder_of(tmp_path).pid == os.getpid()  # type: ignore[union-attr]


def test_two_names_of_one_folder_are_one_output(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "mine").symlink_to(tmp_path / "disk")
    with writing(tmp_path / "disk"), pytest.raises(UserError, match="in use"), writing(tmp_path / "mine"):
        pass


def test_outputs_beside_each_other_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with writing(tmp_path / "a.csv"), writing(tmp_path / "b.csv"), writing(tmp_path / ("long" * 63)):
        assert len(left_in(tmp_path)) == 3


def record(output: Path, **changes: object) -> None:
    values = {"pid": os.getpid(), "host": "elsewhere", "started": "1", "since": "2026-01-01 00:00:00+00:00"}
    lock_file(output).write_text(json.dumps(values | changes))


def test_another_host_is_refused_and_after_five_silent_minutes_taken_over_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record(tmp_path)
    with pytest.raises(UserError, match=r"on host elsewhere since 2026[\s\S]*remove "), writing(tmp_path):
        pass
    assert json.loads(lock_file(tmp_path).read_text())["host"] == "elsewhere"
    long_ago = time.time() - 400
    os.utime(lock_file(tmp_path), (long_ago, long_ago))
    with writing(tmp_path):
        pass
    assert "taken over from process" in caplog.text
    assert "no sign of life for 6 minutes" in caplog.text
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_that_cannot_lock_is_said_and_the_record_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    child = held_by_child(tmp_path)
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match=f"in use by process {child.pid} "), writing(tmp_path):
        pass
    assert "this file system cannot lock" in caplog.text
    child.kill()
    child.wait()
    with writing(tmp_path):
        assert holder_of(tmp_path).pid == os.getpid()  # type: ignore[union-attr]
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": -1}', '{"pid": "x"}', "[" * 9000, '{"pid": 1e400}'])
def test_a_record_that_makes_no_sense_is_nobodys(tmp_path: Path, content: str) -> None:
    lock_file(tmp_path).write_text(content)
    with writing(tmp_path):
        pass
    assert left_in(tmp_path) == []


def test_a_number_that_another_process_has_now_is_not_the_holder(tmp_path: Path) -> None:
    record(tmp_path, host=socket.gethostname(), pid=os.getppid())
    with writing(tmp_path):
        pass


def test_a_link_in_the_lock_files_place_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("kept")
    (tmp_path / "out").mkdir()
    lock_file(tmp_path / "out").symlink_to(target)
    with pytest.raises(OSError, match=r"\.lock"), writing(tmp_path / "out"):
        pass
    assert target.read_text() == "kept"


def test_of_processes_that_start_at_once_one_writes(tmp_path: Path) -> None:
    code = """
        import sys, time
        from tinkit.errors import UserError
        from tinkit.files.locks import writing
        done = 0
        for _ in range(100):
            try:
                with writing(sys.argv[1] + "/out"):
                    with open(sys.argv[1] + "/alone", "x"):
                        pass
                    import os; os.unlink(sys.argv[1] + "/alone")
                    done += 1
            except UserError:
                pass
        print(done)
    """
    script = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    children = [subprocess.Popen(script, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    counts = [int(child.communicate(timeout=60)[0]) for child in children]
    assert all(child.returncode == 0 for child in children)
    assert sum(counts) > 0
    assert left_in(tmp_path) == []
