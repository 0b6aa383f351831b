"""`tinkit watch` as a user types it: what it prints, where it exits, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.places import ROOT
from tests.helpers.tiny_runs import train
from tests.helpers.video_files import write_video
from tinkit.cli import app


@pytest.fixture(scope="module")
def folder(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run ``g`` that can watch, and a video of two seconds."""
    folder = tmp_path_factory.mktemp("watching")
    train(challenge, folder / "runs", "g", "model.temporal=tsm_online", recipe="demo_tsn", steps=1)
    write_video(folder / "v.mkv", count=60)
    return folder


def watch(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["tinkit", "watch", "g", *words])
    with pytest.raises(SystemExit) as ended:
        app.main()
    return int(ended.value.code or 0)


def test_lines_and_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert watch(monkeypatch, folder, "v.mkv", "--fps", "5", "--top", "2") == 0
    said = capsys.readouterr()
    times = [line.split()[0] for line in said.out.splitlines()]
    assert times == [f"{number / 5:.2f}" for number in range(10)]
    assert "10 frames read at 5 a second (--fps)" in said.err
    assert watch(monkeypatch, folder, "v.mkv", "--fps", "5", "--json", "--every", "4", "-q") == 0
    said = capsys.readouterr()
    assert [json.loads(line)["seconds"] for line in said.out.splitlines()] == [0, 0.8, 1.6]
    assert not said.err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["v.mkv"], 2, "--fps N"),
        (["none.mkv", "--fps", "5"], 1, "no such file: none.mkv"),
        (["v.mkv", "--fps", "5", "--timeline", "t.txt"], 2, ".csv"),
        (["v.mkv", "--fps", "5", "--out", "t.avi"], 2, ".mp4 or .mkv"),
        (["v.mkv", "--fps", "0"], 2, "--fps"),
    ],
)
def test_what_is_refused(
    words: list[str],
    code: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folder: Path,
) -> None:
    assert watch(monkeypatch, folder, *words) == code
    said = capsys.readouterr()
    assert says in said.err
    assert not said.out


@pytest.mark.slow
def test_a_pipe_that_stalls_and_one_that_is_stopped(folder: Path) -> None:
    command = [sys.executable, "-m", "tinkit", "watch", "g", "-", "--fps", "5", "--timeline", "t.csv"]
    long = write_video(folder / "long.ts", count=240, width=320, height=240)
    places = os.environ | {"PYTHONPATH": str(ROOT)}
    for words, number, code in ((["--stall", "3"], None, 1), ([], signal.SIGINT, 130)):
        process = subprocess.Popen(
            [*command, *words],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=places,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(long.read_bytes()[: long.stat().st_size * 9 // 10])
        process.stdin.flush()
        first = process.stdout.readline()
        if number is not None:
            time.sleep(0.5)
            process.send_signal(number)
        assert process.stderr is not None
        err = process.stderr.read()  # until it has ended; its standard input stays open
        assert process.wait(120) == code, err
        assert first.split()[:1] == [b"0.00"], err
        assert b"Traceback" not in err
        assert (b"stalled" in err) == (number is None)
        rows = (folder / "t.csv").read_text().splitlines()
        assert sum(int(row.rsplit(",", 1)[1]) for row in rows[1:]) >= 1
