"""Parts of a challenge: its heads, the shape of its JSON document, what it asks of an entry; and templates."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tinkit.errors import UsageError
from tinkit.table import Table

Answer = int | bool | str


class Head(Table):
    """One of several outputs that a challenge wants of a clip, such as a verb and a noun."""

    num_classes: Annotated[int, Field(ge=1)] | None = Field(None, description="Left out: as many as its scores have.")


class Asked(Table):
    """What an entry must say of itself, because no program can know it."""

    takes: Literal["integer", "boolean", "text"] = Field(description="A whole number, true or false, or a text.")
    low: int | None = Field(None, description="The least whole number.")
    high: int | None = Field(None, description="The largest whole number.")
    meaning: str = Field(min_length=1, description="What it says of an entry.")

    @model_validator(mode="after")
    def _range_of_numbers(self) -> Self:
        if self.takes != "integer" and (self.low is not None or self.high is not None):
            raise ValueError("low, high: bounds are of whole numbers; take them out")
        return self

    def wanted(self) -> str:
        """What it takes, in words."""
        low, high = ("" if bound is None else str(bound) for bound in (self.low, self.high))
        numbers = f"a whole number from {low} to {high}" if low and high else "a whole number"
        return {"integer": numbers, "boolean": "true or false", "text": "a text"}[self.takes]

    def fits(self, value: object) -> bool:
        """Whether ``value``, as JSON has it, may be the answer."""
        if self.takes == "text":
            return isinstance(value, str)
        if self.takes == "boolean" or isinstance(value, bool):
            return self.takes == "boolean" and isinstance(value, bool)
        low = -(1 << 63) if self.low is None else self.low
        high = 1 << 63 if self.high is None else self.high
        return isinstance(value, int) and low <= value <= high

    def parse(self, text: str) -> Answer | None:
        """The answer that ``text`` stands for; None where it stands for none."""
        value: Answer = text
        if self.takes == "boolean":
            value = {"true": True, "false": False}.get(text.lower(), text)
        elif self.takes == "integer" and text.lstrip("-").isdecimal() and text.isascii() and len(text) < 19:
            value = int(text)
        return value if self.fits(value) else None


class Document(Table):
    """The shape of a JSON document: what stands beside the clips, and what a clip gets."""

    results: str = Field("results", description="The key that holds the clips; empty: they are the whole document.")
    clips: Literal["object", "list"] = Field(
        "object", description="An object from file names to what a clip gets, or a list of objects."
    )
    scores: Literal["object", "array"] = Field(
        "object", description="With rows = 'scores': an object from labels to scores, or the scores in order."
    )
    id_key: str = Field("id", min_length=1, description="In a list of objects: the file name's key.")
    values_key: str = Field("predictions", min_length=1, description="In a list of objects: the key of what it gets.")
    label_key: str = Field("label", min_length=1, description="The key of a label beside its score.")
    score_key: str = Field("score", min_length=1, description="The key of a score beside its label.")
    fields: dict[str, Any] = Field(
        {}, description="What stands beside the clips; the text '{NAME}' is what was asked for."
    )

    @model_validator(mode="after")
    def _keys_differ(self) -> Self:
        if not self.results and self.fields:
            raise ValueError("fields: there is no place for them where results is empty")
        if self.results in self.fields:
            raise ValueError(f"fields: {self.results!r} holds the clips")
        if len({self.id_key, self.values_key}) < 2 or len({self.id_key, self.label_key, self.score_key}) < 3:
            raise ValueError("id_key: two keys of one object are the same")
        return self

    def asks(self) -> set[str]:
        """The names of what the fields take from an entry."""
        return {name for value in _leaves(self.fields) if (name := placeholder(value)) is not None}

    def filled(self, answers: Mapping[str, Answer]) -> dict[str, Any]:
        """The fields with the answers in their places."""
        done = _fill(self.fields, answers)
        assert isinstance(done, dict)
        return done


def placeholder(value: object) -> str | None:
    """The name that a field ``{NAME}`` takes its value from; None for any other value."""
    if isinstance(value, str) and value.startswith("{") and value.endswith("}") and value[1:-1].isidentifier():
        return value[1:-1]
    return None


def parse_answers(given: Mapping[str, str], asked: Mapping[str, Asked], title: str) -> dict[str, Answer]:
    """What ``--set`` says, by what the challenge asks.

    Raises :class:`~tinkit.errors.UsageError` for what is missing, unknown or of another kind.
    """
    answers: dict[str, Answer] = {}
    for name, text in given.items():
        if name not in asked:
            raise UsageError(
                f"--set {name}: {title} asks for no such thing",
                expected=f"one of: {', '.join(asked)}" if asked else "no --set",
            )
        value = asked[name].parse(text)
        if value is None:
            raise UsageError(
                f"--set {name}={text}: not an answer", expected=f"{asked[name].wanted()}: {asked[name].meaning}"
            )
        answers[name] = value
    if lacking := [name for name in asked if name not in answers]:
        raise UsageError(
            f"{title} asks what no program can know: {', '.join(lacking)}",
            expected="; ".join(f"{name}: {asked[name].wanted()}: {asked[name].meaning}" for name in lacking),
            fix=" ".join(f"--set {name}=..." for name in lacking),
        )
    return answers


def template_fields(template: str) -> list[str]:
    """The names in braces in ``template``. Raises :class:`ValueError` where braces do not match."""
    try:
        return [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ValueError(f"not a template: {error}") from error


def check_template(columns: str) -> str:
    """``columns``, if it is a template of the names of columns; raises :class:`ValueError` otherwise."""
    if template_fields(columns) not in (["index"], ["name"]):
        raise ValueError(
            "the template must hold {index} or {name} once and no other braces, as in 'score_{index}'; "
            "write names of columns as a list"
        )
    return columns


def check_plain_name(name: str) -> str:
    """``name``, if it is one of a file without folders; raises :class:`ValueError` otherwise."""
    if "/" in name or "\\" in name or name in (".", ".."):
        raise ValueError("a plain file name, without folders")
    return name


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


def _fill(value: Any, answers: Mapping[str, Answer]) -> Any:
    if isinstance(value, dict):
        return {key: _fill(inner, answers) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, answers) for inner in value]
    name = placeholder(value)
    return value if name is None else answers[name]
