"""The command killed in the middle: no process stays, what is whole stands, and the next run ends as one unbroken."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.video_files import write_manifest, write_video

pytestmark = pytest.mark.thorough


def test_a_killed_run_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    for number in range(48):
        write_video(tmp_path / f"{number}.mp4", count=12, seed=number)
    write_manifest(tmp_path, [(str(number), f"{number}.mp4", "a") for number in range(48)])
    command = [sys.executable, "-m", "tinkit", "data", "frames", "table", "--data", str(tmp_path), "--split", "train"]
    command += ["--shard-size", "200KB", "--workers", "1"]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while run.poll() is None and not list((tmp_path / "packed" / ".train.work").glob("*.arrow")):
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=120)  # waits for whoever holds the pipes: a worker that was left would
    assert run.returncode in (-signal.SIGKILL, 0)
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert not (tmp_path / "packed" / ".train.work").exists()
    other = [*command, "--out", str(tmp_path / "other"), "--workers", "0"]
    assert subprocess.run(other, check=False, capture_output=True).returncode == 0
    for one in sorted((tmp_path / "other").glob("train*")):
        assert one.read_bytes() == (tmp_path / "packed" / one.name).read_bytes()
