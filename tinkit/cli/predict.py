"""`tinkit predict`: labels for one's own videos, or what the network sees in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinkit.cli.common import (
    DataOption,
    GpusOption,
    JsonOption,
    QuietOption,
    RunsOption,
    ViewsOption,
    WeightsOption,
    complete_runs,
    examples,
    print_table,
)
from tinkit.errors import Interrupted, UsageError
from tinkit.terminal import note

if TYPE_CHECKING:
    from tinkit.data.config.views import ViewConfig
    from tinkit.engine.evaluation.features import WrittenFeatures
    from tinkit.engine.evaluation.predict import Prediction
    from tinkit.engine.runs.run import Run

EPILOG = examples(
    "tinkit predict mmit_r50 holiday.mp4",
    "tinkit predict demo_tin clips/*.mp4 --top 3 --json",
    "tinkit predict mmit_r50 --features --split val --gpus 8",
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
    gpus: GpusOption = None,
    runs: RunsOption = Path("runs"),
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Print the likeliest classes of video files, with their probabilities in percent.

    With --features write an Arrow file in their place: the network's pooled features, one row a clip. For a split it
    has the ids of the score file, and goes to RUN/features/SPLIT-VIEWS-WEIGHTS.arrow; an interrupted command goes on
    where it was.
    """
    _check_options(videos or [], features, split, out, data, gpus)
    from tinkit.data.config.views import override_views
    from tinkit.engine.runs.run import find_checkpoint

    found, word = find_checkpoint(run, weights, runs)
    recipe = found.load_recipe()
    config = override_views(recipe.test, views=views)
    if not features:
        from tinkit.engine.evaluation.predict import predict as predict_files

        predictions = predict_files(found, word, videos or [], config, top)
        print_table("", [row for prediction in predictions for row in _rows(prediction)], as_json=as_json)
        if all(prediction.reason for prediction in predictions):
            raise typer.Exit(1)
        return
    if split is None:
        from tinkit.engine.evaluation.features import features_of_files

        _say(features_of_files(found, word, videos or [], config, out or Path("features.arrow")), as_json)
        return
    source = None if data is None else recipe.data.model_copy(update={"root": data})
    _features_of_split(found, word, split, config, gpus, quiet, as_json, data=source, out=out)


def _features_of_split(
    run: Run, word: str, split: str, views: ViewConfig, gpus: int | None, quiet: bool, as_json: bool, **options: Any
) -> None:
    from tinkit.engine.distributed.launch import launched
    from tinkit.engine.distributed.signals import StopSignal
    from tinkit.engine.distributed.world import join_world
    from tinkit.engine.evaluation.features import features_of_split
    from tinkit.engine.runs.log import Reporter

    if launched(gpus, max_restarts=0):
        return
    with join_world() as world, StopSignal(patient=world.size > 1) as stop:
        reporter = Reporter(quiet or not world.main)
        try:
            written = features_of_split(run, word, split, views, reporter, world=world, stop=stop, **options)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; what was seen is kept", fix="the same command goes on") from None
        if world.main:
            _say(written, as_json)


def _check_options(
    videos: list[Path], features: bool, split: str | None, out: Path | None, data: Path | None, gpus: int | None
) -> None:
    of_features = {"split": split, "out": out, "data": data, "gpus": gpus}
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
    if gpus is not None and split is None:
        raise UsageError("--gpus without --split", fix="leave it out: video files are looked at by one process")


def _rows(prediction: Prediction) -> list[dict[str, Any]]:
    row: dict[str, Any] = {"video": str(prediction.path), "class": None, "probability": None, "error": None}
    if prediction.reason:
        return [row | {"error": prediction.reason}]
    if prediction.notes:
        note(f"{prediction.path}: {', '.join(prediction.notes)}")
    return [row | {"class": label, "probability": 100 * value} for label, value in prediction.labels]


def _say(written: WrittenFeatures, as_json: bool) -> None:
    for clip, reason in written.reasons.items():
        note(f"null features, cannot be decoded: {clip}: {reason}")
    row: dict[str, Any] = {"clips": written.clips, "broken": written.broken, "features": written.width}
    print_table("", [row | {"file": str(written.path)}], as_json=as_json)
