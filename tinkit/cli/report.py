"""``tinkit report``: one page from runs and fusions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinkit.cli.options import FusionsOption, RunsOption, complete_runs
from tinkit.cli.parser import examples
from tinkit.terminal import note, print_line

EPILOG = examples(
    "tinkit report mmit_tsn_r101 mmit_r50 fusions/mine --out report.html",
    "tinkit report mmit_r50 --split val --no-frames --out report.html",
)


def report(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN|FUSION...", help="Runs and fusions.", autocompletion=complete_runs)
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="PAGE.html", help="The page to write.")],
    split: Annotated[str, typer.Option(help="Classes and clips of this labelled split.")] = "val",
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="Improvements are over this one; else over the first TSN.")
    ] = None,
    no_frames: Annotated[
        bool, typer.Option("--no-frames", help="Leave out the frames of the best and worst clips.")
    ] = False,
    runs: RunsOption = Path("runs"),
    fusions: FusionsOption = Path("fusions"),
) -> None:
    """Write one HTML page about runs and fusions: no network, no other file, under 5 MB.

    Results beside published numbers, members and weights, every class, confusion, calibration, the best and worst clips
    with where the model looks, learned offsets, training curves, throughput, broken clips, and exact recipes. Of
    several names the last one with labelled scores is shown in detail. Needs tinkit[report].
    """
    from tinkit.report.report import Request, make_report

    written = make_report(Request(names, runs, fusions, split, baseline, frames=not no_frames), out)
    for line in written.absent:
        note(line)
    print_line(f"{written.file} ({written.size / 1e6:.1f} MB): open it in a browser, {out.absolute().as_uri()}")
