"""The feature file: what a network has seen in every clip, before its classifier; a score file's sibling.

Arrow IPC, one row a clip: ``id: string``, ``features: fixed_size_list<float32>[F]`` (null: the clip could not be
decoded), ``labels: list<int32>`` (null: unknown), ``source: string``. The schema's metadata key ``tinkit`` holds the
JSON that the score file of the same clips has, with the kind ``features``: whatever reads scores refuses it by that.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.files.arrow import open_arrow, sealed_writer
from tinkit.files.atomic import atomic_path
from tinkit.files.json import parse_json
from tinkit.scores.table import COLUMNS, VERSION, ArrowColumn, Labels, as_arrow

KIND = "features"

Part = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Features (n, F) of consecutive clips, and which of them (n,) could be decoded."""


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of N clips: ``features`` (N, F) float32, a row of NaN where ``valid`` (N,) of bool is False.

    ``info`` is the file's metadata: the fields of a :class:`~tinkit.scores.ScoreInfo` that have a meaning here.
    ``ids``, ``labels`` and ``source`` are as in a :class:`~tinkit.scores.ScoreTable`.
    """

    info: Mapping[str, Any]
    ids: Sequence[str]
    features: NDArray[np.float32]
    valid: NDArray[np.bool_]
    labels: Sequence[Labels]
    source: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class FeatureAbout:
    """What a feature file holds, without its features: ``valid`` (N,) of bool, the ``width`` F and its metadata."""

    info: Mapping[str, Any]
    ids: Sequence[str]
    valid: NDArray[np.bool_]
    width: int


def write_features(
    path: str | Path,
    info: Mapping[str, Any],
    ids: Sequence[str],
    labels: Sequence[Labels],
    source: Sequence[str],
    parts: Iterable[Part],
) -> None:
    """Write the features of ``ids`` to ``path`` atomically, and never hold more than one of ``parts`` of them.

    The parts are of consecutive clips, all of them together; a record batch of the file each. Raises
    :class:`~tinkit.errors.UserError`, naming the clip, for a doubled id and for features of a valid row that are not
    finite.
    """
    check_ids(ids, path)
    columns = [as_arrow(rows, COLUMNS[name]) for name, rows in (("ids", ids), ("labels", labels), ("source", source))]
    parts = iter(parts)
    first = next(parts)
    schema = _schema(first[0].shape[1], dict(info) | {"kind": KIND, "version": VERSION})
    done = 0
    with atomic_path(path) as temporary, sealed_writer(temporary, schema) as writer:
        for features, valid in itertools.chain([first], parts):
            stray = np.flatnonzero(valid & ~np.isfinite(features).all(axis=1))
            if stray.size:
                name = ids[done + int(stray[0])]
                raise UserError(f"{name!r} has non-finite features", fix="a model that has diverged")
            lists = pa.FixedSizeListArray.from_arrays(
                pa.array(np.where(valid[:, None], features, np.float32("nan")).reshape(-1)),
                type=schema.field("features").type,
                mask=pa.array(~valid),
            )
            clip, label, video = (column.slice(done, len(lists)) for column in columns)
            writer.write_batch(pa.record_batch([clip, lists, label, video], schema=schema))
            done += len(lists)
        if done != len(ids):
            raise ValueError(f"features of {done} clips, ids of {len(ids)}")


def read_features(path: str | Path) -> FeatureTable:
    """Read a feature file whole.

    Raises :class:`~tinkit.errors.UserError` when it is not a feature file, of another version, cut short or damaged.
    """
    table, about = _open(path)
    features = np.full((len(about.ids), about.width), np.nan, np.float32)
    done = 0
    for lists in table.column("features").chunks:
        rows = slice(done, done + len(lists))
        values = lists.values.slice(lists.offset * about.width, len(lists) * about.width)
        values = values.to_numpy(zero_copy_only=False).reshape(-1, about.width)
        np.copyto(features[rows], values, where=about.valid[rows, None])
        done += len(lists)
    columns = {name: ArrowColumn(table.column(name).combine_chunks()) for name in ("labels", "source")}
    return FeatureTable(about.info, about.ids, features, about.valid, **columns)


def inspect_features(path: str | Path) -> FeatureAbout:
    """What a feature file holds; its features are checked and not kept. Raises as :func:`read_features`."""
    return _open(path)[1]


def _open(path: str | Path) -> tuple[pa.Table, FeatureAbout]:
    """The file's table, mapped into memory, and what it holds."""
    if Path(path).is_dir():
        raise UserError("is a folder", file=path, expected="a feature file")
    if not Path(path).is_file():
        raise UserError("no such feature file", file=path, fix="make it with `tinkit predict RUN --features`")
    try:
        file = open_arrow(Path(path))
        file.verify()
        table = file.reader().read_all()
        info = parse_json((table.schema.metadata or {})[b"tinkit"], "the metadata of a feature file", Path(path))
        kind, version = info["kind"], info["version"]
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        raise UserError(f"not a feature file, or cut short: {error}", file=path) from error
    if kind != KIND or version != VERSION:
        raise UserError(f"holds {kind} of version {version}", file=path, expected=f"{KIND} of version {VERSION}")
    _check_columns(table, path)
    lists = table.column("features")
    valid = lists.is_valid().to_numpy()
    return table, FeatureAbout(info, ArrowColumn(table.column("id").combine_chunks()), valid, lists.type.list_size)


def _check_columns(table: pa.Table, path: str | Path) -> None:
    """Raise a UserError unless the columns are those of a feature file and hold together."""
    names = table.schema.names
    features = table.schema.field("features").type if names.count("features") == 1 else pa.null()
    wanted = _schema(features.list_size if pa.types.is_fixed_size_list(features) else 1, {})
    for field in wanted:
        if names.count(field.name) != 1 or not table.schema.field(field.name).type.equals(field.type):
            raise UserError(f"has no column {field.name!r} of {field.type}", file=path)
    try:
        table.validate()
        table.select(["id", "labels", "source"]).validate(full=True)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"not a feature file: {error}", file=path) from error
    for name in ("id", "source"):
        if table.column(name).null_count:
            raise UserError(f"column {name!r} has empty places", file=path)
    check_ids(ArrowColumn(table.column("id").combine_chunks()), path)


def _schema(width: int, info: Mapping[str, Any]) -> pa.Schema:
    fields = (
        ("id", COLUMNS["ids"]),
        ("features", pa.list_(pa.float32(), width)),
        ("labels", COLUMNS["labels"]),
        ("source", COLUMNS["source"]),
    )
    return pa.schema(fields, metadata={"tinkit": json.dumps(info, ensure_ascii=False)})


def check_ids(ids: Sequence[str], path: str | Path) -> None:
    """Raise :class:`~tinkit.errors.UserError` if a clip is there twice."""
    name, count = Counter(ids).most_common(1)[0] if len(ids) else ("", 0)
    if count > 1:
        raise UserError(f"clip {name!r} is there {count} times", file=path, expected="every clip once")
