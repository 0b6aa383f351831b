"""The proof of the writers of results, in short: kills, failing calls, full disks and two writers at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults import results
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.result_writers import Writer, prepare


@pytest.fixture(scope="module")
def writers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Writer]]:
    with pytest.MonkeyPatch.context() as patch:  # a kill loses nothing that is not flushed
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield {writer.name: writer for writer in prepare(tmp_path_factory.mktemp("prepared") / "p", 0)}


def check(outcomes: Iterator[Outcome], least: int) -> None:
    found = list(outcomes)
    assert [outcome for outcome in found if not outcome.survived] == []
    assert len(found) >= least


@pytest.mark.parametrize(
    ("name", "step"),
    [("ensemble --force", 11), ("submit --force, beside another", 11), ("scores merge", 6)],
)
def test_after_a_kill_the_same_command_completes(
    writers: dict[str, Writer], tmp_path: Path, name: str, step: int
) -> None:
    check(results.kills(writers[name], tmp_path, step=step), 3)


@pytest.mark.parametrize("name", ["ensemble --force", "submit --force"])
def test_a_call_that_fails_leaves_the_old_result(writers: dict[str, Writer], tmp_path: Path, name: str) -> None:
    check(results.failures(writers[name], tmp_path, errno.ENOSPC, step=13), 3)


@pytest.mark.parametrize("name", ["ensemble --force", "submit --force", "scores import"])
def test_of_two_writers_one_is_refused(writers: dict[str, Writer], tmp_path: Path, name: str) -> None:
    check(iter([results.in_use(writers[name], tmp_path)]), 1)


def test_a_full_disk_is_said(writers: dict[str, Writer], tmp_path: Path) -> None:
    check(results.full_disk(writers["submit --force"], tmp_path), 5)


def test_damage_of_results_and_manifests_is_noticed(writers: dict[str, Writer], tmp_path: Path) -> None:
    check(results.flips(writers["submit"].before, tmp_path / "flips", 1, count=15), 40)
