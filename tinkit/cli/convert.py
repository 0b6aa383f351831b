"""`tinkit convert`: a checkpoint in another code base's names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinkit.cli.common import (
    JsonOption,
    QuietOption,
    RunsOption,
    complete_recipes,
    complete_runs,
    examples,
    print_table,
)

CODE_BASES = ("tinkit", "tin", "x_temporal", "tsm", "trn", "mmaction2", "timm", "torchvision", "pyslowfast")
RecipeOption = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="RECIPE",
        help="For a checkpoint that is no run's: the recipe of its network.",
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
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the recipe.")
]

EPILOG = examples(
    "tinkit convert tsm_kinetics.pth.tar --recipe k400_tsm_r50 --out tsm.safetensors",
    "tinkit convert mmit_r50 --to mmaction2 --out mmit_r50.pth",
    "tinkit convert timm_run.pth.tar --weights state_dict_ema --recipe k400_tsn_r50 --out ema.safetensors",
    "tinkit convert tin.pth --recipe sthv1_tin_r50 --class-order alphabetical --classes labels.txt --out a.safetensors",
)


def convert(
    checkpoint: Annotated[
        str,
        typer.Argument(metavar="CHECKPOINT|RUN", help="A file of weights, or a run.", autocompletion=complete_runs),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The new file: .safetensors, or what torch.save writes.")],
    to: Annotated[
        str,
        typer.Option(
            metavar="CODEBASE",
            help=f"Whose names the new file shall have: {', '.join(CODE_BASES)}.",
            autocompletion=lambda incomplete: [name for name in CODE_BASES if name.startswith(incomplete)],
        ),
    ] = "tinkit",
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    classes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The classes of the new file in order, one a line.", dir_okay=False),
    ] = None,
    class_order: ClassOrderOption = None,
    replace_head: Annotated[
        bool, typer.Option("--replace-head", help="Let a classifier of another size start anew.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            help="Of a run: best (unless said), last, ema, best-ema, step=N or mean=K. Of another file that holds "
            "several: the key that they lie under, as model_ema.",
        ),
    ] = None,
    runs: RunsOption = Path("runs"),
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Read the weights of any known code base and write them in the names of this one or another.

    Says how many entries were used, are new or were dropped; FILE.json tells it of every single one.
    """
    from tinkit.engine.exchange.convert import convert as convert_weights
    from tinkit.engine.exchange.convert import recipe_of, source_of
    from tinkit.engine.runtime.reporter import Reporter
    from tinkit.models.foreign.classes import read_names

    network = recipe_of(checkpoint, recipe, overrides or [], weights, runs)
    source = source_of(checkpoint, weights, runs)
    names = () if classes is None else read_names(classes)
    converted = convert_weights(
        source, network, out, to, classes=names, order=class_order, replace_head=replace_head, force=force
    )
    report, reporter = converted.report, Reporter(quiet)
    reporter.say_lines(f"{source.path}: {report.summary()}")
    if converted.before:
        reporter.say(f"{out}: it is there already, whole, as this command wrote it; --force writes it again")
    row = {"layout": report.layout, "used": len(report.used), "new": len(report.new), "dropped": len(report.dropped)}
    print_table("", [row | {"to": to, "file": str(out)}], as_json=as_json)
