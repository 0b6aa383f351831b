"""The page of other code bases' options against the schema: it names no key or value that does not exist."""

from __future__ import annotations

import re
import tomllib
from typing import Annotated

from pydantic import BaseModel, TypeAdapter

from tests.helpers.places import ROOT
from tinkit.recipe import Published, Recipe

DOCS = ROOT / "docs"
OPTIONS = (DOCS / "options.md").read_text()


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
    assert "](options.md)" in (DOCS / "recipes.md").read_text()


def test_nothing_that_is_built_is_called_not_built() -> None:
    """Flow, networks over space and time, non-local blocks, pooling and the families were once on that list."""
    head = OPTIONS.split("\n## ", 1)[0]
    assert not re.search(r"flow|3D|non-local|pooling|ResNet", head)
    unbuilt = [line for line in OPTIONS.splitlines() if "not built" in line and line.startswith("|")]
    assert all("BNInception" in line or "RandomResizedCrop" in line for line in unbuilt)
