"""`tinkit test --as-published`: the protocol of every published number of a recipe, and the numbers side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tinkit.engine.evaluation.compare import measured_row
from tinkit.engine.evaluation.protocol import canonical_json, published_views
from tinkit.engine.evaluation.test import TestRequest, TestResult, run_test
from tinkit.engine.runs.run import Run
from tinkit.engine.runtime.session import Session
from tinkit.errors import UsageError


def run_published(
    run: Run, weights: str, session: Session, request: TestRequest = TestRequest()
) -> list[dict[str, Any]]:
    """Test the run once by each protocol of its ``[[published]]`` entries; a row an entry, as in ``tinkit compare``.

    What an entry does not state is as in ``[test]``. Arguments are those of
    :func:`~tinkit.engine.evaluation.test.run_test`. All entries are checked before the first test. Raises
    :class:`~tinkit.errors.UsageError` if there is none.
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
        key = (entry.split, canonical_json(views, recipe.clip))
        if key not in done:
            done[key] = run_test(run, entry.split, views, weights, session, replace(request, apart=True))
        result = done[key]
        row = measured_row(run.name, result.info, entry.metric, result.metrics, entry, recipe.departs)
        rows.append(row | {"clips": result.clips, "scores": str(result.path)})
    return rows
