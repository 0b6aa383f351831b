"""From a name to a resolved recipe: ``extends``, overrides, validation, and where each value came from."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from types import NoneType
from typing import Any

import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from tinkit.errors import UsageError, UserError, short
from tinkit.files.atomic import write_atomic
from tinkit.files.shipped import find_toml
from tinkit.files.toml import Place, TomlFile, explain, read_toml, strange_value
from tinkit.files.toml_lines import longest_key
from tinkit.recipe.aliases import ALIASES
from tinkit.recipe.marks import Layer, Origin, merged_values, with_marks
from tinkit.recipe.schema import Recipe
from tinkit.table import Table, tables_in, types_in

_MOST_FILES = 32  # of a chain of parents; ours have four
_MOST_PARTS = 32


class _Nothing(Table):
    """Below a key that is not a table."""


@dataclass(frozen=True)
class ResolvedRecipe:
    """A recipe with every value filled in, and the origin of each by dotted key."""

    recipe: Recipe
    origins: dict[str, Origin]


def load_recipe(name: str, overrides: Sequence[str] = (), data_root: Path | None = None) -> ResolvedRecipe:
    """Resolve a built-in name or a TOML file, with ``overrides`` of the form ``optim.lr=0.01`` on top.

    ``data_root`` (what ``--data`` says) becomes ``data.root``. Raises :class:`~tinkit.errors.UserError` naming the
    file, the line, the key and the nearest known key.
    """
    path = find_toml("recipes", name)
    layers = _file_layers(path)
    command: dict[str, Any] = {}
    for override in overrides:
        _deep_set(command, *parse_override(override))
    if data_root is not None:
        _deep_set(command, "data.root", str(data_root.absolute()))
    if command:
        if strange := strange_value(command):
            raise UsageError(f"{'.'.join(strange[0]) or 'a key'}: {strange[1]}")
        layers.append(Layer(command, None))
    try:
        recipe = Recipe.model_validate(merged_values(layers, path.stem))
    except ValidationError as error:
        raise explain(error, Recipe, lambda location: _place(location, layers, path), ALIASES) from error
    return ResolvedRecipe(*with_marks(recipe, layers))


def rename(recipe: Recipe, name: str) -> Recipe:
    """``recipe`` as the run called ``name``. Raises :class:`~tinkit.errors.UsageError` unless it is a folder name."""
    try:
        return Recipe.model_validate(recipe.model_dump() | {"name": name})
    except ValidationError as error:
        raise explain(error, Recipe, lambda location: (None, None)) from error


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a resolved recipe that :func:`load_recipe` reads back to the same values."""
    write_atomic(path, tomli_w.dumps(_without_none(recipe.model_dump(mode="json"))))


def _file_layers(path: Path) -> list[Layer]:
    """The file's values, behind those of what it extends."""
    layers: list[Layer] = []
    seen: set[Path] = set()
    following: Path | None = path
    while following is not None:
        file = read_toml(following)
        seen.add(following.resolve())
        layers.insert(0, Layer(file.values, file))
        following = _parent(file)
        if following is not None and following.resolve() in seen:
            raise UserError("extends itself in a circle", file=file.path, line=file.line("extends"))
        if len(layers) == _MOST_FILES and following is not None:
            raise UserError(
                f"extends a recipe that extends another, and so on for more than {_MOST_FILES} files",
                file=path,
                line=layers[-1].file.line("extends") if layers[-1].file else None,
            )
    return layers


def _parent(file: TomlFile) -> Path | None:
    """The file that ``file`` extends: one beside it, or a built-in."""
    parent = file.values.get("extends")
    if parent is None:
        return None
    line = file.line("extends")
    if not isinstance(parent, str):
        raise UserError(f"extends is {short(parent)}", file=file.path, line=line, expected="a recipe's name")
    try:
        beside = file.path.parent / (parent if parent.endswith(".toml") else f"{parent}.toml")
        return beside if beside.is_file() else find_toml("recipes", parent)
    except UsageError as error:
        raise UserError(error.problem, file=file.path, line=line, expected=error.expected, fix=error.fix) from error
    except OSError as error:
        raise UserError(f"extends {short(parent)}: {error.strerror}", file=file.path, line=line) from error


def parse_override(text: str) -> tuple[str, Any]:
    """``optim.lr=0.01`` as a key and a TOML value; what is not TOML is taken as text, so quotes are not needed."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {text}: no value", expected="KEY=VALUE, as in --set optim.lr=0.01")
    if key.strip() == "extends":
        raise UsageError("--set extends: a recipe's parent is named in its file", expected='extends = "NAME" there')
    if key.count(".") >= _MOST_PARTS or longest_key(value) > _MOST_PARTS:
        raise UsageError(f"--set {short(text)}: a dotted key of more than {_MOST_PARTS} parts")
    return key.strip(), _toml_or_text(key.strip(), value)


def _toml_or_text(key: str, value: str) -> Any:
    """``2`` is a number, but for a key that takes texts only."""
    try:
        found = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return value.strip()
    except (RecursionError, ValueError) as error:
        what = "nested too deep" if isinstance(error, RecursionError) else str(error).partition(";")[0]
        raise UsageError(f"--set {key} = {short(value)}: {what}") from error
    if len(found) > 1 or isinstance(found["value"], date | time):  # no key takes a date, and 1.1.1 is a text as well
        return value.strip()
    if isinstance(found["value"], int | float) and _takes_text(key):
        return value.strip()
    return found["value"]


def _takes_text(key: str) -> bool:
    table: type[BaseModel] = Recipe
    field: FieldInfo | None = None
    for part in key.split("."):
        field = table.model_fields.get(part)
        inner = tables_in(field.annotation) if field else []
        table = inner[0] if inner else _Nothing
    return field is not None and set(types_in(field.annotation)) <= {str, NoneType}


def _deep_set(values: dict[str, Any], key: str, value: Any) -> None:
    *tables, last = key.split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise UsageError(f"--set {key}: {table!r} is a value, not a table")
    values[last] = value


def _place(location: Sequence[str], layers: list[Layer], path: Path) -> Place:
    """Where the key at ``location`` was given: the last layer that has it, else the last file that has its table."""
    owner = next((layer for layer in reversed(layers) if _has(layer.values, location)), None)
    if owner is not None:
        return owner.file.place(location) if owner.file else (None, None)
    files = [(layer, layer.file) for layer in reversed(layers) if layer.file is not None]
    for length in range(len(location) - 1, 0, -1):
        for layer, file in files:
            if _has(layer.values, location[:length]):
                return file.place(location)
    return path, None


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
