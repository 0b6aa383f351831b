"""Where each value of a recipe came from, and whether it is published, assumed or changed.

A mark belongs to the value that it was written for: one that a file puts on ``optim.*`` goes with the rates that this
file resolves to, and not with another rate that a child or the command line sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ValidationError

from tinkit.files.toml import TomlFile, explain, flatten
from tinkit.recipe.schema import Recipe

CHANGED, UNMARKED, DEFAULT = "changed", "unmarked", "assumed: the default"
_UNMARKED_KEYS = ("name", "description", "published", "departs")
# What a training computes: where one of these differs, it is not the training whose number was published.
_COMPUTED = ("clip.", "model.", "optim.", "schedule.", "loss.", "mix.", "ema.", "train.splits", "train.amp")
_OF_DATA = ("dataset", "version", "train", "num_classes", "task", "class_order")
_MISSING = object()


@dataclass(frozen=True)
class Origin:
    """Where a value came from: ``place`` is ``default``, ``FILE:LINE`` or ``--set``; ``mark`` what the recipe says."""

    place: str
    mark: str
    """``published: WHERE``; ``assumed: WHY``; ``changed``: another value than the one that was marked, or one that
    ``--set`` gave; ``unmarked``; empty for ``name``, ``description`` and the published numbers themselves."""


@dataclass(frozen=True)
class Layer:
    """One source of values: a file, or the command line."""

    values: dict[str, Any]
    file: TomlFile | None

    def place(self, key: str) -> str:
        """``FILE:LINE`` of ``key``, or ``--set``."""
        return f"{self.file.path}:{self.file.line(key)}" if self.file else "--set"


@dataclass(frozen=True)
class _Stage:
    """The recipe as a layer leaves it: what is set so far, and every value if that is a recipe by itself."""

    layer: Layer
    given: dict[str, Any]
    values: dict[str, Any]
    sources: dict[str, str]


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``above`` over ``below``: tables are merged, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def merged_values(layers: Sequence[Layer], name: str) -> dict[str, Any]:
    """The values of ``layers``, the last going first, as a recipe called ``name`` unless they say otherwise."""
    merged: dict[str, Any] = {"name": name}
    for layer in layers:
        merged = merge(merged, {key: value for key, value in layer.values.items() if key != "extends"})
    return merged


def with_marks(recipe: Recipe, layers: Sequence[Layer]) -> tuple[Recipe, dict[str, Origin]]:
    """``recipe``, which ``layers`` resolve to, with the mark of every key as its ``sources`` and what it ``departs``
    in; and the origins by dotted key.
    """
    stages = [_stage(layers[: count + 1], recipe.name) for count in range(len(layers))]
    final = _flat(recipe)
    own = [flatten(layer.values) for layer in layers]
    origins: dict[str, Origin] = {}
    for key in flatten(recipe.model_dump(exclude={"sources"})):
        owner = next((layer for layer, flat in zip(reversed(layers), reversed(own), strict=True) if key in flat), None)
        place = owner.place(key) if owner else "default"
        origins[key] = Origin(place, "" if key in _UNMARKED_KEYS else _mark(key, final.get(key), place, stages))
    sources = {key: origin.mark for key, origin in origins.items() if origin.mark not in ("", UNMARKED)}
    return recipe.model_copy(update={"sources": sources, "departs": _departs(final, stages)}), origins


def change(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """``recipe`` with other values at some dotted keys, each of which is marked as changed where it differs.

    Raises :class:`~tinkit.errors.UsageError` for values that cannot be.
    """
    dumped = recipe.model_dump()
    for key, value in values.items():
        *tables, last = key.split(".")
        table = dumped
        for name in tables:
            table = table[name]
        table[last] = value
    try:
        changed = Recipe.model_validate(dumped)
    except ValidationError as error:
        raise explain(error, Recipe, lambda location: (None, None)) from error
    before, after = _flat(recipe), _flat(changed)
    other = [key for key in {**before, **after} if before.get(key, _MISSING) != after.get(key, _MISSING)]
    marks = {key: CHANGED for key in other if key in after and key not in _UNMARKED_KEYS}
    departs = {*recipe.departs, *filter(_is_computed, other)} if recipe.published else ()
    return changed.model_copy(update={"sources": recipe.sources | marks, "departs": tuple(sorted(departs))})


def _stage(layers: Sequence[Layer], name: str) -> _Stage:
    merged = merged_values(layers, name)
    given = flatten({key: value for key, value in merged.items() if key != "sources"})
    try:
        values = _flat(Recipe.model_validate(merged))
    except ValidationError:  # a part that is not a recipe by itself, which its children complete
        values = given
    sources = layers[-1].values.get("sources", {})
    return _Stage(layers[-1], given, values, sources)


def _flat(recipe: Recipe) -> dict[str, Any]:
    return flatten(recipe.model_dump(mode="json", exclude={"sources"}))


def _mark(key: str, value: Any, place: str, stages: Sequence[_Stage]) -> str:
    """The mark with the longest pattern of those written for this value, of two the nearer one's; a default only by
    its very name.
    """
    found: list[tuple[int, int, str]] = []
    other = False
    for number, stage in enumerate(stages):
        for pattern, mark in stage.sources.items():
            if pattern == key or (key in stage.given and fnmatchcase(key, pattern)):
                if same(stage.values.get(key, _MISSING), value):
                    found.append((len(pattern), number, mark))
                other = True
    if found:
        return max(found)[2]
    if place == "default":
        return DEFAULT
    if place == "--set" and not other:
        other = not same(stages[-2].values.get(key, _MISSING), value)
    return CHANGED if other else UNMARKED


def same(one: Any, other: Any) -> bool:
    """Whether two values are one: 1 and 1.0 are, 1 and true are not."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _departs(final: Mapping[str, Any], stages: Sequence[_Stage]) -> tuple[str, ...]:
    """The keys that are computed with another value than in the recipe whose ``[[published]]`` entries these are."""
    owner = next((n for n in reversed(range(len(stages))) if "published" in stages[n].layer.values), None)
    if owner is None or not final["published"]:
        return ()
    kept = {key for stage in stages[owner:] for key in stage.layer.values.get("departs", ())}
    then = stages[owner].values
    # of a part that is not a recipe by itself only what it gives is known
    keys = {**then, **final} if then is not stages[owner].given else then
    other = {key for key in keys if not same(then.get(key, _MISSING), final.get(key, _MISSING))}
    return tuple(sorted(kept | set(filter(_is_computed, other))))


def _is_computed(key: str) -> bool:
    return key.startswith(_COMPUTED) or key.removeprefix("data.") in _OF_DATA
