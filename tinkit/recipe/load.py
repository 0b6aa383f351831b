"""From a name to a resolved recipe: ``extends``, overrides, validation, and where each value came from."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from tinkit.errors import UsageError, UserError
from tinkit.files import find_toml, write_atomic
from tinkit.recipe.schema import Recipe
from tinkit.toml import Place, TomlFile, explain, flatten, read_toml


@dataclass(frozen=True)
class Origin:
    """Where a value came from: ``place`` is ``default``, ``FILE:LINE`` or ``--set``; ``mark`` what the recipe says."""

    place: str
    mark: str
    """``published: WHERE``, ``assumed: WHY``, ``changed`` (by ``--set``), or empty if the recipe does not say."""


@dataclass(frozen=True)
class ResolvedRecipe:
    """A recipe with every value filled in, and the origin of each by dotted key."""

    recipe: Recipe
    origins: dict[str, Origin]


@dataclass(frozen=True)
class _Layer:
    """One source of values: a file, or the command line."""

    values: dict[str, Any]
    file: TomlFile | None

    def place(self, key: str) -> str:
        return f"{self.file.path}:{self.file.line(key)}" if self.file else "--set"


def load_recipe(name: str, overrides: Sequence[str] = (), data_root: Path | None = None) -> ResolvedRecipe:
    """Resolve a built-in name or a TOML file, with ``overrides`` of the form ``optim.lr=0.01`` on top.

    ``data_root`` (what ``--data`` says) becomes ``data.root``. Raises :class:`~tinkit.errors.UserError` naming the
    file, the line, the key and the nearest known key.
    """
    path = find_toml("recipes", name)
    layers = _file_layers(path, ())
    command: dict[str, Any] = {}
    for override in overrides:
        _deep_set(command, *_parse_override(override))
    if data_root is not None:
        _deep_set(command, "data.root", str(data_root.absolute()))
    if command:
        layers.append(_Layer(command, None))
    merged: dict[str, Any] = {"name": path.stem}
    for layer in layers:
        merged = _merge(merged, {key: value for key, value in layer.values.items() if key != "extends"})
    try:
        recipe = Recipe.model_validate(merged)
    except ValidationError as error:
        raise explain(error, Recipe, lambda location: _place(location, layers, path)) from error
    return ResolvedRecipe(recipe, _origins(recipe, layers))


def rename(recipe: Recipe, name: str) -> Recipe:
    """``recipe`` as the run called ``name``. Raises :class:`~tinkit.errors.UsageError` for what is no folder's name."""
    try:
        return Recipe.model_validate(recipe.model_dump() | {"name": name})
    except ValidationError as error:
        raise explain(error, Recipe, lambda location: (None, None)) from error


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a resolved recipe that :func:`load_recipe` reads back to the same values."""
    write_atomic(path, tomli_w.dumps(_without_none(recipe.model_dump(mode="json"))))


def _file_layers(path: Path, seen: tuple[Path, ...]) -> list[_Layer]:
    """The file's values, behind those of what it extends."""
    file = read_toml(path)
    if path.resolve() in seen:
        raise UserError("extends itself in a circle", file=path, line=file.line("extends"))
    parent = file.values.get("extends")
    if parent is None:
        return [_Layer(file.values, file)]
    if not isinstance(parent, str):
        raise UserError(f"extends is {parent!r}", file=path, line=file.line("extends"), expected="a recipe's name")
    beside = path.parent / (parent if parent.endswith(".toml") else f"{parent}.toml")
    try:
        parent_path = beside if beside.is_file() else find_toml("recipes", parent)
    except UsageError as error:
        raise UserError(error.problem, file=path, line=file.line("extends"), expected=error.expected) from error
    return [*_file_layers(parent_path, (*seen, path.resolve())), _Layer(file.values, file)]


def _parse_override(text: str) -> tuple[str, Any]:
    """``optim.lr=0.01`` as a key and a TOML value; what is not TOML is taken as text, so quotes are not needed."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {text}: no value", expected="KEY=VALUE, as in --set optim.lr=0.01")
    if key.strip() == "extends":
        raise UsageError("--set extends: a recipe's parent is named in its file", expected='extends = "NAME" there')
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def _deep_set(values: dict[str, Any], key: str, value: Any) -> None:
    *tables, last = key.split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise UsageError(f"--set {key}: {table!r} is a value, not a table")
    values[last] = value


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``above`` over ``below``: tables are merged, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _origins(recipe: Recipe, layers: list[_Layer]) -> dict[str, Origin]:
    """The origin of every key of the resolved recipe but ``sources`` itself."""
    given = [(layer, flatten(layer.values)) for layer in layers]
    origins: dict[str, Origin] = {}
    for key in flatten(recipe.model_dump(exclude={"sources"})):
        owner = next((layer for layer, flat in reversed(given) if key in flat), None)
        place = owner.place(key) if owner else "default"
        origins[key] = Origin(place, _mark(key, place, recipe.sources))
    return origins


def _mark(key: str, place: str, sources: dict[str, str]) -> str:
    """Published or assumed: by the longest pattern that fits; a default only by its very name."""
    if place == "--set":
        return "changed"
    fitting = [pattern for pattern in sources if fnmatchcase(key, pattern) and (place != "default" or pattern == key)]
    if fitting:
        return sources[max(fitting, key=len)]
    return "assumed: the default" if place == "default" else ""


def _place(location: Sequence[str], layers: list[_Layer], path: Path) -> Place:
    """Where the key at ``location`` was given: the last layer that has it, else the recipe's own file."""
    owner = next((layer for layer in reversed(layers) if _has(layer.values, location)), None)
    if owner is None:
        return path, None
    return owner.file.place(location) if owner.file else (None, None)


def _has(values: Any, location: Sequence[str]) -> bool:
    for part in location:
        if isinstance(values, list) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
        elif isinstance(values, dict) and part in values:
            values = values[part]
        else:
            # pydantic adds the tag of a union's branch to the location: what lies above it is the key
            return not isinstance(values, dict)
    return True


def _without_none(value: Any) -> Any:
    """TOML has no null: a key that is None is left out, and so takes its default when it is read again."""
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_none(inner) for inner in value]
    return value
