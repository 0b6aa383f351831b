"""Fusions larger than memory: the same scores from files without a name, and a full disk is said."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.fusion_members import member
from tinkit.errors import UserError
from tinkit.files import large
from tinkit.fusion import Aligned, Member, align, combine
from tinkit.scores import Kind


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every array is large, and lies here."""
    monkeypatch.setenv("TINKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(large, "_LARGE", 1)
    return tmp_path / "cache"


def aligned_as(kind: Kind) -> Aligned:
    first, second = member("a"), member("b")
    gone = np.arange(60) % 7 == 0
    scores = np.where(gone[:, None], np.float32("nan"), second.table.scores)
    table = dataclasses.replace(second.table, valid=~gone, scores=scores)
    return align([first, Member("b", table)], kind=kind, missing="mean", scale=np.array([2.0, 0.5]))


@pytest.mark.parametrize("kind", ["logits", "probabilities", "ranks"])
def test_large_arrays_hold_what_small_ones_do(kind: Kind, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small = combine(aligned_as(kind), np.array([0.3, 0.7]))
    monkeypatch.setenv("TINKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(large, "_LARGE", 1)
    found = combine(aligned_as(kind), np.array([0.3, 0.7]))
    np.testing.assert_array_equal(found.scores, small.scores)
    assert list((tmp_path / "cache").iterdir()) == []  # the folder was made, its files have no names


def test_clips_that_all_members_miss_stay_without_scores_in_large_arrays(cache: Path) -> None:
    aligned = aligned_as("logits")
    aligned.valid[:, 3] = False
    table = combine(aligned, np.array([0.3, 0.7]))
    assert np.flatnonzero(~table.valid).tolist() == [3]
    assert np.flatnonzero(np.isnan(table.scores).any(axis=1)).tolist() == [3]
    assert np.isnan(table.scores[3]).all()


def test_a_disk_without_room_is_said_before_anything_is_written(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, start: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match="the disk is full"):
        combine(aligned_as("logits"))
