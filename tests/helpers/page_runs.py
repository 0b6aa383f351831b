"""Do what a page tells its reader to do, block by block, in a folder of its own.

Blocks of ``sh`` and ``python`` are run; a block of ``text`` after one is what it prints, character by character. A
block with a file's name is written to that file; one of ``diff`` is applied to it. A command that should fail has the
comment ``# exit code N`` in its block.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.pages import Block, blocks
from tests.helpers.places import ROOT


def copy_tree(folder: Path) -> Path:
    """A copy of the package and its tests in ``folder``, for pages that change them."""
    for name in ("tinkit", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("recipes", "ensembles", "submissions", "kernels", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run_page(page: Path, folder: Path, tree: Path = ROOT) -> None:
    """Do what ``page`` says in ``folder``, with the package of ``tree``, and compare what is printed with the page."""
    last: str | None = None
    for block, printed in printed_by(page, folder, tree):
        if printed is not None:
            last = printed
        elif block.language == "text" and last is not None:
            assert _comparable(block.text) == _comparable(last), f"{block} is not what is printed:\n{last}"


def _comparable(text: str) -> str:
    """``text`` without the sizes and hashes of files: the last digit of a number may differ between processors."""
    return re.sub(r"\b[0-9a-f]{64}\b", "HASH", re.sub(r"\d+ bytes, sha256 [0-9a-f]{12}", "N bytes, sha256 HASH", text))


def printed_by(page: Path, folder: Path, tree: Path) -> Iterator[tuple[Block, str | None]]:
    """Each block of ``page`` and what it prints, None for one that is not run."""
    environment = _environment(folder, tree)
    for block in blocks(page):
        if block.not_run or block.language not in ("sh", "python") or block.file:
            if block.file:
                _put(block, tree if block.file.startswith("tinkit/") else folder)
            yield block, None
            continue
        words = ["bash", "-ec"] if block.language == "sh" else [sys.executable, "-c"]
        result = subprocess.run(
            [*words, block.text], cwd=folder, env=environment, check=False, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        wanted = re.search(r"# exit code (\d+)", block.text)
        assert result.returncode == (int(wanted[1]) if wanted else 0), f"{block}: {result.stdout}"
        yield block, "".join(f"{line.rstrip()}\n" for line in result.stdout.splitlines())


def _environment(folder: Path, tree: Path) -> dict[str, str]:
    """The shell in which ``tinkit`` and ``python`` are those of the tests, with the package of ``tree``."""
    programs = folder / ".programs"
    programs.mkdir()
    for name, words in (("tinkit", "-m tinkit"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (programs / name).chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {
        "PATH": path,
        "PYTHONPATH": str(tree),
        "COLUMNS": "100",
        "TINKIT_CACHE": str(folder / ".cache"),
    }


def _put(block: Block, folder: Path) -> None:
    """Write a block's file, or apply its changes."""
    path = folder / block.file
    if block.language != "diff":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
        return
    lines = block.text.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    text = path.read_text()
    assert text.count(before) == 1, f"{block}: {text.count(before)} places in {block.file}"
    path.write_text(text.replace(before, after))
