"""What is packed, put together: shards that changed are written anew, and the index accounts for every clip."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.data.manifest.manifest import Manifest
from tinkit.data.packed.index import (
    CLIP_SCHEMA,
    METADATA,
    SHARD_SCHEMA,
    SPLIT_SCHEMA,
    VERSION,
    Shard,
    SplitIndex,
    hash_of,
    read_table,
)
from tinkit.data.packing.parts import write_index
from tinkit.data.packing.place import PackTo
from tinkit.data.packing.shards import Sample, ShardToMake, make_shards, planned, room_for, sample_of
from tinkit.errors import UserError
from tinkit.files.arrow import DamagedFileError, open_arrow
from tinkit.files.group import file_group
from tinkit.spread.engine import Engine

_KNOWN = ("id", "path", "start", "asked", "source_size", "source_changed", "source_digest", "reason")


@dataclass(frozen=True)
class Outcome:
    """What was packed: ``packed`` clips in ``shards``, ``fresh`` of them now; {id: why} of the broken ones."""

    packed: int
    fresh: int
    shards: tuple[Shard, ...]
    broken: dict[str, str]


@dataclass
class Found:
    """What is known of clips: a row each, and where its frames lie. What is added later replaces what was before."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    tables: dict[Path, pa.Table] = field(default_factory=dict)
    places: dict[str, tuple[Path, int]] = field(default_factory=dict)
    shards: dict[int, Path] = field(default_factory=dict)

    def add(self, tar: Path, table: pa.Table) -> None:
        """The clips of a part or shard, by its index."""
        self.tables[tar] = table
        for number, row in enumerate(table.select(_KNOWN).to_pylist()):
            self.rows[row["id"]] = row
            self.places[row["id"]] = (tar, number)


def known_shards(folder: Path, name: str) -> Found:
    """The clips of a split's shards, and the broken ones of its index. Damaged ones are packed again."""
    found = Found()
    try:
        index = SplitIndex(open_arrow(folder / f"{name}.arrow"))
        broken = index.table.filter(pc.less(index.table.column("shard"), 0))
        found.rows |= {row["id"]: row for row in broken.select(_KNOWN).to_pylist()}
        found.tables[folder / f"{name}.arrow"] = broken
        found.places |= {clip_id: (folder / f"{name}.arrow", at) for at, clip_id in enumerate(found.rows)}
    except (DamagedFileError, OSError):
        pass
    for number, tar in _tars(folder, name):
        if (table := _whole_shard(tar)) is not None:
            found.shards[number] = tar
            found.add(tar, table)
    return found


def _tars(folder: Path, name: str) -> list[tuple[int, Path]]:
    """The shards of a split that lie in ``folder``, whole or not, by number."""
    pattern = re.compile(rf"{re.escape(name)}-(\d{{6,9}})\.tar")
    matches = ((pattern.fullmatch(tar.name), tar) for tar in folder.glob(f"{name}-*.tar"))
    return sorted((int(match[1]), tar) for match, tar in matches if match)


def put_together(manifest: Manifest, to: PackTo, found: Found, engine: Engine, fresh: int) -> Outcome:
    """Write the shards that hold what is new, without what is not wanted any more, and the index of the split."""
    ids = manifest.ids
    if missing := [clip_id for clip_id in ids if clip_id not in found.rows]:
        raise UserError(
            f"{len(missing)} clips of {to.name} were neither packed nor found broken, such as {missing[0]!r}",
            file=to.folder,
            fix="run the same command again",
        )
    good = [clip_id for clip_id in ids if not found.rows[clip_id]["reason"]]
    kept, plans = _plan(found, good, to)
    numbers = iter(number for number in range(len(kept) + len(plans)) if number not in kept)
    with file_group(to.index) as group:
        tasks = [ShardToMake(str(group.place(_shard_name(to, next(numbers)))), plan) for plan in plans]
        room_for(to.folder, tasks)
        for task in tasks:
            group.place(Path(task.place).with_suffix(".arrow").name)
        spread = engine.spread(make_shards, _cannot)
        for _ in spread.results([(task,) for task in tasks]) if tasks else ():
            pass
        made = {int(Path(task.place).stem.rpartition("-")[2]): Path(task.place) for task in tasks}
        places = dict(sorted((kept | made).items()))
        shards = tuple(Shard(name=_shard_name(to, number), size=tar.stat().st_size) for number, tar in places.items())
        table = _split_table(ids, found, list(places.values()))
        _write_split(group.place(to.index.name), table, manifest, to, shards)
        for number, tar in _tars(to.folder, to.name):
            if number >= len(shards):
                group.remove(tar.name)
                group.remove(tar.with_suffix(".arrow").name)
    broken = {clip_id: found.rows[clip_id]["reason"] for clip_id in ids if found.rows[clip_id]["reason"]}
    return Outcome(len(good), fresh, shards, broken)


