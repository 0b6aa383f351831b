"""`tinkit models`: backbones and temporal modules, their cost, their speed here, and what was published."""

from __future__ import annotations

from typing import Annotated

import typer

from tinkit.cli.options import JsonOption, QuietOption
from tinkit.cli.parser import examples
from tinkit.temporal import CHOICES
from tinkit.terminal import note, print_table

EPILOG = examples(
    "tinkit models", "tinkit models resnet50 'slowfast_*' --bench", "tinkit models convnext_small --temporal tin --json"
)
_CHOICES = ", ".join(CHOICES[:-1]) + f" or {CHOICES[-1]}"


def models(
    backbones: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BACKBONE...]", help="Names, * for any part: of the table, or any of timm's in full."),
    ] = None,
    *,
    temporal: Annotated[list[str] | None, typer.Option("--temporal", help=f"{_CHOICES}; may be repeated.")] = None,
    bench: Annotated[bool, typer.Option("--bench", help="Time every network on this machine.")] = False,
    seconds: Annotated[float, typer.Option(min=0, help="With --bench: about how long to time each.")] = 3,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """List backbones with every temporal module, and what else the built-in recipes train.

    Parameters in millions, of 400 classes; GFLOPs of one clip, multiplications and additions counted as one. clips/s
    (--bench) is what `tinkit test` would do here in float32, a clip at a time. Published numbers are of a recipe's
    first source, by its order of views; `tinkit recipes NAME` shows all of them, and how they were measured.
    """
    from tinkit.engine.measure.networks import networks, published_words, table_rows

    def say(what: str) -> None:
        if bench and not quiet:
            note(what)

    rows = list(table_rows(networks(backbones or (), temporal or ()), seconds if bench else None, say))
    if not as_json:
        rows = [row | {"published": published_words(row["published"])} for row in rows]
    print_table("", rows, as_json=as_json)
