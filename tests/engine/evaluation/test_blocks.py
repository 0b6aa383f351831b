"""Blocks of a test: which of them another test takes up, and which it throws away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinkit.engine.evaluation.partial import Block, Blocks

CLASSES = 3


def saved(folder: Path, key: str = "a", keep_views: bool = False) -> list[int]:
    """The rows at which the blocks start that a test would go on from."""
    return [block.start for block in Blocks(folder, key, keep_views=keep_views).restore()]


@pytest.fixture
def three_blocks(tmp_path: Path) -> Path:
    folder = tmp_path / "partial"
    blocks = Blocks(folder, "a", keep_views=True)
    assert list(blocks.restore()) == []
    for start, n in ((0, 4), (4, 4), (8, 1)):
        scores = np.arange(start, start + n, dtype=np.float32)[:, None] * np.ones(CLASSES, np.float32)
        blocks.save(Block(start, scores, {start: "why"}, np.stack([scores, scores + 1])))
    return folder


def test_blocks_come_back_as_they_were(three_blocks: Path) -> None:
    found = list(Blocks(three_blocks, "a", keep_views=True).restore())
    assert [(block.start, len(block.values), block.reasons) for block in found] == [
        (0, 4, {0: "why"}), (4, 4, {4: "why"}), (8, 1, {8: "why"}),
    ]  # fmt: skip
    np.testing.assert_array_equal(Blocks(three_blocks, "a").view(1, 9)[:, 0], np.arange(9) + 1)


@pytest.mark.parametrize("name", ["0000000004.npz", "0000000004.views.npy"])
def test_blocks_end_before_a_missing_one(three_blocks: Path, name: str) -> None:
    (three_blocks / name).unlink()
    assert saved(three_blocks, keep_views=True) == [0]


@pytest.mark.parametrize("size", [0, 1, 100, -1])
def test_blocks_end_before_a_damaged_one(three_blocks: Path, size: int) -> None:
    path = three_blocks / "0000000004.npz"
    path.write_bytes(path.read_bytes()[:size])
    assert saved(three_blocks, keep_views=True) == [0]


def test_blocks_of_another_test_are_thrown_away(three_blocks: Path) -> None:
    (three_blocks / ".0000000009.1234abcd.tmp.npz").write_bytes(b"of a process that was killed")
    assert saved(three_blocks, key="b", keep_views=True) == []
    assert [path.name for path in three_blocks.iterdir()] == ["key"]


def test_blocks_with_views_are_those_of_another_test_than_without(three_blocks: Path) -> None:
    assert saved(three_blocks) == []
    assert saved(three_blocks, keep_views=True) == []


def test_blocks_without_views_do_not_serve_a_test_that_keeps_them(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path / "partial", "a")
    assert list(blocks.restore()) == []
    blocks.save(Block(0, np.zeros((2, CLASSES), np.float32), {}))
    assert saved(tmp_path / "partial") == [0]
    assert saved(tmp_path / "partial", keep_views=True) == []
