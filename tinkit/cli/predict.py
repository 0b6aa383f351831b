"""`tinkit predict`: labels for one's own videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tinkit.cli.common import JsonOption, RunsOption, ViewsOption, WeightsOption, complete_runs, examples, print_table

EPILOG = examples("tinkit predict mmit_r50 holiday.mp4", "tinkit predict demo_tin clips/*.mp4 --top 3 --json")


def predict(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|CHECKPOINT", help="A run, or a file in its checkpoints.", autocompletion=complete_runs
        ),
    ],
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Video files or folders of frames.")],
    top: Annotated[int, typer.Option(min=1, help="Classes a video.")] = 5,
    views: ViewsOption = None,
    weights: WeightsOption = None,
    runs: RunsOption = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """Print the likeliest classes of video files, with their probabilities in percent."""
    from tinkit.data.views import override_views
    from tinkit.engine.predict import predict as predict_files
    from tinkit.engine.run import find_checkpoint

    found, checkpoint = find_checkpoint(run, weights, runs)
    config = override_views(found.load_recipe().test, views=views)
    predictions = predict_files(found, checkpoint, videos, config, top)
    rows: list[dict[str, Any]] = []
    for prediction in predictions:
        for label, probability in prediction.labels:
            rows.append(
                {"video": str(prediction.path), "class": label, "probability": 100 * probability, "error": None}
            )
        if prediction.reason:
            rows.append({"video": str(prediction.path), "class": None, "probability": None, "error": prediction.reason})
    print_table("", rows, as_json=as_json)
    if all(prediction.reason for prediction in predictions):
        raise typer.Exit(1)
