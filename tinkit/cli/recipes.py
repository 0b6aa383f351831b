"""`tinkit recipes`: list the recipes, or show one resolved."""

from __future__ import annotations

from typing import Any

from tinkit.cli.options import JsonOption, RecipeArgument, SetOption
from tinkit.cli.parser import examples
from tinkit.terminal import print_table

EPILOG = examples("tinkit recipes", "tinkit recipes mmit_r50", "tinkit recipes ./mine.toml --set optim.lr=0.01 --json")


def recipes(
    name: RecipeArgument = None,
    *,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the built-in recipes, or show every value of one and where it came from."""
    print_table(name or "Recipes", _resolved(name, overrides or []) if name else _listed(), as_json=as_json)


def _listed() -> list[dict[str, Any]]:
    from tinkit.files.shipped import shipped_names
    from tinkit.recipe import load_recipe

    rows = []
    for name in shipped_names("recipes"):
        recipe = load_recipe(name).recipe
        numbers = [f"{entry.number:g} {entry.metric} ({entry.views})" for entry in recipe.published]
        if numbers and recipe.departs:
            numbers.append(f"of another training: differs in {', '.join(recipe.departs)}")
        rows.append({"recipe": name, "description": recipe.description, "published": "; ".join(numbers) or None})
    return rows


def _resolved(name: str, overrides: list[str]) -> list[dict[str, Any]]:
    from tinkit.files.toml import flatten
    from tinkit.recipe import load_recipe

    resolved = load_recipe(name, overrides)
    values = flatten(resolved.recipe.model_dump(mode="json", exclude={"sources"}))
    return [
        {"key": key, "value": _shown(value), "from": resolved.origins[key].place, "mark": resolved.origins[key].mark}
        for key, value in values.items()
    ]


def _shown(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)
