"""``tinkit synth``: a synthetic challenge in an official layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tinkit.cli.options import JsonOption, QuietOption
from tinkit.cli.parser import examples
from tinkit.terminal import Notices, print_json, print_line

EPILOG = examples(
    "tinkit synth mmit data/mmit",
    "tinkit synth mmit data/mmit-sound --sound",
    "tinkit synth sthv2 data/lags --lags --size 32 --frames 8",
    "tinkit synth sthv2 data/sthv2 --clips 600 --val 100 --test 100 --seed 1",
)


def synth(
    layout: Annotated[Literal["mmit", "sthv1", "sthv2"], typer.Argument(help="Whose files and folders to imitate.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder, or one to complete.")],
    *,
    clips: Annotated[int, typer.Option(help="Clips to train on.")] = 1200,
    val: Annotated[int, typer.Option(help="Clips to validate on.")] = 300,
    test: Annotated[int, typer.Option(help="Clips whose labels are hidden.")] = 300,
    seed: Annotated[int, typer.Option(help="Each seed gives another challenge.")] = 0,
    size: Annotated[int, typer.Option(help="Height of a frame in pixels; the width is 5/4 of it.")] = 64,
    frames: Annotated[int, typer.Option(help="Frames of a clip, at 12 a second.")] = 24,
    sound: Annotated[
        bool, typer.Option("--sound", help="Clips have sound, which tells actions that run backwards from the others.")
    ] = False,
    lags: Annotated[
        bool,
        typer.Option("--lags", help="Actions are told apart by lags of two frames and more, and by nothing else."),
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes that share the work; 0 does it in this one.")
    ] = 2,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make a video challenge of moving handwritten digits, in an official layout and with real video files.

    Training, validation and an unlabelled test split; the answers of the test split are outside, in DIR-answers.
    The same command completes an interrupted set.
    """
    from tinkit.data.synth import SynthSpec, synthesise

    spec = SynthSpec(
        layout, clips=clips, val=val, test=test, seed=seed, size=size, frames=frames, sound=sound, lags=lags
    )
    notices = Notices()
    shown = notices.is_terminal and not (quiet or as_json)
    with notices.bar(f"clips of {folder}", clips + val + test, shown=shown) as bar:
        result = synthesise(spec, folder, workers=workers, on_clips=bar.advance)
    if as_json:
        values = {"root": str(result.root), "answers": str(result.answers), "made": result.made, "found": result.found}
        print_json(values)
    elif not quiet:
        already = f" ({result.found} existed already)" if result.found else ""
        print_line(f"{result.made} clips made in {result.root}{already}")
        print_line(f"hidden answers of the test split: {result.answers}")
