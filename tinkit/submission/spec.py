"""A challenge: what its leaderboard's file looks like, as one frozen type read from ``submissions/*.toml``."""

from __future__ import annotations

import posixpath
import string
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from tinkit.errors import did_you_mean
from tinkit.files.shipped import find_toml
from tinkit.files.toml import explain, read_toml
from tinkit.metrics import METRICS, LeaderboardMetric, Task
from tinkit.table import Table

NameRule = Literal["id", "basename", "stem"]
_ONLY_FOR = {
    "scores": ("values", "precision"),
    "ranked": ("top", "labels"),
}


class Challenge(Table):
    """The rules of one leaderboard's file. Every key whose official wording was not found is listed in ``assumed``."""

    title: str = Field(min_length=1, description="The challenge's full name.")
    source: str = Field(min_length=1, description="Where the format was read.")
    assumed: tuple[str, ...] = Field((), description="Keys below whose official wording was not found.")
    task: Task = Field(description="Whether a clip has several labels or one.")
    num_classes: Annotated[int, Field(ge=1)] | None = Field(None, description="Left out: as many as the scores have.")
    class_order: Literal["file", "alphabetical"] = Field(
        "file", description="How a category file without indices numbers its names."
    )
    rows: Literal["scores", "ranked"] = Field(
        description="What follows the file name: every class's score, or labels by falling score."
    )
    values: Literal["probabilities", "logits", "any"] = Field(
        "probabilities", description="What the scores are; `any` writes them as they come, ranks too."
    )
    precision: int = Field(
        17, ge=1, le=17, description="Significant digits; 17 give float64 back exactly, 9 only float32."
    )
    top: int = Field(5, ge=1, description="Labels a row.")
    labels: Literal["index", "text"] = Field("index", description="A label as the class's index or as its name.")
    first_index: Literal[0, 1] = Field(0, description="The first class's index in this file.")
    filename: NameRule = Field("id", description="The clip's id verbatim, its last part, or that without suffix.")
    header: bool = Field(False, description="Whether the first line names the columns.")
    id_column: str = Field("filename", min_length=1, description="The header's name of the first column.")
    columns: str = Field(
        "score_{index}",
        description="The header's name of the others; {index} is the class's index, or the rank from 1.",
    )
    delimiter: str = Field(",", description="One character.")
    quoting: Literal["csv", "none"] = Field(
        "none", description="csv: a text holding the delimiter is quoted; none: it is refused."
    )
    order: Literal["error", "warning", "any"] = Field(
        "warning", description="What `--check` makes of rows in another order than the list of test clips."
    )
    zip: bool = Field(False, description="Whether the file is handed in inside a zip archive.")
    member: str = Field("submission.csv", min_length=1, description="The file's name inside the zip archive.")
    metrics: tuple[LeaderboardMetric, ...] = Field(
        min_length=1, description="What a rehearsal prints, the challenge's own first."
    )

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        if len(value) != 1 or value in '\r\n"' or value.isalnum() or value in "._+-":
            raise ValueError("a delimiter is one character that no number or name is made of, such as ',' ';' or ' '")
        return value

    @field_validator("columns")
    @classmethod
    def _one_name_a_column(cls, value: str) -> str:
        try:
            fields = [name for _, name, _, _ in string.Formatter().parse(value) if name is not None]
        except ValueError as error:
            raise ValueError(f"not a template: {error}") from error
        if fields != ["index"]:
            raise ValueError("the template must hold {index} once and no other braces, as in 'score_{index}'")
        return value

    @field_validator("member")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if "/" in value or "\\" in value or value in (".", ".."):
            raise ValueError("a plain file name, without folders")
        return value

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        unused = _ONLY_FOR["ranked" if self.rows == "scores" else "scores"]
        if meaningless := [key for key in unused if key in self.model_fields_set]:
            raise ValueError(f"{', '.join(meaningless)}: means nothing with rows = {self.rows!r}; take it out")
        if "member" in self.model_fields_set and not self.zip:
            raise ValueError("member: means nothing without zip = true; take it out")
        for key in self.assumed:
            if key not in type(self).model_fields:
                raise ValueError(f"assumed: there is no key {key!r}{did_you_mean(key, type(self).model_fields)}")
        known = [name for name, metric in METRICS.items() if metric.task == self.task]
        for name in self.metrics:
            if name not in known:
                raise ValueError(f"metrics: {name} is not one of a {self.task} challenge: {', '.join(known)}")
            if self.rows == "ranked" and METRICS[name].places > self.top:
                raise ValueError(f"metrics: {name} needs {METRICS[name].places} labels a row, the file has {self.top}")
        return self

    def file_name(self, clip_id: str) -> str:
        """What the leaderboard calls the clip ``clip_id``."""
        return apply_rule(self.filename, clip_id)

    def header_row(self, num_values: int) -> list[str]:
        """The names of all columns; ``num_values`` follow the file name's."""
        first = self.first_index if self.rows == "scores" else 1
        return [self.id_column, *(self.columns.format(index=first + i) for i in range(num_values))]


def apply_rule(rule: NameRule, clip_id: str) -> str:
    """``clip_id`` verbatim, its last part (``basename``), or its last part without the suffix (``stem``)."""
    if rule == "id":
        return clip_id
    name = posixpath.basename(clip_id)
    return posixpath.splitext(name)[0] if rule == "stem" else name


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
