"""What the commands of ``tinkit data`` share: which data set and splits are meant, and how long work is stopped."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tinkit.errors import Interrupted, UsageError

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


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the work, and how to resume is said."""
    number = signal.SIGINT

    def stop(sent: int, _: object) -> None:
        nonlocal number
        number = signal.Signals(sent)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        kept = "interrupted; the clips that are whole are kept"
        raise Interrupted(kept, number=number, fix="resume with the same command") from None
    finally:
        signal.signal(signal.SIGTERM, before)
