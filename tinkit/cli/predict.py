"""`tinkit predict`: labels for one's own videos, or what the network sees in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinkit.cli.common import (
    DataOption,
    JsonOption,
    QuietOption,
    RunsOption,
    ViewsOption,
    WeightsOption,
    complete_runs,
    examples,
    print_table,
)
from tinkit.errors import UsageError

if TYPE_CHECKING:
    from tinkit.engine.features import WrittenFeatures
    from tinkit.engine.predict import Prediction

EPILOG = examples(
    "tinkit predict mmit_r50 holiday.mp4",
    "tinkit predict demo_tin clips/*.mp4 --top 3 --json",
    "tinkit predict demo_tin --features --split val",
    "tinkit predict demo_tin --features clips/*.mp4 --out clips.arrow",
)


def predict(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|CHECKPOINT", help="A run, or a file in its checkpoints.", autocompletion=complete_runs
        ),
    ],
    videos: Annotated[
        list[Path] | None, typer.Argument(metavar="VIDEO...", help="Video files or folders of frames.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes a video.")] = 5,
    features: Annotated[
        bool, typer.Option("--features", help="Write what the network sees of each clip, before its classifier.")
    ] = False,
    split: Annotated[
        str | None, typer.Option(help="With --features, in place of videos: train, val or test of the data set.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The feature file; else features.arrow, of a split a place in the run."),
    ] = None,
    views: ViewsOption = None,
    weights: WeightsOption = None,
    data: DataOption = None,
    runs: RunsOption = Path("runs"),
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Print the likeliest classes of video files, with their probabilities in percent.

    With --features write an Arrow file in their place: the network's pooled features, one row a clip. For a split it
    has the ids of the score file, and goes to RUN/features/SPLIT-VIEWS-WEIGHTS.arrow.
    """
    _check_options(videos or [], features, split, out, data)
    from tinkit.data.views import override_views
    from tinkit.engine.run import find_checkpoint

    found, word = find_checkpoint(run, weights, runs)
    recipe = found.load_recipe()
    config = override_views(recipe.test, views=views)
    if not features:
        from tinkit.engine.predict import predict as predict_files

        predictions = predict_files(found, word, videos or [], config, top)
        print_table("", [row for prediction in predictions for row in _rows(prediction)], as_json=as_json)
        if all(prediction.reason for prediction in predictions):
            raise typer.Exit(1)
        return
    from tinkit.engine.features import features_of_files, features_of_split
    from tinkit.engine.log import Reporter

    if split is None:
        written = features_of_files(found, word, videos or [], config, out or Path("features.arrow"))
    else:
        source = None if data is None else recipe.data.model_copy(update={"root": data})
        written = features_of_split(found, word, split, config, Reporter(quiet), data=source, out=out)
    _say(written, as_json)


def _check_options(videos: list[Path], features: bool, split: str | None, out: Path | None, data: Path | None) -> None:
    of_features = {"split": split, "out": out, "data": data}
    if not features and (given := [name for name, value in of_features.items() if value is not None]):
        raise UsageError(
            f"--{given[0]} without --features", fix="say --features; a split's scores are those of `tinkit test`"
        )
    if bool(videos) == (split is not None):
        raise UsageError(
            "videos and --split" if videos else "nothing to look at",
            expected="video files, or with --features a --split of the data set" if features else "video files",
        )
    if data is not None and split is None:
        raise UsageError("--data without --split", expected="the folder of the data set that the split is of")


def _rows(prediction: Prediction) -> list[dict[str, Any]]:
    row: dict[str, Any] = {"video": str(prediction.path), "class": None, "probability": None, "error": None}
    if prediction.reason:
        return [row | {"error": prediction.reason}]
    return [row | {"class": label, "probability": 100 * value} for label, value in prediction.labels]


def _say(written: WrittenFeatures, as_json: bool) -> None:
    for clip, reason in written.reasons.items():
        typer.echo(f"null features, cannot be decoded: {clip}: {reason}", err=True)
    row: dict[str, Any] = {"clips": written.clips, "broken": len(written.reasons), "features": written.width}
    print_table("", [row | {"file": str(written.path)}], as_json=as_json)
