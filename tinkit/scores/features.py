"""The feature file: what a network has seen in every clip, before its classifier; a score file's sibling.

Arrow IPC, one row a clip: ``id: string``, ``features: fixed_size_list<float32>[F]`` (null: the clip could not be
decoded), ``labels: list<int32>`` (null: unknown), ``source: string``. The schema's metadata key ``tinkit`` holds the
JSON that the score file of the same clips has, with the kind ``features``: whatever reads scores refuses it by that.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.files import atomic_path
from tinkit.scores.table import COLUMNS, VERSION, ArrowColumn, Labels, as_arrow

KIND = "features"
_FIELDS = {"ids": "id", "labels": "labels", "source": "source"}


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


def write_features(path: str | Path, table: FeatureTable) -> None:
    """Write ``table`` to ``path`` atomically.

    Raises :class:`~tinkit.errors.UserError`, naming the clip, for a doubled id and for features of a valid row that are
    not finite.
    """
    check_ids(table.ids, path)
    valid = np.asarray(table.valid, bool)
    stray = np.flatnonzero(valid & ~np.isfinite(table.features).all(axis=1))
    if stray.size:
        raise UserError(f"{table.ids[stray[0]]!r} has features that are not finite", fix="a model that has diverged")
    width = table.features.shape[1]
    features = np.where(valid[:, None], table.features, np.float32("nan")).astype(np.float32)
    lists = pa.FixedSizeListArray.from_arrays(
        pa.array(features.reshape(-1)), type=pa.list_(pa.float32(), width), mask=pa.array(~valid)
    )
    columns = {_FIELDS[name]: as_arrow(getattr(table, name), kind) for name, kind in COLUMNS.items()}
    columns = {"id": columns.pop("id"), "features": lists} | columns
    info = dict(table.info) | {"kind": KIND, "version": VERSION}
    schema = pa.schema({name: column.type for name, column in columns.items()})
    schema = schema.with_metadata({"tinkit": json.dumps(info, ensure_ascii=False)})
    with atomic_path(path) as temporary, pa.ipc.new_file(str(temporary), schema) as writer:
        writer.write_batch(pa.record_batch(list(columns.values()), schema=schema))


def read_features(path: str | Path) -> FeatureTable:
    """Read a feature file, which is mapped into memory.

    Raises :class:`~tinkit.errors.UserError` when it is no feature file, of another version, or cut short.
    """
    if not Path(path).is_file():
        raise UserError("no such feature file", file=path, fix="make it with `tinkit predict RUN --features`")
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        info = json.loads((table.schema.metadata or {})[b"tinkit"])
        kind, version = info["kind"], info["version"]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"not a feature file, or cut short: {error}", file=path) from error
    if kind != KIND or version != VERSION:
        raise UserError(f"holds {kind} of version {version}", file=path, expected=f"{KIND} of version {VERSION}")
    columns = {name: ArrowColumn(table.column(field).combine_chunks()) for name, field in _FIELDS.items()}
    lists = table.column("features").combine_chunks()
    width = lists.type.list_size
    features = lists.values.slice(lists.offset * width, len(lists) * width).to_numpy(zero_copy_only=False)
    valid = lists.is_valid().to_numpy(zero_copy_only=False)
    features = np.where(valid[:, None], features.reshape(-1, width), np.float32("nan"))
    return FeatureTable(info=info, features=features, valid=valid, **columns)


def check_ids(ids: Sequence[str], path: str | Path) -> None:
    """Raise :class:`~tinkit.errors.UserError` if a clip is there twice."""
    name, count = Counter(ids).most_common(1)[0] if len(ids) else ("", 0)
    if count > 1:
        raise UserError(f"clip {name!r} is there {count} times", file=path, expected="every clip once")
