"""The fenced blocks of a page of documentation, so that tests can run what readers are told to run.

A comment on the line before a block says more of it, and is not seen by readers:

- ``<!-- not run: REASON -->``: the block is not run, and why.
- ``<!-- file: NAME -->``: the block is the content of a file, which later blocks of the page use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

_MARK = re.compile(r"<!--\s*(not run|file):\s*(.+?)\s*-->\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line of its fence, and what the comment before it says."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str = ""
    file: str = ""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The page's fenced blocks, in order."""
    text = page.read_text()
    lines = text.splitlines()
    found = []
    for token in MarkdownIt().parse(text):
        if token.type != "fence" or token.map is None:
            continue
        line = token.map[0]
        mark = _MARK.search(lines[line - 1]) if line else None
        marks = {mark[1].replace(" ", "_"): mark[2]} if mark else {}
        language = token.info.split(maxsplit=1)[0] if token.info else ""
        found.append(Block(page, line + 1, language, token.content, **marks))
    return found
