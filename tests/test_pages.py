"""Large buffers are kept, in huge pages, in processes of tinkit's own, in every thread, and nowhere else."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tinkit.pages import without_kept_buffers

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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "word"), [("1", "kept"), ("0", "given back, by TINKIT_KEEP_BUFFERS=0")])
def test_doctor_says_it(setting: str, word: str) -> None:
    command = [sys.executable, "-m", "tinkit", "doctor", "--json"]
    environment = os.environ | {"TINKIT_KEEP_BUFFERS": setting, "TINKIT_NATIVE": "0"}
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    rows = {row["what"]: row["found"] for row in json.loads(child.stdout)}
    assert rows["large buffers"].startswith(word)
    assert rows["native kernels"] == "plain PyTorch runs: turned off by TINKIT_NATIVE=0"


ASKED = (
    "from tinkit.pages import keep_buffers\nkeep_buffers()\nimport os; print(os.environ.get('THP_MEM_ALLOC_ENABLE'))"
)


@pytest.mark.parametrize(
    ("rule", "setting", "first", "wanted"),
    [
        ("always [madvise] never\n", "1", "", "1"),
        ("[always] madvise never\n", "1", "", "1"),
        ("always madvise [never]\n", "1", "", "None"),
        (None, "1", "", "None"),
        ("always [madvise] never\n", "0", "", "None"),
        # PyTorch has looked, or may have: a variable that says otherwise would be told by doctor, and be wrong.
        ("always [madvise] never\n", "1", "import torch\n", "None"),
        ("always [madvise] never\n", "1", "import os; os.environ['THP_MEM_ALLOC_ENABLE'] = '0'\n", "0"),
    ],
)
def test_huge_pages_are_asked_for_where_they_are_given(
    tmp_path: Path, rule: str | None, setting: str, first: str, wanted: str
) -> None:
    file = tmp_path / "enabled"
    if rule is not None:
        file.write_text(rule)
    code = f"{first}import pathlib, tinkit.pages\ntinkit.pages._KERNEL_RULE = pathlib.Path({str(file)!r})\n{ASKED}"
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    environment["TINKIT_KEEP_BUFFERS"] = setting
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert child.stdout.split() == [wanted]


def test_large_tensors_lie_in_huge_pages() -> None:
    """What the kernel counts for the process; only where it gives any out to those that ask."""
    code = (
        "from tinkit.pages import keep_buffers, asks_for_huge_pages\nkeep_buffers()\nimport torch, pathlib\n"
        "x = torch.ones(64 << 20)\n"
        "rows = pathlib.Path('/proc/self/smaps_rollup').read_text().splitlines()\n"
        "found = [int(row.split()[1]) for row in rows if row.startswith('AnonHugePages')]\n"
        "print(asks_for_huge_pages(), *found)"
    )
    asks, *found = run(code).split()
    if asks == "False" or not found:
        pytest.skip("no huge pages here")
    assert int(found[0]) > (128 << 10)  # KiB: most of its 256 MiB


def test_a_child_can_be_left_without() -> None:
    environment = {"PATH": "/bin", "THP_MEM_ALLOC_ENABLE": "1", "TINKIT_KEEP_BUFFERS": "1"}
    assert without_kept_buffers(environment) == {"PATH": "/bin", "TINKIT_KEEP_BUFFERS": "0"}
