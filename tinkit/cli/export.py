"""`tinkit export`: a run's network for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tinkit.cli.common import JsonOption, QuietOption, RunsOption, WeightsOption, complete_runs, examples, print_table
from tinkit.terminal import note

EPILOG = examples(
    "tinkit export mmit_r50",
    "tinkit export demo_tin --format torch --out tin.pt2",
    "tinkit export demo_tsm --weights last --segments 16 --crop 48",
)


def export(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|CHECKPOINT", help="A run, or a file in its checkpoints.", autocompletion=complete_runs
        ),
    ],
    form: Annotated[str, typer.Option("--format", help="onnx, or torch: a program of torch.export.")] = "onnx",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Else RUN/export/WEIGHTS.onnx or .pt2.")] = None,
    weights: WeightsOption = None,
    segments: Annotated[
        int | None, typer.Option(min=1, help="Frames of a clip; TSN and TSM see any number, TIN its own.")
    ] = None,
    crop: Annotated[int | None, typer.Option(min=1, help="The frames' side in pixels; else the recipe's.")] = None,
    runs: RunsOption = Path("runs"),
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a run's network to a file that needs no tinkit: normalised clips, any number of them, to logits.

    Classes, frames, size, mean and standard deviation are in the file. It is run once, and its logits are compared.
    """
    from tinkit.data.config.views import override_views
    from tinkit.engine.exchange.export import export_run
    from tinkit.engine.runs.log import Reporter
    from tinkit.engine.runs.run import find_checkpoint

    found, word = find_checkpoint(run, weights, runs)
    views = override_views(found.load_recipe().test, crop=crop, num_segments=segments)
    reporter = Reporter(quiet)
    written = export_run(found, word, form, views, out, reporter.say)
    if written.difference is None:
        note("its logits were not compared: onnxruntime is not installed")
    shape = " x ".join("N" if size is None else str(size) for size in written.metadata["input"]["shape"])
    row: dict[str, Any] = {"run": found.name, "weights": word, "clips": shape, "file": str(written.path)}
    # tiny: the two decimals of a table would show none of it
    shown = written.difference if as_json or written.difference is None else f"{written.difference:.1e}"
    print_table("", [row | {"largest difference": shown}], as_json=as_json)
