"""Large buffers are kept in processes of tinkit's own, in every thread, and nowhere else."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")

# PyTorch's own buffers, which glibc aligns by cutting them out of larger ones: what is cut off lies some rounds in a
# cache of seven, and until then the next buffer of the size does not fit where the last one was.
COUNT = """
import resource, threading
import torch
def faults():
    for _ in range(16):
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        torch.empty(16 << 20).fill_(1.0)
        last = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
    return last
torch.set_num_threads(1)
found = [faults()]
threads = [threading.Thread(target=lambda: found.append(faults())) for _ in range(2)]
for thread in threads: thread.start(); thread.join()
"""


def run(code: str, **environment: str) -> str:
    child = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return child.stdout


def test_threads_fault_no_more_once_buffers_are_kept() -> None:
    first = "from tinkit.pages import keep_buffers, count_faults\nasked = keep_buffers()\n"
    asked, found, counted = json.loads(
        run(
            f"{first}{COUNT}\nimport json; c = count_faults()\n"
            + "print(json.dumps([asked, found, [c.main, c.worker, c.kept]]))"
        )
    )
    assert asked is True
    assert max(found) < 64
    assert counted[2] is True
    off = run(f"{first}{COUNT}\nprint(asked, min(found) > 1000, count_faults().kept)", TINKIT_KEEP_BUFFERS="0")
    assert off.split() == ["False", "True", "False"]


def test_importing_tinkit_changes_nothing() -> None:
    code = f"import tinkit.ops, tinkit.models, tinkit.pages, tinkit.cli.app\n{COUNT}\nprint(min(found) > 1000)"
    assert run(code).split() == ["True"]


@pytest.mark.parametrize(("setting", "word"), [("1", "kept: "), ("0", "given back, by TINKIT_KEEP_BUFFERS=0")])
def test_doctor_says_it(setting: str, word: str) -> None:
    command = [sys.executable, "-m", "tinkit", "doctor", "--json"]
    environment = os.environ | {"TINKIT_KEEP_BUFFERS": setting, "TINKIT_NATIVE": "0"}
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    rows = {row["what"]: row["found"] for row in json.loads(child.stdout)}
    assert rows["large buffers"].startswith(word)
    assert rows["native kernels"] == "plain PyTorch runs: turned off by TINKIT_NATIVE=0"
