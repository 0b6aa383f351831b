"""What every command shares: examples in the help, tables for people or as JSON, and errors without tracebacks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinkit.files.shipped import ShippedKind, shipped_names
from tinkit.run_folder import WORDS, run_names
from tinkit.terminal import print_table as print_table

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Print more of what happens.")]
RunsOption = Annotated[Path, typer.Option("--runs", metavar="DIR", help="The folder of runs.")]
ViewsOption = Annotated[
    str | None, typer.Option("--views", metavar="KxS", help="K temporal by S (1, 3, 5 or 10) spatial views.")
]


def complete_weights(incomplete: str) -> list[str]:
    """The words of ``--weights`` that begin with what was typed."""
    return [word for word in (*WORDS, "step=", "mean=") if word.startswith(incomplete)]


GpusOption = Annotated[
    int | None,
    typer.Option(
        "--gpus", min=1, metavar="N", help="Run N processes, one a GPU; on a machine without GPUs, on its CPU."
    ),
]
RestartsOption = Annotated[
    int, typer.Option("--max-restarts", min=0, metavar="N", help="With --gpus: begin again N times if a process fails.")
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="best (unless said; last where nothing was validated), last, ema, best-ema, step=N, or mean=K of the "
        "newest K checkpoints.",
        autocompletion=complete_weights,
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="The data set's folder; else $TINKIT_DATA/NAME.", file_okay=False),
]


def complete_recipes(incomplete: str) -> list[str]:
    """The built-in recipes that begin with what was typed."""
    return _shipped_beginning("recipes", incomplete)


def complete_challenges(incomplete: str) -> list[str]:
    """The built-in challenges that begin with what was typed."""
    return _shipped_beginning("submissions", incomplete)


def complete_runs(incomplete: str) -> list[str]:
    """The runs in ./runs that begin with what was typed."""
    return [name for name in run_names(Path("runs")) if name.startswith(incomplete)]


def complete_members(incomplete: str) -> list[str]:
    """What an ensemble is made of: built-in ensembles and runs in ./runs."""
    return [*_shipped_beginning("ensembles", incomplete), *complete_runs(incomplete)]


def _shipped_beginning(kind: ShippedKind, incomplete: str) -> list[str]:
    return [name for name in shipped_names(kind) if name.startswith(incomplete)]


def examples(*lines: str) -> str:
    """The epilog of a command's help: one example a line, in the order given."""
    return "Examples:\n\n" + "\n\n".join(f"$ {line}" for line in lines)
