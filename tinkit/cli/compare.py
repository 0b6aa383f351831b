"""`tinkit compare`: what was measured beside what was published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinkit.cli.options import FusionsOption, JsonOption, RunsOption, complete_runs
from tinkit.cli.parser import examples
from tinkit.terminal import print_table

EPILOG = examples("tinkit compare mmit_r50", "tinkit compare runs/sthv1_tin_r50 fusions/sthv1 --json")


def compare(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN|FUSION...", help="Runs or fusions.", autocompletion=complete_runs)
    ],
    *,
    runs: RunsOption = Path("runs"),
    fusions: FusionsOption = Path("fusions"),
    as_json: JsonOption = False,
) -> None:
    """Show every score file with labels beside the numbers that were published for its recipe.

    A published number stands only beside scores of its split, its views and every key of its protocol that it states;
    the same metric measured otherwise has a row of its own. Where the spread of honest repetitions is known, the column
    within shows whether the difference is within it.
    """
    from tinkit.engine.evaluation.compare import comparison_rows

    print_table("Measured beside published, in percent", comparison_rows(names, runs, fusions), as_json=as_json)
