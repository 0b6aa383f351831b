"""The table of released checkpoints, one row a file that somebody offers."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field

from tinkit.errors import UsageError, did_you_mean, nearest
from tinkit.released.names import TABLE
from tinkit.table import Table

# Both publish files under a name that ends in the first eight hexadecimal digits of their SHA-256.
_DIGITS_IN_NAME = ("mmaction2", "torchvision")
_DIGITS = re.compile(r"-([0-9a-f]{8})\.[a-z]+$")
# Hosts of which it is known that they begin anew what was interrupted.
_NEVER_RESUME = ("drive.google.com", "drive.usercontent.google.com")


class Released(Table):
    """One released checkpoint. What its owners do not state is empty."""

    name: Annotated[str, Field(pattern=r"[a-z0-9_]+-[a-z0-9_]+")]
    """What ``tinkit get`` calls it: the recipe or network, and the code base."""
    code_base: Literal["x_temporal", "tsm", "mmaction2", "torchvision", "pyslowfast"]
    """Whose names its weights have. The TIN repository offers its weights through X-Temporal's table."""
    dataset: str
    """What it was trained on."""
    number: float
    """What its owners report of it, in percent."""
    metric: Literal["top1", "sample_map"]
    """What they measured."""
    views: str
    """Temporal x spatial views of it."""
    recipe: str = ""
    """The built-in recipe that describes its network; empty where none does, as for weights of images."""
    set: str = ""
    """What is otherwise than in the recipe: settings as of ``--set``, with semicolons between them."""
    mib: float | None = Field(default=None, gt=0)
    """Its size in MiB to three decimals, where the owners state it."""
    sha256: Annotated[str, Field(pattern=r"([0-9a-f]{64})?")] = ""
    """The SHA-256 of the whole file, where the owners state it."""
    licence: str
    """The licence of the code base; nobody states one of the weights by themselves."""
    file: Annotated[str, Field(pattern=r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")]
    """What the file is called here and in a mirror."""
    address: str
    """Where its owners offer it."""
    note: str = ""
    """What else there is to know."""

    @property
    def digits(self) -> str:
        """The first digits of its SHA-256 that its name tells; empty for other code bases' names."""
        found = _DIGITS.search(self.file) if self.code_base in _DIGITS_IN_NAME else None
        return found[1] if found else ""

    @property
    def host(self) -> str:
        """The machine that offers it."""
        return urlsplit(self.address).hostname or ""

    @property
    def resumes(self) -> bool:
        """False where the host is known to begin an interrupted download anew."""
        return self.host not in _NEVER_RESUME

    @property
    def settings(self) -> list[str]:
        """``set`` as a list."""
        return [part for part in self.set.split(";") if part]


def released() -> list[Released]:
    """The rows of the table, in its order."""
    with TABLE.open(newline="", encoding="utf-8") as handle:
        return [
            Released.model_validate({key: value for key, value in row.items() if value})
            for row in csv.DictReader(handle)
        ]


def find_released(name: str) -> Released:
    """The row of that name. Raises :class:`~tinkit.errors.UsageError` with the most similar ones."""
    rows = {row.name: row for row in released()}
    if name not in rows:
        raise UsageError(
            f"no released checkpoint is called {name[:200]!r}{did_you_mean(name, rows)}",
            expected=f"a name of `tinkit get --list`, such as {', '.join(nearest(name, rows))}",
        )
    return rows[name]


def fitting(patterns: Sequence[str]) -> list[Released]:
    """The rows whose name, code base, recipe or data set fits any of ``patterns`` (``*`` is any part); all for none.

    Raises :class:`~tinkit.errors.UsageError` for a pattern that fits none.
    """
    rows = released()
    for pattern in patterns:
        if not any(_fits(row, pattern) for row in rows):
            names = [row.name for row in rows]
            raise UsageError(
                f"no released checkpoint fits {pattern[:200]!r}{did_you_mean(pattern, names)}",
                expected="a name, * for any part of one, or a code base: x_temporal, tsm, mmaction2, torchvision or "
                "pyslowfast",
            )
    return [row for row in rows if not patterns or any(_fits(row, pattern) for pattern in patterns)]


def _fits(row: Released, pattern: str) -> bool:
    return any(fnmatchcase(word, pattern) for word in (row.name, row.code_base, row.recipe, row.dataset))
