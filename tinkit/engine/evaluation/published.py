"""`tinkit test --as-published`: the protocol of every published number of a recipe, and the numbers side by side."""

from __future__ import annotations

from typing import Any

from tinkit.data.config.dataset import DataConfig
from tinkit.engine.distributed.signals import StopSignal
from tinkit.engine.distributed.world import World
from tinkit.engine.evaluation.compare import measured_row
from tinkit.engine.evaluation.protocol import published_views, settled_json
from tinkit.engine.evaluation.test import TestResult, run_test
from tinkit.engine.runs.log import Reporter
from tinkit.engine.runs.run import Run
from tinkit.errors import UsageError


def run_published(
    run: Run,
    weights: str,
    reporter: Reporter,
    *,
    data: DataConfig | None = None,
    limit: int | None = None,
    force: bool = False,
    keep_views: bool = False,
    world: World | None = None,
    stop: StopSignal | None = None,
) -> list[dict[str, Any]]:
    """Test the run once by each protocol of its ``[[published]]`` entries; a row an entry, as in ``tinkit compare``.

    What an entry does not state is as in ``[test]``. Arguments are those of
    :func:`~tinkit.engine.evaluation.test.run_test`. All
    entries are checked before the first test. Raises :class:`~tinkit.errors.UsageError` if there is none.
    """
    recipe = run.load_recipe()
    if not recipe.published:
        raise UsageError(
            f"the recipe of {run.name} names no published number",
            file=run.recipe_path,
            fix="test with options of your own, such as --views 10x3, or add a [[published]] entry",
        )
    protocols = [(entry, published_views(recipe, entry)) for entry in recipe.published]
    done: dict[tuple[str, str], TestResult] = {}
    rows = []
    for entry, views in protocols:
        key = (entry.split, settled_json(views, recipe.clip))
        if key not in done:
            done[key] = run_test(
                run,
                entry.split,
                views,
                weights,
                reporter,
                data=data,
                limit=limit,
                force=force,
                keep_views=keep_views,
                apart=True,
                world=world,
                stop=stop,
            )
        result = done[key]
        row = measured_row(run.name, result.info, entry.metric, result.metrics, entry, recipe.departs)
        rows.append(row | {"clips": result.clips, "scores": str(result.path)})
    return rows
