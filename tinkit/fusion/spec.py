"""What an ensemble is: the type of ``ensembles/*.toml`` and of what the command line says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from tinkit.files.toml import explain, read_toml
from tinkit.fusion.members import Missing
from tinkit.fusion.methods import METHODS, OWN_KEYS, FusionMethod
from tinkit.metrics import MetricName
from tinkit.scores import Kind
from tinkit.table import Table

if TYPE_CHECKING:
    MethodName = str
else:  # a Literal, by which errors name all choices, and the nearest
    MethodName = Literal[tuple(METHODS)]
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
    method: MethodName = Field("search", description="How members become one.")
    space: Space = Field("logits", description="What a search takes weighted means of.")
    metric: MetricName | None = Field(None, description="What is fitted for; the challenge's if not given.")
    missing: Missing = Field(
        "error", description="A clip that some member has no scores for: error, or mean of the rest."
    )
    parts: int = Field(5, ge=2, le=100, description="Parts of the cross-validated estimate.")
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
        return values

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.row.fit is not None and self.fit is None:
            raise ValueError(f"method `{self.method}` needs a labelled split: fit = 'val'")
        for key in OWN_KEYS - self.row.keys:
            if key in self.model_fields_set:
                raise ValueError(f"{key}: means nothing with method = {self.method!r}; take it out")
        if not self.splits:
            raise ValueError("neither `fit` nor `apply` names a split: there is nothing to do")
        return self

    @property
    def row(self) -> FusionMethod:
        """The method's row of the table."""
        return METHODS[self.method]

    @property
    def takes(self) -> Kind:
        """What the members' scores are turned into first."""
        return self.row.takes or self.space

    @property
    def own_keys(self) -> dict[str, Any]:
        """The values of the keys that only some methods take, this one among them."""
        return {key: getattr(self, key) for key in sorted(self.row.keys)}

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
    if (row := METHODS.get(str(given.get("method")))) is not None:
        values = {key: value for key, value in values.items() if key not in OWN_KEYS - row.keys}
    try:
        return EnsembleSpec.model_validate(values | given)
    except ValidationError as error:
        raise explain(error, EnsembleSpec, lambda _: (None, None)) from error
