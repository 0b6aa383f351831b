"""The catalogue of layouts: its rows hold together, and all choices that people see come from it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pkgutil import resolve_name

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from tinkit.cli.app import app
from tinkit.data.config.dataset import DataConfig
from tinkit.data.layouts.catalogue import LAYOUTS
from tinkit.data.layouts.layout import SPLITS
from tinkit.errors import UsageError
from tinkit.expected import expected


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_reader_of_a_row_takes_an_annotation_file_and_gives_rows(name: str) -> None:
    reader: Callable[..., object] = resolve_name(LAYOUTS[name].reader)
    signature = inspect.signature(reader)
    assert [parameter.annotation for parameter in signature.parameters.values()] == ["AnnotationFile"]
    assert signature.return_annotation == "Rows"


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_row_names_places_below_the_root_and_keys_that_exist(name: str) -> None:
    layout = LAYOUTS[name]
    places = [*layout.categories, *(place for split in SPLITS for place in layout.places(split))]
    assert all(place and not place.startswith("/") and ".." not in place for place in places)
    assert all(layout.places(split) for split in SPLITS)
    assert layout.keys <= DataConfig.model_fields.keys()


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize(("key", "value"), [("columns", "path labels"), ("delimiter", ",")])
def test_a_key_that_the_row_does_not_name_is_refused_with_those_that_do(name: str, key: str, value: str) -> None:
    if key in LAYOUTS[name].keys:
        assert getattr(DataConfig.model_validate({"dataset": name, key: value}), key) == value
        return
    with pytest.raises(ValidationError, match=f"{key} belongs to dataset = ") as caught:
        DataConfig.model_validate({"dataset": name, key: value})
    message = caught.value.errors()[0]["msg"]
    assert all((repr(other) in message) == (key in row.keys) for other, row in LAYOUTS.items())


def test_the_choices_of_the_key_are_the_rows() -> None:
    assert expected(DataConfig.model_fields["dataset"]).startswith(f"one of: {', '.join(LAYOUTS)}.")
    with pytest.raises(ValidationError) as caught:
        DataConfig.model_validate({"dataset": "mmitt"})
    assert all(repr(name) in str(caught.value) for name in LAYOUTS)


def test_the_command_lists_the_rows() -> None:
    result = CliRunner().invoke(app, ["data", "layouts", "--json"])
    listed = {row["dataset"]: row for row in json.loads(result.stdout)}
    assert list(listed) == list(LAYOUTS)
    assert all(listed[name]["title"] == layout.title for name, layout in LAYOUTS.items())
    refused = CliRunner().invoke(app, ["data", "prepare", "mmitt"]).exception
    assert isinstance(refused, UsageError)
    assert ", ".join(LAYOUTS) in str(refused)
