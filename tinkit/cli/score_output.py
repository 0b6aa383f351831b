"""The score file that a command writes: its place, and what is there already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinkit.errors import UserError
from tinkit.terminal import note

if TYPE_CHECKING:
    from tinkit.scores import ScoreTable

OutOption = Annotated[Path, typer.Option("--out", "-o", help="The score file to write.")]


@contextmanager
def place_for(out: Path, inputs: list[Path]) -> Iterator[None]:
    """Be the only writer of ``out``, which is none of ``inputs`` and may be written."""
    from tinkit.files.atomic import check_place
    from tinkit.files.group import sweep, writing_in

    check_place(out)
    if out.resolve() in {path.resolve() for path in inputs}:
        raise UserError("is a file that is read here", file=out, fix="name another --out")
    with writing_in(out.parent, out):
        sweep(out)
        yield


def write_table(out: Path, table: ScoreTable, *, force: bool) -> None:
    """Write ``table``, or say that it exists already: the same command may have been killed at its very end."""
    from tinkit.files.group import write_errors
    from tinkit.scores import verified_scores, write_scores
    from tinkit.scores.tools import same_tables

    if out.exists() and not force:
        try:
            same = same_tables(verified_scores(out)[0], table)
        except UserError:  # whatever it is, it is not this table
            same = False
        if not same:
            raise UserError("exists already", file=out, fix="--out another, or --force to write over it")
        note(f"{out}: exists already, with the same content: nothing was changed")
        return
    with write_errors(out):
        write_scores(out, table)
