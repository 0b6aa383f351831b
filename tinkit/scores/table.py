"""Scores in memory: the rows of one split, and what they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tinkit.metrics import Task

Kind = Literal["logits", "probabilities", "ranks"]
Labels = tuple[int, ...] | None

VERSION = 1
CHUNK = 2048  # rows
# The columns that are not numbers, by their names here, with their types in Arrow.
COLUMNS = {"ids": pa.string(), "labels": pa.list_(pa.int32()), "source": pa.string()}


@dataclass(frozen=True)
class ScoreInfo:
    """Where scores come from and what they are: the file's metadata.

    ``kind`` says what the numbers are; ``classes`` names the columns in order; ``views`` (``2x3``) and ``average``
    (``logits`` or ``probabilities``) say how the views of a clip were joined, ``protocol`` how they were taken
    (``sampling``, ``stride``, ``scale``, ``crop``, ``flip``, ``num_segments``; empty where that is not known) and the
    ``precision`` that the model ran in (``float32``, ``bfloat16`` or ``float16``), ``view`` which of them these scores
    are (from 0; None: all, averaged); ``weights`` which checkpoint of ``run`` (``best``, ``last``, ``ema``,
    ``step=N``); ``trained_on`` the splits that its weights have seen; ``hashes`` what it was made from (``recipe``,
    ``checkpoint``, ``member:NAME``, ...). ``trial``: the run, or the test, was cut short (``--limit`` and the like).
    ``gflops``: billions of multiplications that a clip took the model, its views together; None where not known.
    """

    kind: Kind
    task: Task
    classes: tuple[str, ...]
    dataset: str
    dataset_version: str
    split: str
    views: str = ""
    average: str = ""
    weights: str = ""
    trained_on: tuple[str, ...] = ()
    run: str = ""
    hashes: dict[str, str] = field(default_factory=dict)
    version: int = VERSION
    protocol: dict[str, Any] = field(default_factory=dict)
    view: int | None = None
    trial: bool = False
    gflops: float | None = None


class ArrowColumn(Sequence[Any]):
    """An Arrow array read as a sequence of Python values, an item or a few thousand at a time; lists as tuples."""

    def __init__(self, array: pa.Array) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return _python(self.array[int(index)].as_py())

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self.array), 8192):
            yield from map(_python, self.array.slice(start, 8192).to_pylist())

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sequence)
            and len(self) == len(other)
            and all(a == b for a, b in zip(self, other, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]  # like a list

    def __repr__(self) -> str:
        return f"ArrowColumn({len(self)} x {self.array.type})"


class Rows(Protocol):
    """What is known of the N rows of a table without their scores: see :class:`ScoreTable`."""

    @property
    def info(self) -> ScoreInfo:
        """Where the scores come from and what they are."""

    @property
    def ids(self) -> Sequence[str]:
        """The clips."""

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(N,) of bool: which have scores."""

    @property
    def labels(self) -> Sequence[Labels]:
        """What is known of their classes."""

    @property
    def source(self) -> Sequence[str]:
        """The videos that they were cut from."""


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """The rows of one split.

    ``ids`` of N strings; ``scores`` (N, C) float32, a row of NaN where ``valid`` (N,) of bool is False; ``labels`` of
    N tuples of class indices, None where unknown; ``source`` of N strings. The three sequences are lists, or
    :class:`ArrowColumn` where they were read from a file.
    """

    info: ScoreInfo
    ids: Sequence[str]
    scores: NDArray[np.float32]
    valid: NDArray[np.bool_]
    labels: Sequence[Labels]
    source: Sequence[str]

    def __post_init__(self) -> None:
        shape = (len(self.ids), len(self.info.classes))
        if self.scores.shape != shape:
            raise ValueError(f"scores are {self.scores.shape}, but there are {shape[0]} ids and {shape[1]} classes")
        for name in ("valid", "labels", "source"):
            if len(getattr(self, name)) != shape[0]:
                raise ValueError(f"{name} has {len(getattr(self, name))} rows, ids {shape[0]}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labelled(self) -> bool:
        """Whether the labels of any row are known."""
        labels = as_arrow(self.labels, COLUMNS["labels"])
        return labels.null_count < len(labels)


def as_arrow(column: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """A table's column as an Arrow array of ``kind``; no copy where it was read from a file."""
    if isinstance(column, ArrowColumn) and column.array.type == kind:
        return column.array
    return pa.array(column, type=kind)


def take_rows(table: ScoreTable, rows: NDArray[np.int64]) -> ScoreTable:
    """The given rows (indices from 0), in the given order."""
    picked = {
        name: ArrowColumn(as_arrow(getattr(table, name), kind).take(pa.array(rows))) for name, kind in COLUMNS.items()
    }
    return dataclasses.replace(
        table,
        ids=picked["ids"],
        labels=picked["labels"],
        source=picked["source"],
        scores=table.scores[rows],
        valid=table.valid[rows],
    )


def in_chunks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """``rows``, a few thousand at a time: a few megabytes of scores at several hundred classes."""
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def label_matrix(table: ScoreTable) -> NDArray[np.uint8]:
    """The labels as (N, C) uint8 of 0 and 1; a row of unknown labels is all 0."""
    return mark_labels(table.labels, len(table.info.classes))


def mark_labels(labels: Sequence[Labels], width: int) -> NDArray[np.uint8]:
    """N rows of class indices as (N, ``width``) uint8 of 0 and 1; a row of unknown labels is all 0."""
    lists = as_arrow(labels, COLUMNS["labels"])
    marks = np.zeros((len(lists), width), np.uint8)
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    marks[np.repeat(np.arange(len(lists)), lengths), lists.flatten().to_numpy(zero_copy_only=False)] = 1
    return marks


def _python(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
