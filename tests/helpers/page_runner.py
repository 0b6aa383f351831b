"""Runs what a page of documentation tells its readers to run: its files, shell blocks and Python blocks, in order.

Shell blocks are `tinkit` commands and `export`: they run in this process, which spares starting PyTorch once a command.
What makes them small (few clips, a tiny network) is added to their words here, and nothing else.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.pages import Block
from tinkit.cli.app import app

SMALL_SET = ("--clips", "16", "--val", "12", "--test", "8", "--size", "40", "--frames", "12", "--workers", "0")
_NETWORK = ("model.pretrained=false", "clip.num_segments=4")
_TRAINING = (
    *_NETWORK, "clip.size=32", "test.scale=32", "test.crop=32", "optim.batch=4", "optim.epochs=2", "optim.lr=0.01",
    "schedule.warmup_epochs=1", "train.workers=0", "train.val_every=2", "train.samples=0",
)  # fmt: skip


class PageError(AssertionError):
    """A block does not work, or says too little to be run."""


class PageRunner:
    """Runs blocks in ``folder``, the working directory of the process while ``monkeypatch`` is at work.

    Where a page says ``/data``, it means the folder ``data`` in it.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch = folder, monkeypatch
        self._names: dict[str, Any] = {}
        monkeypatch.chdir(folder)
        monkeypatch.setenv("TINKIT_DATA", str(folder / "data"))

    def run(self, block: Block) -> bool:
        """Run a block, or write the file that it is; whether it was run. Raises PageError."""
        if block.file:
            place = self.folder / block.file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(block.text)
        elif not block.not_run and block.language in ("bash", "sh"):
            for line in re.sub(r"\\\n\s*", " ", block.text).splitlines():
                self._command(block, shlex.split(line, comments=True))
            return True
        elif not block.not_run and block.language == "python":
            exec(compile(block.text, str(block), "exec"), self._names)
            return True
        return False

    def _command(self, block: Block, words: list[str]) -> None:
        match words:
            case []:
                pass
            case ["export", assignment]:
                name, _, value = assignment.partition("=")
                self._patch.setenv(name, self._here(value))
            case ["tinkit", *rest]:
                self.tinkit(block, [found for word in rest for found in self._expanded(word)])
            case _:
                raise PageError(f"{block}: nothing here runs {shlex.join(words)!r}: mark the block as not run, and why")

    def _here(self, word: str) -> str:
        return re.sub(r"^/data\b", str(self.folder / "data"), os.path.expandvars(word))

    def _expanded(self, word: str) -> list[str]:
        """What a shell makes of a word: variables, and the files that a pattern fits."""
        word = self._here(word)
        return sorted(map(str, Path().glob(word))) or [word] if "*" in word else [word]

    def tinkit(self, block: Block | str, words: list[str]) -> None:
        """Run a command with what makes it small. Raises PageError where it fails."""
        words = [*words, *_small(words)]
        try:
            code = app(words, standalone_mode=False)
        except Exception as error:
            raise PageError(f"{block}: tinkit {shlex.join(words)}: {error}") from error
        if code:
            raise PageError(f"{block}: tinkit {shlex.join(words)}: exit code {code}")


def _small(words: list[str]) -> tuple[str, ...]:
    """What is added to a command: sizes that the page does not give itself."""
    if words[0] == "synth":
        pairs = zip(SMALL_SET[::2], SMALL_SET[1::2], strict=True)
        return tuple(word for option, value in pairs if option not in words for word in (option, value))
    if words[0] == "train" and "--resume" not in words:
        return _set(_backbone(words[1]), *_TRAINING)
    if words[0] in ("test", "convert") and "--recipe" in words:
        return _set(_backbone(words[words.index("--recipe") + 1]), *_NETWORK)
    return ()


def _backbone(recipe: str) -> str:
    """The smallest network there is; for recipes that are not the demo's, one whose names other code bases know."""
    return f"model.backbone={'test_resnet' if recipe.startswith('demo') else 'resnet18'}"


def _set(*keys: str) -> tuple[str, ...]:
    return tuple(word for key in keys for word in ("--set", key))
