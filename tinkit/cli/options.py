"""The options and arguments that several commands have, each written once, and what completes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tinkit.files.shipped import ShippedKind, shipped_names
from tinkit.run_folder import run_names

_WEIGHTS = ("best", "last", "ema", "best-ema", "step=", "mean=")


def complete_weights(incomplete: str) -> list[str]:
    """The words of ``--weights`` that begin with what was typed."""
    return [word for word in _WEIGHTS if word.startswith(incomplete)]


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


# ---- what is printed

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]

# ---- what is written

LedgerOption = Annotated[
    Path, typer.Option("--ledger", help="The csv that keeps what was handed in and what the leaderboard said.")
]

# ---- what is read

RecipeArgument = Annotated[
    str | None, typer.Argument(help="A built-in recipe or a .toml file.", autocompletion=complete_recipes)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the recipe, such as optim.lr=0.01."),
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="RECIPE",
        help="For a checkpoint that belongs to no run: the recipe of its network.",
        autocompletion=complete_recipes,
    ),
]
ClassOrderOption = Annotated[
    str | None,
    typer.Option(
        "--class-order",
        metavar="alphabetical|FILE",
        help="How the checkpoint numbers its classes, if not as the data set does: sorted by name, or as the lines of "
        "a file.",
    ),
]
ReplaceHeadOption = Annotated[
    bool, typer.Option("--replace-head", help="Initialise a classifier anew where its number of classes differs.")
]
RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN|CHECKPOINT", help="A run, or a file in its checkpoints.", autocompletion=complete_runs),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="best (the default; last where nothing was validated), last, ema, best-ema, step=N, or mean=K of the "
        "newest K checkpoints.",
        autocompletion=complete_weights,
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="The data set's folder; else $TINKIT_DATA/NAME.", file_okay=False),
]
DatasetArgument = Annotated[
    str, typer.Argument(metavar="DATASET|RECIPE", help="A layout (see `tinkit data layouts`), a recipe's name or file.")
]
SplitOption = Annotated[str, typer.Option("--split", help="train, val or test.")]
SplitsOption = Annotated[list[str] | None, typer.Option("--split", help="This split only; may be repeated.")]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, metavar="N", help="A trial: the first N clips of a split only.")
]

# ---- how a clip is looked at

ViewsOption = Annotated[
    str | None, typer.Option("--views", metavar="KxS", help="K temporal by S (1, 3, 5 or 10) spatial views.")
]
SegmentsOption = Annotated[
    int | None,
    typer.Option(
        "--segments", min=1, help="Frames of a view: any number for TSN and TSM, for TIN the number that it trained on."
    ),
]
CropOption = Annotated[int | None, typer.Option("--crop", min=1, help="The side of a view's frames, in pixels.")]

# ---- where results go

RunsOption = Annotated[Path, typer.Option("--runs", metavar="DIR", help="The folder of runs.")]
FusionsOption = Annotated[Path, typer.Option("--fusions", metavar="DIR", help="The folder of fusions.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace results that exist already.")]

# ---- what works on it

GpusOption = Annotated[
    int | None,
    typer.Option(
        "--gpus", min=1, metavar="N", help="Run N processes, one a GPU; on a machine without GPUs, on its CPU."
    ),
]
ProcessesOption = Annotated[
    int | None,
    typer.Option("--workers", min=0, help="Processes that share the work; one a core unless given. 0: this one."),
]
DaskOption = Annotated[
    str | None, typer.Option("--dask", metavar="ADDRESS", help="Work on the dask cluster at this address instead.")
]
DaskWaitOption = Annotated[
    float,
    typer.Option("--dask-wait", min=0, metavar="SECONDS", help="How long the dask cluster may be without any worker."),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="I/N", help="Do part I of N only; when all are done, run the command once without it."
    ),
]

# ---- what frames are scaled to

SideOption = Annotated[
    Literal["short", "height"],
    typer.Option("--side", help="Scale the shorter side, or the height (as the TIN repository)."),
]
PixelsOption = Annotated[int, typer.Option("--pixels", min=16, max=8192, help="The length of that side.")]
EnlargeOption = Annotated[bool, typer.Option("--enlarge", help="Enlarge smaller frames, which else stay as they are.")]
