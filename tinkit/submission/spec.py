"""A challenge: what its leaderboard's file looks like, as one frozen type read from ``submissions/*.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from tinkit.errors import did_you_mean
from tinkit.files.shipped import find_toml
from tinkit.files.toml import explain, read_toml
from tinkit.metrics import METRICS, LeaderboardMetric, Task
from tinkit.submission.names import NameRule, apply_rule
from tinkit.submission.spec_parts import Asked, Document, Head, check_plain_name, check_template, template_fields
from tinkit.table import Table

Rows = Literal["scores", "ranked", "long", "pairs"]
_RANKED_TOP = 5
_ONLY_FOR: Mapping[str, tuple[Rows, ...]] = MappingProxyType(
    {
        "values": ("scores", "long", "pairs"),
        "precision": ("scores", "long", "pairs"),
        "decimals": ("scores", "long", "pairs"),
        "infinite": ("scores",),
        "top": ("ranked", "long", "pairs"),
        "least": ("ranked", "long", "pairs"),
        "threshold": ("ranked", "long", "pairs"),
        "ties": ("ranked", "long", "pairs"),
        "pair_delimiter": ("pairs",),
    }
)
_TEXT_ONLY = ("header", "id_column", "columns", "delimiter", "quoting", "pair_delimiter")


class Challenge(Table):
    """The rules of one leaderboard's file. Every key whose official wording was not found is listed in ``assumed``."""

    title: str = Field(min_length=1, description="The challenge's full name.")
    source: str = Field(min_length=1, description="Where the format was read.")
    assumed: tuple[str, ...] = Field((), description="Keys below whose official wording was not found.")
    task: Task | Literal["any"] = Field(description="Whether a clip has several labels or one; `any` takes both.")
    num_classes: Annotated[int, Field(ge=1)] | None = Field(None, description="Left out: as many as the scores have.")
    class_order: Literal["file", "alphabetical"] = Field(
        "file", description="How a category file without indices numbers its names."
    )
    syntax: Literal["text", "json"] = Field("text", description="Lines of fields, or one JSON document.")
    rows: Rows = Field(
        description="What a clip gets: every class's score in order; its labels by falling score; a line each of label "
        "and score; or pairs of label and score."
    )
    values: Literal["probabilities", "logits", "any"] = Field(
        "probabilities", description="What the scores are; `any` writes them as they come, ranks too."
    )
    precision: int = Field(
        17,
        ge=1,
        le=17,
        description="Significant digits at most; 17: as many as it takes to read the same number back.",
    )
    decimals: Annotated[int, Field(ge=0, le=17)] | None = Field(
        None, description="Digits behind the point, always as many; instead of `precision`."
    )
    infinite: bool = Field(False, description="Whether a score may be -inf, which stands for a class ruled out.")
    top: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Labels a clip, at most; left out: 5 where they are ranked, all elsewhere."
    )
    least: Annotated[int, Field(ge=0)] | None = Field(
        None, description="The fewest labels a clip; left out: 1 with a `threshold`, else as many as `top` says."
    )
    threshold: float | None = Field(
        None, description="Labels beyond the `least` first are listed only with a score of at least this."
    )
    ties: Literal["first", "last", "refuse"] = Field(
        "first", description="Which of two classes of equal score is listed first, by index; or neither is."
    )
    labels: Literal["index", "text"] = Field("index", description="A label as the class's index or as its name.")
    first_index: Literal[0, 1] = Field(0, description="The first class's index in this file.")
    filename: NameRule = Field(
        "id", description="The clip's id verbatim, its last part, that without suffix, or its YouTube id alone."
    )
    suffix: str = Field("", max_length=20, description="What is put behind the file name, such as `.mp4`.")
    header: bool = Field(False, description="Whether the first line names the columns.")
    id_column: str = Field("filename", min_length=1, description="The header's name of the first column.")
    columns: Annotated[str, Field(min_length=1)] | tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        "score_{index}",
        description="The header's name of the others, each by name or all by a template: {index} is the class's index, "
        "or the rank from 1, {name} the class's name.",
    )
    delimiter: str = Field(",", description="One character.")
    pair_delimiter: str = Field(" ", description="One character: what parts labels and scores within a cell.")
    quoting: Literal["csv", "none", "all"] = Field(
        "none", description="csv: a text holding the delimiter is quoted; none: it is refused; all: every field is."
    )
    document: Document | None = Field(None, description="Where what stands in a JSON document.")
    heads: dict[str, Head] = Field(
        {}, description="Several outputs a clip, by name, each from a score file of its own."
    )
    joint: str = Field("", description="What a pair of the two heads' classes is called, such as `action`.")
    asked: dict[str, Asked] = Field({}, description="What an entry must say of itself, given by `--set NAME=VALUE`.")
    order: Literal["error", "warning", "any"] = Field(
        "warning", description="What `--check` makes of rows in another order than the list of test clips."
    )
    missing: Literal["error", "warning"] = Field(
        "error", description="What `--check` makes of a test clip without a row; a warning where it counts as wrong."
    )
    zip: bool = Field(False, description="Whether the file is handed in inside a zip archive.")
    gz: bool = Field(False, description="Whether the file is packed by gzip.")
    member: str = Field(
        "submission.csv",
        min_length=1,
        description="The file's name inside the zip archive; with {head} in it, each head has a file of its own.",
    )
    extra: dict[str, str] = Field(
        {}, description="Further files in the zip archive, name and text; {NAME} is what was asked."
    )
    file: str = Field("", description="What the file that is handed in must be called; left out: anything.")
    max_bytes: Annotated[int, Field(ge=1)] | None = Field(None, description="The size that the leaderboard takes.")
    metrics: tuple[LeaderboardMetric, ...] = Field(
        min_length=1, description="What a rehearsal prints, the challenge's own first."
    )

    @field_validator("delimiter", "pair_delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        if len(value) != 1 or value in '\r\n"' or value.isalnum() or value in "._+-":
            raise ValueError("a delimiter is one character that no number or name is made of, such as ',' ';' or ' '")
        return value

    @field_validator("columns")
    @classmethod
    def _one_name_a_column(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        return check_template(value) if isinstance(value, str) else value

    @field_validator("member", "file")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        return check_plain_name(value)

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        self._check_rows()
        self._check_files()
        for key in self.assumed:
            if key not in type(self).model_fields:
                raise ValueError(f"assumed: there is no key {key!r}{did_you_mean(key, type(self).model_fields)}")
        self._check_metrics()
        return self

    def _check_rows(self) -> None:
        given = self.model_fields_set
        if unused := [key for key, rows in _ONLY_FOR.items() if key in given and self.rows not in rows]:
            raise ValueError(f"{', '.join(unused)}: means nothing with rows = {self.rows!r}; take it out")
        text_only = [key for key in _TEXT_ONLY if key in given]
        if self.syntax == "json" and text_only:
            raise ValueError(f"{', '.join(text_only)}: means nothing with syntax = 'json'; take it out")
        if self.syntax == "text" and (inner := sorted(self.shape.model_fields_set)):
            raise ValueError(f"document.{inner[0]}: means nothing with syntax = 'text'; take it out")
        if {"precision", "decimals"} <= given:
            raise ValueError("decimals: says the same as precision otherwise; take one of the two out")
        if self.rows == "long" and self.least == 0:
            raise ValueError("least: a clip without a label would have no line; 1 or more")
        if self.least is not None and self.top is not None and self.least > self.top:
            raise ValueError(f"least: is more than top = {self.top}")
        if self.syntax == "json":
            if self.infinite:
                raise ValueError("infinite: JSON has no infinity")
            if self.rows == "long" and self.shape.clips == "object":
                raise ValueError("rows: 'long' needs document.clips = 'list'")
        if self.rows == "pairs" and self.syntax == "text" and self.delimiter == self.pair_delimiter:
            raise ValueError("pair_delimiter: is the delimiter too")
        named = self.columns if isinstance(self.columns, tuple) and self.rows != "scores" else None
        if named is not None and len(named) != (width := self.width_of(0)):
            raise ValueError(f"columns: {len(named)} names, and {width} columns follow the first")
        if "{name}" in self.columns and self.rows != "scores":
            raise ValueError("columns: {name} is the name of a class, and only rows = 'scores' has a column a class")

    def _check_files(self) -> None:
        if "member" in self.model_fields_set and not self.zip:
            raise ValueError("member: means nothing without zip = true; take it out")
        if self.extra and not self.zip:
            raise ValueError("extra: means nothing without zip = true; take it out")
        if self.zip and self.gz:
            raise ValueError("gz: a file is packed once; take zip or gz out")
        if wrong := [name for name in self.heads if not name.isidentifier() or not name.isascii()]:
            raise ValueError(f"heads: {wrong[0]!r} is not a name of letters, digits and underscores")
        fields = template_fields(self.member)
        if fields and (fields != ["head"] or not self.heads):
            raise ValueError("member: may hold {head}, where there are heads, and no other braces")
        if self.heads and self.syntax == "text" and not fields:
            raise ValueError("heads: in text, each has a file of its own: zip = true and member = '{head}.csv'")
        if self.heads and self.syntax == "json" and (fields or self.rows == "long"):
            raise ValueError("heads: in JSON they stand in one document, and rows = 'long' has none")
        for name, text in self.extra.items():
            check_plain_name(name)
            if name in self.members.values():
                raise ValueError(f"extra: {name!r} is called as the submission is")
            if unknown := set(template_fields(text)) - set(self.asked):
                raise ValueError(f"extra: {{{unknown.pop()}}} in {name!r} is not in `asked`")
        if unknown := self.shape.asks() - set(self.asked):
            raise ValueError(f"document: {{{unknown.pop()}}} is not in `asked`")

    def _check_metrics(self) -> None:
        known = [
            name for name, metric in METRICS.items() if "any" in (self.task, metric.task) or metric.task == self.task
        ]
        for name in self.metrics:
            if name not in known:
                raise ValueError(f"metrics: {name} is not one of a {self.task} challenge: {', '.join(known)}")
            places = METRICS[name].places
            if self.rows == "ranked" and places > self.most:
                raise ValueError(f"metrics: {name} needs {places} labels a row, the file has {self.most}")
        if self.joint and (len(self.heads) != 2 or not {"top1", "top5"}.issuperset(self.metrics)):
            raise ValueError("joint: needs two heads, and no other metrics than top1 and top5")

    @property
    def shape(self) -> Document:
        """The shape of a JSON document."""
        return self.document or Document()

    @property
    def most(self) -> int:
        """Labels a clip, at most; where there is no limit, more than any task has."""
        return self.top or (_RANKED_TOP if self.rows == "ranked" else 1 << 31)

    def fewest(self, num_classes: int) -> int:
        """The fewest labels that a clip of so many classes may have."""
        if self.least is None:
            return 1 if self.threshold is not None else min(self.most, num_classes)
        return self.least

    @property
    def members(self) -> dict[str, str]:
        """The file of each head, by the head's name; ``""`` is the only head."""
        return {head: self.member.format(head=head) for head in self.head_names}

    @property
    def head_names(self) -> tuple[str, ...]:
        """The names of the heads; one, ``""``, where there are none."""
        return tuple(self.heads) or ("",)

    def top_needs(self) -> int:
        """How many classes there must be at least for a row of ranked labels."""
        return self.most if self.least is None and self.threshold is None else self.least or 1

    def classes_of(self, head: str) -> int | None:
        """The number of classes that the rules give a head."""
        return self.heads[head].num_classes if head in self.heads else self.num_classes

    def file_name(self, clip_id: str) -> str:
        """What the leaderboard calls the clip ``clip_id``."""
        return apply_rule(self.filename, clip_id) + self.suffix

    def width_of(self, num_classes: int) -> int:
        """How many columns follow the file name's, where all rows have as many."""
        match self.rows:
            case "scores":
                return num_classes
            case "ranked":
                return self.most
            case "long":
                return 2
            case "pairs":
                return 1

    def header_row(self, num_classes: int, classes: tuple[str, ...] | None = None) -> list[str]:
        """The names of all columns, of which :meth:`width_of` follow the file name's; ``classes`` for {name}."""
        width, first = self.width_of(num_classes), self.first_index if self.rows == "scores" else 1
        if isinstance(self.columns, tuple):
            return [self.id_column, *self.columns]
        if classes is None:
            return [self.id_column, *(self.columns.format(index=first + i, name="*") for i in range(width))]
        names = classes if self.rows == "scores" else [""] * width
        return [self.id_column, *(self.columns.format(index=first + i, name=name) for i, name in enumerate(names))]


def load_challenge(name: str) -> tuple[Challenge, Path]:
    """The challenge that ``name`` (a built-in name or a .toml file) means, and its file.

    Raises :class:`~tinkit.errors.UserError` naming the file, the line, the key and the nearest known key.
    """
    path = find_toml("submissions", name)
    file = read_toml(path)
    try:
        return Challenge.model_validate(file.values), path
    except ValidationError as error:
        raise explain(error, Challenge, file.place) from error
