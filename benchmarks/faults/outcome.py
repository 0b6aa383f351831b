"""What became of one case of a proof."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """One case: its ``kind`` of fault, whether tinkit survived it, and the figures that are part of the claim."""

    kind: str
    case: str
    survived: bool
    seconds: float | None = None
    megabytes: float | None = None
    note: str = ""
