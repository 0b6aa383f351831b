"""Parts put together: which clips go into which shard, and the shard written, with its index beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tinkit.data.packed.index import METADATA, SHARD_SCHEMA, read_table
from tinkit.data.packed.keys import member_name
from tinkit.data.packing.parts import Row, write_index
from tinkit.data.packing.tar import END, header, padded
from tinkit.errors import UserError
from tinkit.files.arrow import open_arrow
from tinkit.files.atomic import atomic_path
from tinkit.files.reading import open_regular

_PIECE = 1 << 22


@dataclass(frozen=True)
class Sample:
    """A packed clip's bytes: ``size`` of them at ``begin`` of a tar, in whose index it has ``row``."""

    tar: str
    row: int
    begin: int
    size: int


@dataclass(frozen=True)
class ShardToMake:
    """A shard that is to be written at ``place``, out of ``samples``."""

    place: str
    samples: tuple[Sample, ...]

    @property
    def size(self) -> int:
        """The bytes that it will have."""
        return sum(sample.size for sample in self.samples) + len(END)


def sample_of(tar: Path, table: pa.Table, row: int) -> Sample:
    """Where the clip in ``row`` of the index of ``tar`` lies in it."""
    offsets, lengths = (table.column(name)[row] for name in ("offsets", "lengths"))
    key = table.column("key")[row].as_py()
    first = header(member_name(key, 1), lengths[0].as_py())
    begin = offsets[0].as_py() - len(first)
    return Sample(str(tar), row, begin, offsets[-1].as_py() + padded(lengths[-1].as_py()) - begin)


def planned(samples: Iterable[Sample], most: int) -> list[tuple[Sample, ...]]:
    """``samples`` in that order, in shards of at most ``most`` bytes; a larger sample has one for itself."""
    plans: list[list[Sample]] = []
    size = 0
    for sample in samples:
        if not plans or size + sample.size + len(END) > most:
            plans.append([])
            size = 0
        plans[-1].append(sample)
        size += sample.size
    return [tuple(plan) for plan in plans]


def make_shards(tasks: tuple[ShardToMake, ...]) -> list[str]:
    """Write shards and their indexes; the places that were written."""
    return [_make_shard(task) for task in tasks]


def _make_shard(task: ShardToMake) -> str:
    place = Path(task.place)
    tables: dict[str, pa.Table] = {}
    rows: list[Row] = []
    with atomic_path(place) as temporary, temporary.open("wb") as target:
        for sample in task.samples:
            if sample.tar not in tables:
                tables[sample.tar] = read_table(open_arrow(Path(sample.tar).with_suffix(".arrow")), SHARD_SCHEMA)
            rows.append(_moved(tables[sample.tar], sample, target.tell()))
            with open_regular(Path(sample.tar)) as source:
                source.seek(sample.begin)
                _copy(source, target, sample)
        target.write(END)
        size = target.tell()
    write_index(place.with_suffix(".arrow"), rows, {METADATA: json.dumps({"size": size}).encode()})
    return task.place


def _copy(source: Any, target: Any, sample: Sample) -> None:
    left = sample.size
    while left and (piece := source.read(min(_PIECE, left))):
        target.write(piece)
        left -= len(piece)
    if left:
        raise UserError("is shorter than its index says", file=sample.tar, fix="remove it: its clips are packed again")


def _moved(table: pa.Table, sample: Sample, begin: int) -> Row:
    """The row of a clip whose bytes begin at ``begin`` now."""
    row: Row = table.slice(sample.row, 1).to_pylist()[0]
    return row | {"offsets": [offset + begin - sample.begin for offset in row["offsets"]]}


def room_for(folder: Path, tasks: Sequence[ShardToMake]) -> None:
    """Raise :class:`~tinkit.errors.UserError` where ``folder``'s disk cannot hold the shards beside their parts."""
    needed, free = sum(task.size for task in tasks), shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"the shards take {needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free",
            file=folder,
            fix="make room and run the same command again; what was packed so far is kept",
        )
