"""What an ensemble is: the type of ``ensembles/*.toml`` and of what the command line says."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from tinkit.files.toml import explain, read_toml
from tinkit.fusion.members import Missing
from tinkit.metrics import MetricName
from tinkit.scores import Kind
from tinkit.table import Table

Method = Literal["mean-logits", "mean-probabilities", "mean-ranks", "search"]
Space = Literal["logits", "probabilities"]


class MemberSpec(Table):
    """One model: a run's score files, picked by views and weights, or one score file for each split."""

    run: str | None = Field(None, min_length=1, description="A run's name under ./runs, or its folder.")
    views: str | None = Field(None, description="Which of the run's score files, like 2x3; needed if it has several.")
    weights: str | None = Field(None, description="Which of the run's score files: best, last, ema or step=N.")
    scores: dict[str, Path] | None = Field(
        None, min_length=1, description="Split to score file; from the toml's folder."
    )
    name: str | None = Field(None, min_length=1, description="What the member is called; from its run if not given.")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.run is None) == (self.scores is None):
            raise ValueError("a member is a `run` or `scores`, one of the two")
        if self.scores and (self.views or self.weights):
            raise ValueError("`views` and `weights` pick among a run's files; `scores` names the files already")
        return self


class PublishedFusion(Table):
    """A ``[[published]]`` entry: what somebody reported for an ensemble like this one."""

    number: float = Field(description="In percent, as papers print it.")
    metric: MetricName = Field(description="What was measured.")
    split: str = Field("val", min_length=1, description="The split that it was measured on.")
    source: str = Field(min_length=1, description="Who reported it.")
    note: str = Field("", description="What a reader must know before comparing.")
    spread: float | None = Field(
        None, ge=0, description="Points by which an honest repetition may differ, where that is known."
    )


class EnsembleSpec(Table):
    """A fusion: its members, how they are joined, where that is fitted and where it is applied."""

    name: str = Field("fusion", pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+=-]*$", description="The folder under ./fusions.")
    fit: str | None = Field(
        "val", min_length=1, description="The labelled split to fit and measure on; `none` for none."
    )
    apply: tuple[str, ...] = Field(("test",), description="The splits to write besides.")
    method: Method = Field("search", description="A mean with equal weights, or weights searched for the metric.")
    space: Space = Field("logits", description="What a search takes weighted means of.")
    metric: MetricName | None = Field(None, description="What a search maximises; the challenge's if not given.")
    missing: Missing = Field(
        "error", description="A clip that some member has no scores for: error, or mean of the rest."
    )
    parts: int = Field(5, ge=2, le=100, description="Parts of the cross-validated estimate.")
    seed: int = Field(0, ge=0, description="Of the search's random starts.")
    members: tuple[MemberSpec, ...] = Field(min_length=1)
    published: tuple[PublishedFusion, ...] = Field((), description="Numbers that others reported for it.")

    @model_validator(mode="before")
    @classmethod
    def _plain_words(cls, values: Any) -> Any:
        """`apply = "test"` means a list of one, `none` no split."""
        if isinstance(values, dict):
            if isinstance(values.get("apply"), str):
                values = values | {"apply": (values["apply"],)}
            if values.get("apply") in (["none"], ("none",)):
                values = values | {"apply": ()}
            if values.get("fit") == "none":
                values = values | {"fit": None}
        return values

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.method == "search" and self.fit is None:
            raise ValueError("method `search` needs a labelled split: fit = 'val'")
        if not self.splits:
            raise ValueError("neither `fit` nor `apply` names a split: there is nothing to do")
        return self

    @property
    def kind(self) -> Kind:
        """What the members' scores are turned into before the mean, and so the kind of the result."""
        match self.method:
            case "mean-logits":
                return "logits"
            case "mean-probabilities":
                return "probabilities"
            case "mean-ranks":
                return "ranks"
            case "search":
                return self.space

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that are written, the fitting one first, each once."""
        return tuple(dict.fromkeys([*([self.fit] if self.fit else []), *self.apply]))


def load_spec(path: Path, changes: dict[str, Any] | None = None) -> EnsembleSpec:
    """The ensemble in a toml file, with ``changes`` from the command line in the place of its keys.

    A member's score files are resolved against the file's folder. Raises UserError naming file, line and key.
    """
    file = read_toml(path)
    try:
        EnsembleSpec.model_validate(
            file.values
        )  # the file must stand on its own: its errors are not the command line's
    except ValidationError as error:
        raise explain(error, EnsembleSpec, file.place) from error
    values = copy.deepcopy(file.values)
    for member in values["members"]:
        if "scores" in member:
            member["scores"] = {split: path.parent / name for split, name in member["scores"].items()}
    return make_spec(values, changes)


def make_spec(values: dict[str, Any], changes: dict[str, Any] | None = None) -> EnsembleSpec:
    """An ensemble from values, those of ``changes`` that are not None going first. UsageError when they do not fit."""
    try:
        return EnsembleSpec.model_validate(values | {k: v for k, v in (changes or {}).items() if v is not None})
    except ValidationError as error:
        raise explain(error, EnsembleSpec, lambda _: (None, None)) from error
