"""A fusion's ``fusion.json`` as it is read: it may be damaged or unfinished, or not describe the scores beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tinkit.errors import UserError
from tinkit.files.group import refuse_unfinished
from tinkit.files.json import parse_json
from tinkit.files.reading import read_bounded
from tinkit.fusion.spec import PublishedFusion

RECORD = "fusion.json"
_MAX_BYTES = 1 << 26
_AGAIN = "make the fusion again: `tinkit ensemble ... --force`"


class DamagedRecordError(UserError):
    """A ``fusion.json`` that is not the record of a fusion."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class Output(_Part):
    """A score file of the fusion: its name in the fusion's folder and its SHA-256."""

    path: str
    sha256: str


class Estimate(_Part):
    """Metrics by their names, None for one that has no value, and the ``counts`` of clips."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]

    counts: dict[str, int]


class Estimates(_Part):
    """What is needed of the record's ``metrics``: of the fusion itself, and cross-validated where it was fitted."""

    fused: Estimate | None = None
    cross_validated: Estimate | None = None


class Choice(_Part):
    """What is needed of how ``auto`` chose: what that is worth on other clips."""

    nested: float


class FusionRecord(_Part):
    """What is read of a ``fusion.json``; ``sha256`` is that of the file, ``made_from`` that of inputs and options."""

    fit: str | None
    outputs: dict[str, Output]
    arrays: Output | None = None
    metrics: Estimates
    metric: str | None = None
    choice: Choice | None = None
    published: list[PublishedFusion] = []
    trial: list[str] = []
    made_from: str | None = None
    sha256: str = ""

    def expected(self, metric: str) -> tuple[str, float] | None:
        """A metric and its value that other clips are expected to have, without optimism; None where none was measured.

        Of ``auto`` the nested value of the choice, in the metric that it chose by; else ``metric``, cross-validated, or
        as measured where nothing was fitted.
        """
        if self.choice is not None and self.metric is not None:
            return self.metric, self.choice.nested
        found = self.metrics.cross_validated or self.metrics.fused
        value = (found.model_extra or {}).get(metric) if found is not None else None
        return None if value is None else (metric, value)

    def describes(self, name: str) -> str | None:
        """The SHA-256 that the score file ``name`` must have; None for a file that is not of this fusion."""
        return next((item.sha256 for item in self.outputs.values() if item.path == name), None)


def read_record(file: Path) -> FusionRecord:
    """Read ``fusion.json``. Raises :class:`~tinkit.errors.UserError`, naming it, for anything that is none."""
    return _record(file)[0]


def record_content(file: Path) -> dict[str, Any]:
    """All that a ``fusion.json`` holds. Raises as :func:`read_record`."""
    return _record(file)[1]


def check_recorded(scores: Path, sha256: str) -> FusionRecord | None:
    """The record of the fusion that wrote ``scores``, whose SHA-256 is ``sha256``; None where none did.

    Raises :class:`~tinkit.errors.UserError` for an unfinished fusion, and for a file that is not as it was written.
    """
    head = scores.with_name(RECORD)
    refuse_unfinished(head)
    if not head.is_file():
        return None
    record = read_record(head)
    wanted = record.describes(scores.name)
    if wanted is None:
        return None
    if wanted != sha256:
        raise UserError(
            f"is not the file that {head} describes: its SHA-256 is {sha256[:12]}..., not {wanted[:12]}...",
            file=scores,
            fix=_AGAIN,
        )
    return record


def _record(file: Path) -> tuple[FusionRecord, dict[str, Any]]:
    """What is read of the record, and all that it holds."""
    refuse_unfinished(file)
    data = read_bounded(file, _MAX_BYTES, "the record of a fusion")
    try:
        content = parse_json(data, "the record of a fusion", file, file_names=True)
        record = FusionRecord.model_validate(content)
    except ValidationError as problem:
        raise damaged_record(problem, file) from problem
    except UserError as problem:
        raise _damaged(problem.problem, file, problem.line) from problem
    return record.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()}), content


def damaged_record(problem: ValidationError, file: Path) -> DamagedRecordError:
    """What to raise for a record whose values are not what they should be: the first of them, by its place."""
    first = problem.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return _damaged(f"{place}: {first['msg']}" if place else first["msg"], file)


def _damaged(problem: str, file: Path, line: int | None = None) -> DamagedRecordError:
    return DamagedRecordError(f"not the record of a fusion: {problem}", file=file, line=line, fix=_AGAIN)
