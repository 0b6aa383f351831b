"""Damage of shards and indexes: never a wrong frame, found by --verify, and packed again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.packed_clips import HERE, IDS, frames_of, pack, place
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.packing.verify import verify_split


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
