"""Where changed files are put, and what may be put into them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.fuzz.material import Files

Said = Literal["read", "refused"]


class WrongFrameError(Exception):
    """A frame that is not the one that was asked for."""


def empty(root: Path) -> None:
    """Remove all that is in a folder."""
    for entry in root.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


@dataclass
class Place:
    """Where a child works: ``root`` is the data set, ``outside`` lies beside it and is not to be read."""

    root: Path
    outside: Path
    media: Files
    originals: dict[str, bytes] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)

    def words(self) -> list[str]:
        """What is put into text: paths that lead out, numbers that are too large, and marks."""
        out = self.outside
        paths = [
            f"../{out.name}/secret.mp4",
            f"{out}/secret.mp4",
            f"file:{out}/secret.mp4",
            f"a/../../{out.name}/secret",
        ]
        paths += [
            f"{out}",
            "..",
            "/etc/passwd",
            "\\\\host\\x",
            f"concat:{out}/secret.mp4|{out}/secret.mp4",
            "/dev/zero",
        ]
        numbers = ["-1", "0", "1", "9" * 19, "9" * 400, "1e308", "nan", "0x10", "1.5", "2147483648"]
        return [
            *paths,
            *numbers,
            "",
            " ",
            '"',
            "'",
            "\u202e",
            "\ud7ff",
            "x" * 5000,
            "é" * 200,
            "y/" * 2500,
            "[]",
            "{}",
            "null",
            "é",
            "e\u0301",
        ]
