"""The pages on recipes against the schema: every key with its default, and no key or value that does not exist."""

from __future__ import annotations

import re
import tomllib
from typing import Annotated, Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from tests.helpers.places import ROOT
from tinkit.recipe import Published, Recipe

DOCS = ROOT / "docs"
RECIPES, OPTIONS = (DOCS / "recipes.md").read_text(), (DOCS / "options.md").read_text()


def recipe_tables() -> dict[str, type[BaseModel]]:
    """Every table of a recipe and the type of its keys."""
    tables: dict[str, type[BaseModel]] = {"published": Published}
    for name, field in Recipe.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            tables[name] = field.annotation
    return tables


TABLES = recipe_tables()


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def rows_below(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its head."""
    section = re.split(r"\n##+ ", RECIPES.split(f"\n### `{heading}`\n", 1)[1], maxsplit=1)[0]
    return [cells(line) for line in section.splitlines() if line.startswith("|")][2:]


def documented(table: str) -> dict[str, str]:
    """Key to the default that recipes.md names, as it stands there; several keys of a row may share a default."""
    found: dict[str, str] = {}
    for keys, default, _ in rows_below("[[published]]" if table == "published" else f"[{table}]"):
        names = re.findall(r"`(\w+)`", keys)
        defaults = default.split(", ") if len(names) > 1 and default.count("`") > 2 else [default] * len(names)
        assert len(defaults) == len(names), keys
        assert not found.keys() & set(names), keys
        found |= dict(zip(names, defaults, strict=True))
    return found


def default_of(field: FieldInfo) -> Any:
    return TypeAdapter(Any).dump_python(field.get_default(call_default_factory=True), mode="json")


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_key_is_documented_with_its_default(table: str) -> None:
    fields, found = TABLES[table].model_fields, documented(table)
    assert list(found) == [key for key in found if key in fields], f"[{table}] has no such keys"
    assert set(found) == set(fields)
    for key, text in found.items():
        if fields[key].is_required():
            assert text == "required", key
        elif default_of(fields[key]) is None:
            assert text == "left out", key
        else:
            assert tomllib.loads(f"value = {text.strip('`')}")["value"] == default_of(fields[key]), key


def test_keys_of_the_top_are_named() -> None:
    for key in {*Recipe.model_fields, "extends"} - {*TABLES}:
        assert f"`{key}`" in RECIPES or f"`[{key}]`" in RECIPES, key


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_word_of_a_choice_is_documented(table: str) -> None:
    """Where a key takes one of some words, its row names each of them; [[published]] refers to [test] for two keys."""
    rows = {
        key: " ".join(row)
        for row in rows_below("[[published]]" if table == "published" else f"[{table}]")
        for key in re.findall(r"`(\w+)`", row[0])
    }
    for key, field in TABLES[table].model_fields.items():
        if (table, key) not in (("published", "average"), ("published", "sampling")):
            for word in words_of(field.annotation):
                assert word in rows[key], f"{table}.{key}: {word}"


def words_of(annotation: Any) -> list[str]:
    """The words of every Literal in a type."""
    parts = get_args(annotation)
    return [word for part in parts for word in ([part] if isinstance(part, str) else words_of(part))]


def shown_keys() -> list[tuple[str, str, str | None]]:
    """(table, key, value as TOML or None) of every key that the second column of options.md names."""
    names = "|".join(TABLES)
    found = set()
    for line in OPTIONS.splitlines():
        text = cells(line)[-1] if line.startswith("|") else line
        found |= set(re.findall(rf"`({names})\.(?!py`)(\w+)(?: = ([^`]+))?`", text))
    return [(table, key, value or None) for table, key, value in sorted(found)]


def test_options_name_keys_that_exist_and_values_that_they_take() -> None:
    assert len(shown_keys()) > 100
    for table, key, value in shown_keys():
        assert key in TABLES[table].model_fields, f"{table}.{key}"
        if value is not None:
            field = TABLES[table].model_fields[key]
            annotation = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
            TypeAdapter(annotation).validate_python(tomllib.loads(f"value = {value}")["value"])


def test_options_of_a_code_base_are_listed_once() -> None:
    for section in OPTIONS.split("\n## ")[1:]:
        for table in re.split(r"\n\|---\|---\|\n", section)[1:]:
            rows = [cells(line)[0] for line in table.split("\n\n")[0].splitlines() if line.startswith("|")]
            assert len(rows) == len(set(rows))


def test_every_option_has_an_answer() -> None:
    """A key, a command, the reason why it is dropped, or that it is not built."""
    answered = re.compile(
        r"`[a-z]+\.\w+|`tinkit |`\[|dropped|not built|recipe|`extends`|always|torchrun|only|score file"
    )
    for line in OPTIONS.splitlines():
        if line.startswith("| ") and not line.startswith(("| option |", "| **")):
            option, here = cells(line)
            assert answered.search(here), option


def test_the_recipes_page_leads_to_the_options() -> None:
    assert "](options.md)" in RECIPES
