"""A copy of tinkit with something added to it, as a page below docs/extending/ says, and the new thing in use.

Of a page's blocks (:mod:`tests.helpers.pages`) those with ``<!-- file: NAME -->`` are new files, and those with
``<!-- file: NAME, in TABLE -->`` new rows at the end of that table of an existing one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.helpers.pages import Block, blocks
from tests.helpers.places import ROOT

_SHIPPED = ("tinkit", "recipes", "ensembles", "submissions", "kernels")


class ExtendedTree:
    """The copy, in ``folder``; commands run there and see it in place of the tree that is tested."""

    def __init__(self, folder: Path, page: str) -> None:
        self.folder = folder
        for name in _SHIPPED:
            shutil.copytree(ROOT / name, folder / name)
        self.page = blocks(ROOT / "docs" / "extending" / page)
        self.changed: list[str] = []
        for block in self.page:
            if block.file:
                self._apply(block)

    def commands(self) -> list[str]:
        """The lines of the page's ``bash`` blocks that are run, ``\\`` at an end joining two."""
        texts = [block.text for block in self.page if block.language == "bash" and not block.not_run]
        return [line for text in texts for line in text.replace("\\\n", " ").splitlines() if line.strip()]

    def python(self) -> list[str]:
        """The page's ``python`` blocks that are run."""
        return [block.text for block in self.page if block.language == "python" and not (block.file or block.not_run)]

    def run(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a line that begins with ``tinkit`` as a shell does."""
        return self._call(["bash", "-c", f'tinkit() {{ "{sys.executable}" -m tinkit "$@"; }}; {command}'], environment)

    def execute(self, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python code."""
        return self._call([sys.executable, "-c", code], environment)

    def _call(self, command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        own = os.environ | {"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1", "COLUMNS": "200"} | environment
        return subprocess.run(command, cwd=self.folder, env=own, capture_output=True, text=True, timeout=300)

    def _apply(self, block: Block) -> None:
        name, _, table = block.file.partition(", in ")
        path = self.folder / name
        self.changed.append(name)
        if not table:
            assert not path.exists(), f"{block}: {name} is there"
            path.write_text(block.text)
            return
        text = path.read_text()
        start = re.search(rf"^{table}\b[^\n]*= [({{]\n", text, re.MULTILINE)
        assert start is not None, f"{block}: {name} has no table {table}"
        end = re.compile(r"^[)}]", re.MULTILINE).search(text, start.end())
        assert end is not None
        row = textwrap.indent(block.text.rstrip().removesuffix(","), "    ")
        path.write_text(f"{text[: end.start()]}{row},\n{text[end.start() :]}")
