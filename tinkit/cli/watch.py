"""`tinkit watch`: labels of a stream as its frames come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinkit.cli.options import JsonOption, QuietOption, RunArgument, RunsOption, WeightsOption
from tinkit.cli.parser import examples
from tinkit.errors import Interrupted, UsageError
from tinkit.terminal import note, print_line

if TYPE_CHECKING:
    from tinkit.data.stream.source import StreamSource
    from tinkit.engine.watching.watch import Outputs, Watch
    from tinkit.engine.watching.watcher import Reading

EPILOG = examples(
    "tinkit watch gestures 0",
    "tinkit watch gestures match.mp4 --timeline match.csv --picture match.png",
    "tinkit watch gestures match.mp4 --out labelled.mp4 --top 3",
    "ffmpeg -i rtsp://camera -f matroska - | tinkit watch gestures - --fps 12 --json",
)


def watch(
    run: RunArgument,
    stream: Annotated[
        str,
        typer.Argument(metavar="VIDEO|CAMERA|-", help="A video, a camera (0), an address, or - for standard input."),
    ],
    *,
    fps: Annotated[
        float | None, typer.Option(min=0.01, max=1000, help="Frames a second that the model is shown; else as trained.")
    ] = None,
    window: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Frames whose mean is shown; else as many as a clip has.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes a line.")] = 1,
    every: Annotated[int, typer.Option(min=1, help="Print the reading of every N-th frame.")] = 1,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="An annotated video, .mp4 or .mkv.")] = None,
    timeline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A csv file of when the likeliest class was which.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="The timeline drawn, .png or .svg.")] = None,
    stall: Annotated[
        float, typer.Option(min=0.1, help="Seconds without a frame after which a stream has stalled.")
    ] = 10.0,
    weights: WeightsOption = None,
    runs: RunsOption = Path("runs"),
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Print the likeliest classes of a stream while its frames come, one step of the network a frame.

    The run's model must look back only: temporal = "tsm_online", "tin_online" or "tsn". A line has the seconds since
    the first frame, then classes with the running mean of their probabilities in percent. Stop with Ctrl-C.
    """
    from tinkit.data.decode.settings import DecodeSettings
    from tinkit.data.stream.source import StreamSource
    from tinkit.engine.distributed.signals import StopSignal
    from tinkit.engine.runs.run import find_checkpoint
    from tinkit.engine.watching.watch import Outputs, Watch
    from tinkit.engine.watching.watcher import Watcher

    outputs = Outputs(out, timeline, picture)
    _check(outputs)
    found, word = find_checkpoint(run, weights, runs)
    stop = StopSignal()
    printer = _Printer(every, as_json=as_json)
    with Watcher(found, word, top, window) as watcher, stop:
        decoding = DecodeSettings.of(watcher.recipe.data)
        with StreamSource(stream, stall, decoding) as source:
            one = Watch(watcher, source, fps, printer, note, lambda: bool(stop.arrived()))
            try:
                one.run(outputs)
            finally:
                if not quiet:
                    _say(one, source)
    if stop.number:
        raise Interrupted("stopped", fix="what was written until then is whole")


class _Printer:
    """Prints readings as they come."""

    def __init__(self, every: int, *, as_json: bool) -> None:
        self._every, self._as_json, self._count = every, as_json, 0

    def __call__(self, reading: Reading) -> None:
        self._count += 1
        if (self._count - 1) % self._every:
            return
        if self._as_json:
            labels = [{"class": label, "probability": 100 * value} for label, value in reading.labels]
            print_line(json.dumps({"seconds": round(reading.seconds, 6), "labels": labels}, ensure_ascii=False))
        else:
            words = "  ".join(f"{label} {100 * value:.1f}" for label, value in reading.labels)
            print_line(f"{reading.seconds:9.2f}  {words}")


def _check(outputs: Outputs) -> None:
    from tinkit.data.look.plot import check_plot
    from tinkit.engine.watching.annotated import check_video
    from tinkit.files.atomic import check_place

    if outputs.video is not None:
        check_video(outputs.video)
    if outputs.timeline is not None:
        if outputs.timeline.suffix.lower() != ".csv":
            raise UsageError(f"--timeline {outputs.timeline} is of a kind that is not written", expected=".csv")
        check_place(outputs.timeline)
    if outputs.picture is not None:
        check_plot(outputs.picture, "--picture")


def _say(one: Watch, source: StreamSource) -> None:
    if one.rate is None:
        return
    losses = source.losses
    parts = [f"{one.readings} frames read at {one.rate.fps:.4g} a second ({one.rate.why})"]
    parts += [f"{losses.dropped} frames dropped for want of time"] if losses.dropped else []
    parts += [f"{losses.damaged} damaged"] if losses.damaged else []
    parts += [f"no frame for {losses.gaps:.1f} s in all"] if losses.gaps else []
    note("; ".join([*parts, *sorted(losses.notes)]))
