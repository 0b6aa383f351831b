"""The parts that a page is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A figure: its caption, its Vega-Lite specification, and the same numbers as a table for who cannot see it."""

    caption: str
    spec: Mapping[str, Any]
    data: Table


@dataclass(frozen=True)
class Table:
    """Rows with the columns of the first; ``sortable`` ones have buttons in their header and a field that filters."""

    caption: str
    rows: Sequence[Mapping[str, Any]]
    sortable: bool = False

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self.rows[0]) if self.rows else []


@dataclass(frozen=True)
class Strip:
    """A clip's frames as pictures: two JPEG files (frames, and frames with activation; the latter may be empty)."""

    clip: str
    facts: Sequence[str]
    frames: bytes = b""
    activation: bytes = b""


@dataclass(frozen=True)
class Section:
    """A heading, what it says, figures, tables, pictures, and texts that can be unfolded (title, text)."""

    key: str
    title: str
    notes: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    strips: Sequence[Strip] = ()
    texts: Sequence[tuple[str, str]] = field(default_factory=tuple)

    def __bool__(self) -> bool:
        return bool(self.notes or self.figures or self.tables or self.strips or self.texts)
