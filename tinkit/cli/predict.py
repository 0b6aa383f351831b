"""`tinkit predict`: labels for one's own videos, or what the network sees in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinkit.cli.options import (
    DataOption,
    GpusOption,
    JsonOption,
    QuietOption,
    RunArgument,
    RunsOption,
    ViewsOption,
    WeightsOption,
)
from tinkit.cli.parser import examples
from tinkit.cli.session import session, stoppable
from tinkit.errors import UsageError
from tinkit.terminal import note, print_table

if TYPE_CHECKING:
    from tinkit.engine.evaluation.features import WrittenFeatures
    from tinkit.engine.evaluation.predict import Prediction

EPILOG = examples(
    "tinkit predict mmit_r50 holiday.mp4",
    "tinkit predict demo_tin clips/*.mp4 --top 3 --json",
    "tinkit predict mmit_r50 --features --split val --gpus 8",
    "tinkit predict demo_tin --features clips/*.mp4 --out clips.arrow",
)


def predict(
    run: RunArgument,
    videos: Annotated[
        list[Path] | None, typer.Argument(metavar="VIDEO...", help="Video files or folders of frames.")
    ] = None,
    *,
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
    has the ids of the score file, and goes to RUN/features/SPLIT-VIEWS-WEIGHTS.arrow; the same command resumes one that
    was interrupted.
    """
    _check_options(videos or [], {"split": split, "out": out, "data": data, "gpus": gpus}, features=features)
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

        written = features_of_files(found, word, videos or [], config, out or Path("features.arrow"))
        _say(written, as_json=as_json)
        return
    source = None if data is None else recipe.data.model_copy(update={"root": data})
    from tinkit.engine.evaluation.features import features_of_split

    with session(gpus=gpus, quiet=quiet, runs=runs) as ours:
        with stoppable(ours, "what was seen is kept"):
            written = features_of_split(found, word, split, config, ours, data=source, out=out)
        if ours.world.main:
            _say(written, as_json=as_json)


def _check_options(videos: list[Path], of_features: dict[str, object], *, features: bool) -> None:
    """Refuse what does not go together; ``of_features`` are the options that only ``--features`` has a use for."""
    given = [name for name, value in of_features.items() if value is not None]
    if given and not features:
        raise UsageError(
            f"--{given[0]} without --features", fix="add --features; a split's scores are those of `tinkit test`"
        )
    split = "split" in given
    if bool(videos) == split:
        raise UsageError(
            "both videos and --split" if videos else "no videos and no --split",
            expected="video files, or with --features a --split of the data set" if features else "video files",
        )
    if "data" in given and not split:
        raise UsageError("--data without --split", expected="the folder of the data set that the split is of")
    if "gpus" in given and not split:
        raise UsageError("--gpus without --split", fix="leave it out: video files are looked at by one process")


def _rows(prediction: Prediction) -> list[dict[str, Any]]:
    row: dict[str, Any] = {"video": str(prediction.path), "class": None, "probability": None, "error": None}
    if prediction.reason:
        return [row | {"error": prediction.reason}]
    if prediction.notes:
        note(f"{prediction.path}: {', '.join(prediction.notes)}")
    return [row | {"class": label, "probability": 100 * value} for label, value in prediction.labels]


def _say(written: WrittenFeatures, *, as_json: bool) -> None:
    for clip, reason in written.reasons.items():
        note(f"null features: {clip}: {reason}")
    row: dict[str, Any] = {"clips": written.clips, "broken": written.broken, "features": written.width}
    print_table("", [row | {"file": str(written.path)}], as_json=as_json)
