"""Damage of shards and indexes: never a wrong frame, found by --verify, and packed again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.helpers.packed_clips import HERE, IDS, frames_of, pack, place
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.packed.index import METADATA
from tinkit.data.packing.verify import verify_split
from tinkit.files.arrow import sealed_writer


def damaged(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Ways in which a shard is not what it was."""
    tar, index = folder / "train-000000.tar", folder / "train-000000.arrow"
    data = tar.read_bytes()

    def flip(at: int) -> None:
        tar.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])

    yield "a byte of a picture", lambda: flip(700)
    yield "a byte of a header", lambda: flip(150)
    yield "cut off", lambda: tar.write_bytes(data[: len(data) // 2])
    yield "no end", lambda: tar.write_bytes(data[:-1024] + b"x" * 1024)
    yield "gone", tar.unlink
    yield "no index", index.unlink
    yield "a pipe", lambda: (tar.unlink(), os.mkfifo(tar))[1]
    yield "an index that is a pipe", lambda: (index.unlink(), os.mkfifo(index))[1]
    yield "another index", lambda: index.write_bytes((folder / "train-000001.arrow").read_bytes())


@pytest.mark.parametrize("number", range(9))
def test_damage_is_found_and_packed_again(manifest: Manifest, number: int) -> None:
    pack(manifest)
    folder = manifest.root / "packed"
    whole = {clip_id: frames_of(manifest, clip_id) for clip_id in IDS}
    what, damage = list(damaged(folder))[number]
    damage()
    faults = verify_split(manifest, place(manifest.root), HERE)
    assert faults, what
    for clip_id in IDS:  # never a wrong frame
        try:
            found = frames_of(manifest, clip_id)
        except BrokenClip:
            continue
        assert all(np.array_equal(one, other) for one, other in zip(found, whole[clip_id], strict=True)), what
    for fault in faults:
        (folder / fault.shard).unlink(missing_ok=True)
    pack(manifest)
    assert verify_split(manifest, place(manifest.root), HERE) == []
    assert all(len(frames_of(manifest, clip_id)) == len(whole[clip_id]) for clip_id in IDS)


@pytest.mark.parametrize("column", ["offsets", "lengths", "checksums"])
def test_a_forged_index_with_empty_places_in_its_lists(manifest: Manifest, column: str) -> None:
    """Its checksum is right, and Arrow lets lists hold nulls."""
    pack(manifest)
    file = manifest.root / "packed" / "train-000000.arrow"
    table = pa.ipc.open_file(pa.py_buffer(file.read_bytes())).read_all()
    rows = table.to_pylist()
    rows[0][column][0] = None
    with sealed_writer(file, table.schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=table.schema))
    clip_id = rows[0]["id"]
    with pytest.raises(BrokenClip, match="empty places"):
        frames_of(manifest, clip_id)
    assert verify_split(manifest, place(manifest.root), HERE)
    pack(manifest)
    assert frames_of(manifest, clip_id)


def test_a_forged_index_whose_metadata_is_nested_too_deep(manifest: Manifest) -> None:
    pack(manifest)
    file = manifest.root / "packed" / "train-000000.arrow"
    table = pa.ipc.open_file(pa.py_buffer(file.read_bytes())).read_all()
    deep = table.replace_schema_metadata({METADATA: b"[" * 100_000})
    with sealed_writer(file, deep.schema) as writer:
        writer.write_table(deep)
    pack(manifest)
    assert verify_split(manifest, place(manifest.root), HERE) == []
