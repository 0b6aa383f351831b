"""Which data set, and which of its splits, a command of ``tinkit data`` means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tinkit.errors import UsageError

if TYPE_CHECKING:
    from tinkit.data.config.dataset import DataConfig


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
