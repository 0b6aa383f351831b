"""The keys of a table of TOML as a table of Markdown, from their types, defaults and descriptions."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tinkit.expected import expected


def key_table(model: type[BaseModel]) -> str:
    """A row a key: its name, its default, and what it takes."""
    rows = [
        f"| `{name}` | {_default(field)} | {_cell(expected(field))} |" for name, field in model.model_fields.items()
    ]
    return "\n".join(["| key | default | what it takes |", "|---|---|---|", *rows]) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.default
    if value is None or value == ():
        return "left out"
    words = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
    text = words or (
        f'"{value}"' if isinstance(value, str) else str(list(value)) if isinstance(value, tuple) else value
    )
    return f"`{text}`".replace("'", '"')


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
