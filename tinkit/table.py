"""What every table of a TOML file is: frozen, of known keys only, each key described by its docstring."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Table(BaseModel):
    """The base of all tables of recipes, ensembles and challenges.

    The docstring under a key is its description, which errors and pages show. No key takes infinity or NaN, and a
    number is not written ``true``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @field_validator("*", mode="before")
    @classmethod
    def _booleans_are_not_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Pydantic would take ``lr = true`` for 1.0."""
        name = info.field_name
        if name in cls.model_fields and _holds_boolean(value):
            kinds = types_in(cls.model_fields[name].annotation)
            if {int, float} & set(kinds) and not {bool, Any, dict} & {get_origin(kind) or kind for kind in kinds}:
                raise ValueError("true and false are not numbers")
        return value


def types_in(annotation: Any) -> list[Any]:
    """The types that an annotation names: of a union its members, of a list or tuple its items'."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return types_in(get_args(annotation)[0])
    if origin in (tuple, list, Union, UnionType):
        return [kind for inner in get_args(annotation) for kind in types_in(inner)]
    return [annotation]


def tables_in(annotation: Any) -> list[type[BaseModel]]:
    """The tables among :func:`types_in`."""
    return [kind for kind in types_in(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _holds_boolean(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, list | tuple) and any(map(_holds_boolean, value)))
