"""Blocks of an interrupted test: what is whole is taken up again, and what is damaged is never scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinkit.engine.evaluation.partial import Block, Blocks


def drawn(start: int) -> Block:
    random = np.random.default_rng(start)
    values = random.normal(size=(4, 3)).astype(np.float32)
    return Block(start, values, {start: "broken"}, random.normal(size=(2, 4, 3)).astype(np.float32))


def restored(folder: Path) -> list[Block]:
    return list(Blocks(folder, "key", keep_views=True).restore())


def test_blocks_come_back_and_those_of_another_command_do_not(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path / "b", "key", keep_views=True)
    assert list(blocks.restore()) == []
    for start in (0, 4):
        blocks.save(drawn(start))
    first, second = restored(tmp_path / "b")
    assert (first.start, second.start, second.reasons) == (0, 4, {4: "broken"})
    np.testing.assert_array_equal(second.values, drawn(4).values)
    wanted = np.concatenate([drawn(0).views[1], drawn(4).views[1]])  # type: ignore[index]
    np.testing.assert_array_equal(blocks.view(1, 8), wanted)
    (tmp_path / "b" / "key").write_bytes(b"\xff\xfe")
    assert restored(tmp_path / "b") == []
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["key"]


@pytest.mark.parametrize("name", ["0000000004.npz", "0000000004.views.npy"])
def test_a_damaged_block_ends_those_that_are_taken_up(tmp_path: Path, name: str) -> None:
    blocks = Blocks(tmp_path / "b", "key", keep_views=True)
    list(blocks.restore())
    for start in (0, 4, 8):
        blocks.save(drawn(start))
    path = tmp_path / "b" / name
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 97):
        bad = bytearray(whole)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        assert [block.start for block in restored(tmp_path / "b")] == [0]
    for length in range(0, len(whole), 50):
        path.write_bytes(whole[:length])
        assert [block.start for block in restored(tmp_path / "b")] == [0]
    path.write_bytes(whole)
    assert [block.start for block in restored(tmp_path / "b")] == [0, 4, 8]
