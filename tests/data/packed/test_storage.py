"""Shards on disk: read within their bounds, neighbours together, and closed where many are read."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinkit.data.packed.index import Shard
from tinkit.data.packed.storage import Folder, TornError


def test_a_shard_is_read_within_its_bounds(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"x" * 5000)
    storage = Folder(tmp_path)
    with pytest.raises(TornError):
        list(storage.read(Shard(name="a.tar", size=6000), [(0, 10)]))
    assert [bytes(data) for data in storage.read(Shard(name="a.tar", size=5000), [(4990, 10)])] == [b"x" * 10]
    for name in ("../a.tar", "/etc/passwd", "a/b.tar", "a.txt", ".tar"):
        with pytest.raises(ValueError, match="shard"):
            Shard(name=name, size=1)


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 3000)), max_size=12), st.integers(1, 4000))
def test_neighbours_are_read_together_and_each_span_has_its_own_bytes(gaps: list[tuple[int, int]], most: int) -> None:
    """Whatever lies between spans, and in any order."""
    whole = np.random.default_rng(0).integers(0, 256, 100_000).astype(np.uint8).tobytes()
    spans, at = list[tuple[int, int]](), 0
    for gap, size in gaps:
        spans.append((at + gap, size))
        at += gap + size
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinkit.data.packed.storage._STRETCH", most)
        Path(folder, "a.tar").write_bytes(whole)
        for some in (spans, spans[::-1]):
            found = list(Folder(Path(folder)).read(Shard(name="a.tar", size=len(whole)), some))
            assert [bytes(data) for data in found] == [whole[begin : begin + size] for begin, size in some]


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_shards_are_closed_where_many_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.data.packed.storage._MOST_OPEN", 2)
    storage, before = Folder(tmp_path), _descriptors()
    for number in range(5):
        (tmp_path / f"{number}.tar").write_bytes(bytes([number]) * 600)
    for number in (0, 1, 2, 3, 4, 0, 4):
        (data,) = storage.read(Shard(name=f"{number}.tar", size=600), [(512, 2)])
        assert bytes(data) == bytes([number]) * 2
        assert _descriptors() <= before + 2
    del storage
    assert _descriptors() == before
