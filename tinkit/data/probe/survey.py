"""Every clip of a manifest probed: in parallel, resumable after a kill, and only what has changed since.

Results are written block by block beside the manifest, each file whole or absent. What a killed survey has written
stands; the next one goes on from there. Shares of the work write blocks of their own, which any later
survey of the whole set finds, so that what no share has probed is probed then: nothing is missing in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.data.manifest.manifest import Manifest
from tinkit.data.probe.clip import ClipProbe, HowToProbe, probe_clips, state_of
from tinkit.files.arrow import DamagedFileError, open_arrow, sealed_writer
from tinkit.files.atomic import atomic_path
from tinkit.files.locks import writing
from tinkit.spread.engine import WHOLE, Share
from tinkit.spread.spread import Spread

SCHEMA = pa.schema(
    [
        pa.field("path", pa.string()),
        pa.field("status", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("changed", pa.int64()),
        pa.field("digest", pa.string()),
        pa.field("frames", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("rate", pa.float64()),
        pa.field("seconds", pa.float64()),
        pa.field("keyframes", pa.list_(pa.int32())),
        pa.field("first", pa.int32()),
        pa.field("times", pa.list_(pa.int64())),
        pa.field("packets", pa.list_(pa.int32())),
        pa.field("sound", pa.bool_()),
        pa.field("notes", pa.list_(pa.string())),
    ]
)
_CHUNK = 16  # clips that a process probes at a time
_LOST_SHARE = 0.0025  # of a set, at most, is probed again after a kill
_MOST_BLOCK = 5000


def probes_file(manifest: Path) -> Path:
    """Where the probes of the clips of a manifest's file are kept: beside it."""
    return manifest.with_suffix(".probes.arrow")


def read_finished(manifest: Path) -> pa.Table | None:
    """What a survey of the whole manifest in this file has found, mapped into memory; None where there was none."""
    return _read(probes_file(manifest))


def read_probes(manifest: Manifest) -> pa.Table:
    """What is known of the manifest's clips, a row a clip, of each the newest.

    Damaged files are left out: their clips are probed again.
    """
    files = (probes_file(manifest.file), *_blocks(manifest))
    tables = [table for file in files if (table := _read(file)) is not None]
    table = pa.concat_tables(tables) if tables else SCHEMA.empty_table()
    newest = {path: row for row, path in enumerate(table.column("path").to_pylist())}
    return table if len(newest) == len(table) else table.take(pa.array(newest.values(), pa.int64()))


def _read(file: Path) -> pa.Table | None:
    """The probes in a file; None where it is missing or damaged, or holds what no survey writes."""
    try:
        opened = open_arrow(file)
        opened.verify()
        table = opened.reader().read_all()
        table.validate(full=True)
    except (DamagedFileError, OSError, pa.ArrowException, UnicodeDecodeError):
        return None
    if not table.schema.equals(SCHEMA) or any(column.null_count for column in table.columns):
        return None
    lists = [column for column in table.columns if pa.types.is_list(column.type)]
    return None if any(pc.list_flatten(column).null_count for column in lists) else table


def survey(
    manifest: Manifest,
    how: HowToProbe,
    spread: Callable[[Callable[[tuple[str, ...]], list[ClipProbe]]], Spread[str, ClipProbe]],
    share: Share = WHOLE,
    on_probed: Callable[[int], None] = lambda count: None,
) -> pa.Table:
    """Probe the clips of ``manifest``, or of one share of it, and keep what is found: all that is known, by SCHEMA.

    A clip is probed again if its file has another size or time than when it was probed. ``on_probed(n)`` is called
    with n more clips, those included that were known. Raises :class:`~tinkit.files.locks.InUseError` while another
    survey of the same share is at work.
    """
    paths = manifest.paths
    wanted = list(share.of(paths))
    target = probes_file(manifest.file)
    with writing(_block_stem(target, share)):
        found = read_probes(manifest)
        stale = _stale(how, wanted, found)
        on_probed(len(wanted) - len(stale))
        fresh: list[ClipProbe] = []
        block = max(_CHUNK, min(_MOST_BLOCK, int(_LOST_SHARE * len(wanted))))
        chunks = [tuple(stale[at : at + _CHUNK]) for at in range(0, len(stale), _CHUNK)]
        for results in spread(partial(probe_clips, how)).results(chunks):
            fresh.extend(results)
            on_probed(len(results))
            if len(fresh) >= block:
                _write_block(target, share, fresh)
                fresh = []
        _write_block(target, share, fresh)
        if stale:
            found = read_probes(manifest)
        if share.whole:
            found = _join(manifest, target, paths, found)
    return found


def _stale(how: HowToProbe, wanted: list[str], known: pa.Table) -> list[str]:
    """The clips that were never probed, or whose file is another one now; missing ones are looked for again."""
    rows = {path: row for row, path in enumerate(known.column("path").to_pylist())}
    sizes, times = (known.column(name).to_numpy() for name in ("size", "changed"))
    gone = np.array(known.column("status").to_pylist(), object) == "missing"
    stale = []
    for path in wanted:
        row = rows.get(path)
        size, changed = (-1, 0) if row is None else state_of(Path(how.root, path))
        if row is None or gone[row] != (size < 0) or (size >= 0 and (size, changed) != (sizes[row], times[row])):
            stale.append(path)
    return stale


def _join(manifest: Manifest, target: Path, paths: list[str], found: pa.Table) -> pa.Table:
    """One file of all probes, in the manifest's order, in place of the blocks."""
    rows = {path: row for row, path in enumerate(found.column("path").to_pylist())}
    joined = found.take(pa.array([rows[path] for path in paths], pa.int64())).combine_chunks()
    blocks = _blocks(manifest)
    if blocks or len(joined) != len(found):
        _write(target, joined)
        for block in blocks:
            block.unlink(missing_ok=True)
    return joined


def _block_stem(target: Path, share: Share) -> Path:
    return target.with_name(f"{target.stem}-{share.part}-of-{share.parts}")


def _blocks(manifest: Manifest) -> list[Path]:
    """Oldest first, within a share."""
    target = probes_file(manifest.file)
    return sorted(target.parent.glob(f"{target.stem}-*-of-*.block-*.arrow"))


def _write_block(target: Path, share: Share, probes: list[ClipProbe]) -> None:
    if probes:
        stem = _block_stem(target, share).name
        number = len(list(target.parent.glob(f"{stem}.block-*.arrow")))
        _write(target.with_name(f"{stem}.block-{number:06d}.arrow"), _table_of(probes))


def _table_of(probes: Iterable[ClipProbe]) -> pa.Table:
    rows = [asdict(probe) for probe in probes]
    columns: dict[str, list[Any]] = {item.name: [row[item.name] for row in rows] for item in fields(ClipProbe)}
    return pa.table(columns, schema=SCHEMA)


def _write(file: Path, table: pa.Table) -> None:
    with atomic_path(file) as temporary, sealed_writer(temporary, SCHEMA) as writer:
        writer.write_table(table)
