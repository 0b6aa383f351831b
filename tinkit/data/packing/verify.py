"""Shards verified: every byte of a tar is what the indexes say, and every clip of the split is accounted for."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from tinkit.data.decode.clip_reader import describe
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.packed.index import Shard, ShardIndex, SplitIndex
from tinkit.data.packed.keys import key_of, member_name
from tinkit.data.packing.place import PackTo
from tinkit.data.packing.tar import END, header, padded
from tinkit.errors import UserError
from tinkit.files.arrow import DamagedFileError, open_arrow
from tinkit.files.reading import open_regular
from tinkit.spread.engine import Engine


@dataclass(frozen=True)
class Fault:
    """What is wrong with a shard, or with a clip of it (``id``; empty for the shard as a whole)."""

    shard: str
    id: str
    problem: str


def verify_split(
    manifest: Manifest, to: PackTo, engine: Engine, on_shards: Callable[[int], None] = lambda count: None
) -> list[Fault]:
    """Compare every shard of a split with the indexes, and the index with the manifest; what is wrong.

    Raises :class:`~tinkit.errors.UserError` where the split's index is missing or damaged.
    """
    index = read_split(to)
    rows = index.table.select(["id", "key", "start", "asked", "frames", "shard", "row", "reason"]).to_pylist()
    faults = list(_against_manifest(manifest, rows, to))
    by_shard: dict[int, list[tuple[int, str]]] = {number: [] for number in range(len(index.about.shards))}
    for row in rows:
        if row["shard"] >= 0:
            by_shard[row["shard"]].append((row["row"], row["id"]))
    tasks = [
        _Task(index.about.shards[number], tuple(clip_id for _, clip_id in sorted(clips)))
        for number, clips in by_shard.items()
    ]
    spread = engine.spread(partial(_verify_shards, str(to.folder)), _cannot)
    for results in spread.results([(task,) for task in tasks]) if tasks else ():
        for found in results:
            faults.extend(found)
            on_shards(1)
    return faults


def read_split(to: PackTo) -> SplitIndex:
    """The index of a split. Raises :class:`~tinkit.errors.UserError` where it is missing or damaged."""
    try:
        return SplitIndex(open_arrow(to.index))
    except FileNotFoundError:
        raise UserError("there are no packed clips", file=to.index, fix="run the command without --verify") from None
    except OSError as problem:
        raise UserError(f"cannot be read: {describe(problem)}", file=to.index) from problem


@dataclass(frozen=True)
class _Task:
    shard: Shard
    ids: tuple[str, ...]


def _against_manifest(manifest: Manifest, rows: list[dict[str, Any]], to: PackTo) -> Iterator[Fault]:
    columns = (manifest.table.column(name).to_pylist() for name in ("id", "start", "frames"))
    wanted = {i: (start, -1 if frames is None else frames) for i, start, frames in zip(*columns, strict=True)}
    found = {row["id"]: (row["start"], row["asked"]) for row in rows}
    for clip_id, window in wanted.items():
        if clip_id not in found:
            yield Fault(to.index.name, clip_id, "not packed")
        elif found[clip_id] != window:
            yield Fault(to.index.name, clip_id, "packed with another window than the annotation has")
    for clip_id in found.keys() - wanted.keys():
        yield Fault(to.index.name, clip_id, "not in the annotation any more")


def _verify_shards(folder: str, tasks: tuple[_Task, ...]) -> list[list[Fault]]:
    return [list(_verify_shard(Path(folder), task)) for task in tasks]


def _verify_shard(folder: Path, task: _Task) -> Iterator[Fault]:
    shard = task.shard
    try:
        index = ShardIndex(open_arrow(folder / shard.index), shard)
        size = (folder / shard.name).stat().st_size
        ids = tuple(index.table.column("id").to_pylist())
        if size != shard.size:
            yield Fault(shard.name, "", f"{size:,} bytes, not {shard.size:,}")
        if ids != task.ids:
            yield Fault(shard.index, "", "its clips are not those of the split's index")
        with open_regular(folder / shard.name) as file:
            for row, clip_id in enumerate(ids):
                if problem := _wrong_clip(file, index, row, clip_id):
                    yield Fault(shard.name, clip_id, problem)
            if file.read(len(END) + 1) != END:
                yield Fault(shard.name, "", "it does not end where it should")
    except DamagedFileError as problem:
        yield Fault(shard.index, "", problem.problem)
    except OSError as problem:
        yield Fault(shard.name, "", describe(problem))


def _wrong_clip(file: BinaryIO, index: ShardIndex, row: int, clip_id: str) -> str | None:
    """What is wrong with a clip's members, which are to begin where ``file`` is; it is behind them then."""
    problem = None
    key = key_of(clip_id)
    if index.table.column("key")[row].as_py() != key:
        problem = "its key is not that of its id"
    offsets, lengths, checksums = (values.tolist() for values in index.members(row))
    if index.table.column("frames")[row].as_py() != len(offsets):
        problem = f"{len(offsets)} frames in the tar, {index.table.column('frames')[row].as_py()} in the index"
    for number, (offset, length, checksum) in enumerate(zip(offsets, lengths, checksums, strict=True), 1):
        name = member_name(key, number)
        head = header(name, length)
        if offset - len(head) != file.tell():
            problem = problem or f"{name} is not where it should be"
            file.seek(max(0, offset - len(head)), os.SEEK_SET)
        found, data, rest = file.read(len(head)), file.read(length), file.read(padded(length) - length)
        if len(data) < length:
            return problem or f"{name} is cut off"
        if zlib.crc32(data) != checksum:
            problem = problem or f"{name} does not have its checksum"
        elif found != head or rest.strip(b"\0"):
            problem = problem or f"the header of {name} is damaged"
    return problem


def _cannot(task: _Task) -> list[Fault]:
    return [Fault(task.shard.name, "", "the process that read it ended")]
