"""A fusion's ``fusion.json`` as it is read: it may be damaged or unfinished, or not describe the scores beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from tinkit.errors import UserError
from tinkit.files.arrow import open_arrow
from tinkit.files.group import refuse_unfinished
from tinkit.files.hashes import sha256_file
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


class ArraysRecord(_Part):
    """The file of what was learned: its name in the fusion's folder and its SHA-256."""

    path: str
    sha256: str


class Output(_Part):
    """A score file of the fusion: its name in the fusion's folder, and what names its content.

    Fusions of an earlier release have its SHA-256, and call it so.
    """

    path: str
    digest: str = Field(validation_alias=AliasChoices("digest", "sha256"))


class Estimate(_Part):
    """Metrics by their names, None for one that has no value, and the ``counts`` of clips."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]

    counts: dict[str, int]


class Estimates(_Part):
    """What is needed of the record's ``metrics``."""

    equal_mean: Estimate | None = None
    fused: Estimate | None = None
    cross_validated: Estimate | None = None
    cross_validated_equal_mean: Estimate | None = None


class IntervalRecord(_Part):
    """A value with the ends of its 95% interval: :class:`tinkit.fusion.choosing.estimate.Interval`."""

    value: float
    low: float
    high: float


class CandidateRecord(_Part):
    """A way that ``auto`` tried: :class:`tinkit.fusion.choosing.choice.Candidate`."""

    name: str
    value: float
    below_best: float
    standard_error: float
    less_likely: float | None = None
    likelihood_error: float | None = None


class ChoiceRecord(_Part):
    """How ``auto`` chose: the estimate of the choice itself (``nested``), and what it is above the equal mean."""

    candidates: list[CandidateRecord] = []
    nested: float
    optimistic: float
    equal_mean: float
    improvement: IntervalRecord


class WorthRecord(_Part):
    """What a member is worth: :class:`tinkit.fusion.worth.account.Worth`."""

    name: str
    worth: float | None
    standard_error: float | None
    can_go: bool


class AccountRecord(_Part):
    """What members are worth, and what classes gain: :class:`tinkit.fusion.worth.account.Account`."""

    clips: int
    members: list[WorthRecord]
    together: float | None
    correlation: list[list[float]]
    by_class: dict[str, float | None]


class SubsetRecord(_Part):
    """A fusion of some members: :class:`tinkit.fusion.worth.front.Subset`."""

    members: list[str]
    clips_per_s: float | None
    gflops: float | None = None
    value: float
    on_front: bool
    picked: bool


class FrontRecord(_Part):
    """Fusions of fewer members: :class:`tinkit.fusion.worth.front.Front`, and what was picked of them."""

    clips: int
    complete: bool
    by: Literal["clips/s", "GFLOPs"] = "clips/s"
    devices: list[str]
    subsets: list[SubsetRecord]
    budget: float | None
    expected: float | None
    optimism: float


class MemberRecord(_Part):
    """What is needed of a member."""

    name: str
    views: str = ""
    weight: float | None = None
    clips_per_s: float | None = None
    gflops: float | None = None
    metrics: Estimate | None = None


class FusionRecord(_Part):
    """What is read of a ``fusion.json``; ``sha256`` is that of the file, ``made_from`` that of inputs and options."""

    fit: str | None
    outputs: dict[str, Output]
    arrays: ArraysRecord | None = None
    metrics: Estimates
    method: str = ""
    chosen: str = ""
    metric: str = ""
    members: list[MemberRecord] = []
    worth: AccountRecord | None = None
    choice: ChoiceRecord | None = None
    improvement: IntervalRecord | None = None
    front: FrontRecord | None = None
    clips_per_s: float | None = None
    gflops: float | None = None
    devices: list[str] = []
    published: list[PublishedFusion] = []
    trial: list[str] = []
    made_from: str | None = None
    sha256: str = ""

    def expected(self, metric: str) -> tuple[str, float, IntervalRecord | None] | None:
        """What other clips like these are expected to measure: the metric, the value, what is above the equal mean.

        Less what picking its members for their speed has made of it.
        By ``metric``, or by the metric that ``auto`` chose by: the estimate of a choice is known by that only. What was
        measured where nothing was fitted needs no correction. None where nothing was measured.
        """
        optimism = self.front.optimism if self.front else 0.0
        if self.choice is not None:
            return self.metric, self.choice.nested - optimism, self.choice.improvement
        fitted = self.metrics.cross_validated
        value = value_of(fitted or self.metrics.fused, metric)
        if value is None:
            return None
        if metric != self.metric:
            return metric, value, None
        return metric, value - optimism, self.improvement if fitted is not None else None

    def describes(self, name: str) -> str | None:
        """The digest that the score file ``name`` must have; None for a file that is not of this fusion."""
        return next((item.digest for item in self.outputs.values() if item.path == name), None)


def value_of(estimate: Estimate | None, metric: str) -> float | None:
    """The value of ``metric``; None where it is not known."""
    return None if estimate is None else estimate.__pydantic_extra__.get(metric)


def read_record(file: Path) -> FusionRecord:
    """Read ``fusion.json``. Raises :class:`~tinkit.errors.UserError`, naming it, for anything that is none."""
    return _record(file)[0]


def record_content(file: Path) -> dict[str, Any]:
    """All that a ``fusion.json`` holds. Raises as :func:`read_record`."""
    return _record(file)[1]


def holds(scores: Path, digest: str) -> bool:
    """Whether ``scores`` is a score file, whole, with the content that ``digest`` names."""
    try:
        return _same(scores, open_arrow(scores).verified_digest(), digest)
    except (UserError, OSError):
        return False


def _same(scores: Path, digest: str, wanted: str) -> bool:
    """Whether the file whose content ``digest`` names is ``wanted``, which may be given as the file's SHA-256."""
    return digest == wanted or (":" not in wanted and sha256_file(scores) == wanted)


def check_recorded(scores: Path, digest: str) -> FusionRecord | None:
    """The record of the fusion that wrote ``scores``, whose content ``digest`` names; None where none did.

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
    if not _same(scores, digest, wanted):
        raise UserError(
            f"is not the file that {head} describes: its digest is {digest[:19]}..., not {wanted[:19]}...",
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
