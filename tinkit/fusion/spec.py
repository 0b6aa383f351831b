"""What an ensemble is: the type of ``ensembles/*.toml`` and of what the command line says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from tinkit.files.toml import explain, read_toml
from tinkit.fusion.members import Missing
from tinkit.fusion.methods import AUTO, METHODS, OWN_KEYS, FusionMethod
from tinkit.metrics import MetricName
from tinkit.table import Table

if TYPE_CHECKING:
    MethodName = str
else:  # a Literal, by which errors name all choices, and the nearest
    MethodName = Literal[(AUTO, *METHODS)]
Space = Literal["logits", "probabilities"]
Scale = Literal["spread", "none"]
_MINUTES = 15.0


class MemberSpec(Table):
    """One model: a run's score files, picked by views and weights, or one score file for each split."""

    run: str | None = Field(None, min_length=1, description="A run's name under ./runs, or its folder.")
    views: str | None = Field(None, description="Which of the run's score files, like 2x3; needed if it has several.")
    weights: str | None = Field(None, description="Which of the run's score files: best, last, ema or step=N.")
    scores: dict[str, Path] | None = Field(
        None, min_length=1, description="Split to score file; from the toml's folder."
    )
    name: str | None = Field(None, min_length=1, description="What the member is called; from its run if not given.")
    weight: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="Its part by hand, beside 1 for members that say nothing."
    )
    speed: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Clips a second, for `front`; what its test measured if not given."
    )
    gflops: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Billions of multiplications of a clip, for `front`; what its score file says if not given.",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.run is None) == (self.scores is None):
            raise ValueError("a member is a `run` or `scores`, one of the two")
        if self.scores and (self.views or self.weights):
            raise ValueError("`views` and `weights` pick among a run's files; `scores` names the files already")
        return self


class PublishedFusion(Table):
    """A ``[[published]]`` entry: what was reported for an ensemble like this one."""

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
    apply: tuple[str, ...] = Field(("test",), description="Further splits to write.")
    method: MethodName = Field("auto", description="How members become one; `by-hand` where a member says `weight`.")
    minutes: float = Field(
        _MINUTES,
        gt=0,
        allow_inf_nan=False,
        description="What `auto` may take, and `worth`, and `front`; what would take more is left out.",
    )
    space: Space = Field("logits", description="What a search, or a mean by hand, takes weighted means of.")
    scale: Scale = Field(
        "spread", description="What means divide logits by, so that no scale decides; none: they are as they are."
    )
    power: float = Field(0.5, ge=-20, le=20, allow_inf_nan=False, description="Of the power mean.")
    worth: bool = Field(False, description="Whether each member's worth is measured, too, by fits without it.")
    front: bool = Field(False, description="Whether fusions of fewer members are measured, too, beside what they cost.")
    budget: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Clips a second that the fusion must do: its members are the best of `front` that do.",
    )
    budget_gflops: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="GFLOPs that a clip may take the fusion, in the place of `budget`.",
    )
    metric: MetricName | None = Field(None, description="What is fitted for; the challenge's if not given.")
    missing: Missing = Field(
        "error", description="A clip that some member has no scores for: error, or mean of the rest."
    )
    parts: int | None = Field(
        None, ge=2, le=100, description="Parts of the cross-validated estimate; 10, or 5 of more than 5,000 clips."
    )
    seed: int = Field(0, ge=0, description="Of random starts and draws.")
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
            if "method" not in values and _says_weights(values):
                values = values | {"method": "by-hand"}
        return values

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.fit is None and (self.row is None or self.row.fit is not None):
            raise ValueError(f"method `{self.method}` needs a labelled split: fit = 'val'")
        for key in sorted(_others(self.method)):
            if key in self.model_fields_set:
                raise ValueError(f"{key}: means nothing with method = {self.method!r}; take it out")
        weights = [member.weight for member in self.members]
        if self.method != "by-hand" and any(weight is not None for weight in weights):
            raise ValueError(f"weight: a member's weight means nothing with method = {self.method!r}; take it out")
        if all(weight == 0 for weight in weights):
            raise ValueError("weight: all members have weight 0, so nothing is left to take the mean of")
        if self.budget is not None and self.budget_gflops is not None:
            raise ValueError("`budget` and `budget_gflops` are two ways to say what a fusion may cost: say one")
        if self.fit is None and self.smaller is not None:
            raise ValueError(f"{self.smaller}: needs a labelled split: fit = 'val'")
        if not self.splits:
            raise ValueError("neither `fit` nor `apply` names a split: there is nothing to do")
        return self

    @property
    def smaller(self) -> str | None:
        """The key that asks for fusions of fewer members; None where none does."""
        asked = {"front": self.front, "budget": self.budget, "budget_gflops": self.budget_gflops}
        return next((key for key, value in asked.items() if value), None)

    @property
    def row(self) -> FusionMethod | None:
        """The method's row of the table; None for ``auto``, which chooses one."""
        return METHODS.get(self.method)

    def keys_of(self, row: FusionMethod) -> dict[str, Any]:
        """The value of ``scale``, and of the keys that only some methods take, ``row`` among them."""
        own: dict[str, Any] = {key: getattr(self, key) for key in ("scale", *sorted(row.keys))}
        if row.name == "by-hand":
            own["member_weights"] = [1.0 if member.weight is None else member.weight for member in self.members]
        return own

    def only(self, kept: Sequence[int]) -> EnsembleSpec:
        """The ensemble of the members ``kept``, by their numbers."""
        return self.model_copy(update={"members": tuple(self.members[number] for number in kept)})

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
    members = [_from_folder(member, path.parent) for member in file.values["members"]]
    return make_spec(file.values | {"members": members}, changes)


def _from_folder(member: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A member's keys, with its score files resolved against ``folder``."""
    if "scores" not in member:
        return member
    return member | {"scores": {split: folder / name for split, name in member["scores"].items()}}


def make_spec(values: dict[str, Any], changes: dict[str, Any] | None = None) -> EnsembleSpec:
    """An ensemble from values, those of ``changes`` that are not None going first. UsageError when they do not fit.

    With a ``method`` of ``changes``, what ``values`` say that another method alone takes is left out.
    """
    given = {key: value for key, value in (changes or {}).items() if value is not None}
    if (method := str(given.get("method"))) in (AUTO, *METHODS):
        values = {key: value for key, value in values.items() if key not in _others(method)}
        if method != "by-hand" and _says_weights(values):
            values = values | {"members": [_without_weight(member) for member in values["members"]]}
    try:
        return EnsembleSpec.model_validate(values | given)
    except ValidationError as error:
        raise explain(error, EnsembleSpec, lambda _: (None, None)) from error


def _others(method: str) -> frozenset[str]:
    """The keys that mean nothing with ``method``."""
    return OWN_KEYS - METHODS[method].keys if method in METHODS else OWN_KEYS


def _says_weights(values: dict[str, Any]) -> bool:
    """Whether a member of what is not yet checked to be an ensemble says a weight."""
    members = values.get("members")
    if not isinstance(members, list | tuple):
        return False
    return any(_weight_of(member) is not None for member in members)


def _weight_of(member: Any) -> Any:
    return member.get("weight") if isinstance(member, dict) else getattr(member, "weight", None)


def _without_weight(member: Any) -> Any:
    if isinstance(member, dict):
        return {key: value for key, value in member.items() if key != "weight"}
    return member.model_copy(update={"weight": None})
