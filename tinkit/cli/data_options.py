"""What the commands of ``tinkit data`` share: which data set is meant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinkit.errors import UsageError

if TYPE_CHECKING:
    from tinkit.data.config.dataset import DataConfig

WhatArgument = Annotated[
    str, typer.Argument(metavar="DATASET|RECIPE", help="A layout (see `tinkit data list`), a recipe's name or file.")
]
DataOption = Annotated[Path | None, typer.Option("--data", help="Folder of the data set; else $TINKIT_DATA/NAME.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe's key, such as data.val=x.csv."),
]
SplitsOption = Annotated[list[str] | None, typer.Option("--split", help="This split only; may be given again.")]


def data_config(what: str, data: Path | None, overrides: list[str] | None) -> DataConfig:
    """The ``[data]`` table that a layout's name or a recipe means."""
    from tinkit.data.config.dataset import DataConfig
    from tinkit.data.layouts.catalogue import LAYOUTS

    for layout in LAYOUTS:
        if what == layout:
            if overrides:
                raise UsageError("--set goes with a recipe", fix=f"name a recipe, or a file of your own, not {what!r}")
            return DataConfig(dataset=layout, root=data)
    from tinkit.recipe.load import load_recipe

    try:
        return load_recipe(what, overrides or (), data).recipe.data
    except UsageError as problem:
        if "/" in what or what.endswith(".toml") or overrides:
            raise
        raise UsageError(f"{problem.problem} (nor a layout: {', '.join(LAYOUTS)})", expected=problem.expected) from None


def wanted_splits(config: DataConfig, root: Path, split: list[str] | None) -> list[str]:
    """``split``, or unless given train, val, and test where there is a list of it."""
    from tinkit.data.layouts.layout import SPLITS

    return split or [
        name for name in SPLITS if name != "test" or any((root / place).is_file() for place in config.layout.test)
    ]
