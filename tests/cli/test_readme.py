"""The README's commands exist: its two first, its make targets, and every option and built-in name it shows."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from tests.helpers.pages import blocks
from tests.helpers.places import ROOT
from tinkit.cli.app import app
from tinkit.files.shipped import shipped_names

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def code_lines(page: Path) -> list[str]:
    """The commands of a page's blocks for a shell, without comments."""
    shown = "".join(block.text for block in blocks(page) if block.language in ("bash", "sh"))
    joined = shown.replace("\\\n", " ")
    return [line.strip().split("  #")[0] for line in joined.splitlines() if line.strip()]


def test_the_first_two_commands_set_up_show_and_test() -> None:
    assert code_lines(ROOT / "README.md")[:2] == ["make demo", "make test"]
    assert "make check\n" in (ROOT / ".ci" / "run").read_text()
    assert "make test\n" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", page.read_text(), re.MULTILINE):
        assert "".join(name) in targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def shown_commands() -> list[str]:
    inline = [found for page in PAGES for found in re.findall(r"`(tinkit [a-z]+ [^`]+)`", page.read_text())]
    blocks = [line for page in PAGES for line in code_lines(page) if line.startswith("tinkit ")]
    return sorted({command.partition(" | ")[0] for command in (*inline, *blocks)})


@cache
def commands() -> Any:
    """The tree of commands."""
    return get_command(app)


@cache
def shipped() -> set[str]:
    """Every name that is built in."""
    return {name for kind in ("recipes", "ensembles", "submissions") for name in shipped_names(kind)}


@pytest.mark.parametrize("line", shown_commands())
def test_shown_commands_parse(line: str) -> None:
    words = shlex.split(line)[1:]
    command = commands()
    while hasattr(command, "commands") and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        if word.startswith("-"):
            assert word in options, f"{line}: {word}"
    for word in words:
        if re.fullmatch(r"(mmit|sthv[12]|jester|k400|demo)(_\w+)?", word):
            assert word in shipped() | {"mmit", "sthv1", "sthv2"}, f"{line}: {word}"