def _plan(found: Found, good: list[str], to: PackTo) -> tuple[dict[int, Path], list[tuple[Sample, ...]]]:
    """The shards that stay as they are, by number, and what goes into new ones; numbers have no gap then."""
    wanted: dict[Path, int] = {}
    for clip_id in good:
        tar = found.places[clip_id][0]
        wanted[tar] = wanted.get(tar, 0) + 1
    kept = {number: tar for number, tar in found.shards.items() if wanted.get(tar) == len(found.tables[tar])}
    while True:
        staying = set(kept.values())
        moving = (found.places[clip_id] for clip_id in good if found.places[clip_id][0] not in staying)
        plans = planned((sample_of(tar, found.tables[tar], row) for tar, row in moving), to.shard_bytes)
        if max(kept, default=-1) < len(kept) + len(plans):
            return kept, plans
        del kept[max(kept)]  # its clips fill the gap


def _shard_name(to: PackTo, number: int) -> str:
    return f"{to.name}-{number:06d}.tar"


def _whole_shard(tar: Path) -> pa.Table | None:
    """The index of a shard that is as long as it says; None for another."""
    try:
        opened = open_arrow(tar.with_suffix(".arrow"))
        table = read_table(opened, SHARD_SCHEMA)
        size = json.loads((opened.reader().schema.metadata or {}).get(METADATA, b"{}")).get("size")
        return table if tar.stat().st_size == size else None
    except (DamagedFileError, OSError, ValueError, AttributeError, RecursionError):
        return None


def _split_table(ids: list[str], found: Found, tars: list[Path]) -> pa.Table:
    """The rows of the split's index, sorted: those of the shards, and the broken clips."""
    wanted = set(ids)
    pieces = []
    for number, tar in enumerate(tars):
        table = read_table(open_arrow(tar.with_suffix(".arrow")), SHARD_SCHEMA).select(CLIP_SCHEMA.names)
        pieces.append(_placed(table, number, np.arange(len(table))))
    broken = [clip_id for clip_id in ids if found.rows[clip_id]["reason"]]
    by_tar: dict[Path, list[int]] = {}
    for clip_id in broken:
        tar, row = found.places[clip_id]
        by_tar.setdefault(tar, []).append(row)
    for tar, rows in by_tar.items():
        table = found.tables[tar].select(CLIP_SCHEMA.names).take(pa.array(rows, pa.int64()))
        pieces.append(_placed(table, -1, np.full(len(rows), -1)))
    table = pa.concat_tables(pieces) if pieces else SPLIT_SCHEMA.empty_table()
    if len(table) != len(wanted) or set(table.column("id").to_pylist()) != wanted:
        raise UserError(
            "the shards do not hold the clips that they should", fix="delete them and run the command again"
        )
    return table.sort_by([("hash", "ascending"), ("id", "ascending")])


def _placed(table: pa.Table, shard: int, rows: Any) -> pa.Table:
    hashes = [hash_of(clip_id.encode()) for clip_id in table.column("id").to_pylist()]
    columns = [pa.array(hashes, pa.uint64()), *table.columns]
    columns += [pa.array(np.full(len(table), shard), pa.int32()), pa.array(rows, pa.int32())]
    return pa.table(dict(zip(SPLIT_SCHEMA.names, columns, strict=True)), schema=SPLIT_SCHEMA)


def _write_split(place: Path, table: pa.Table, manifest: Manifest, to: PackTo, shards: tuple[Shard, ...]) -> None:
    about = {
        "version": VERSION,
        "dataset": manifest.dataset,
        "dataset_version": manifest.version,
        "settings": to.settings.model_dump(),
        "shards": [shard.model_dump() for shard in shards],
    }
    write_index(place, table, {METADATA: json.dumps(about).encode()})


def _cannot(task: ShardToMake) -> str:
    raise UserError("the process that wrote it ended", file=task.place, fix="free memory, and run the command again")
