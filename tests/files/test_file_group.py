"""Files that appear at once: killed before any call to the system, or failing there, they are old, new or refused."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from benchmarks.faults.calls import failing_at_each_call, killed_before_each_call
from tinkit.errors import UserError
from tinkit.files.atomic import atomic_path, temporaries, write_atomic
from tinkit.files.group import file_group, recover, refuse_unfinished, sweep, writing_in
from tinkit.files.locks import InUseError, writing

OLD = {"head.json": "old", "a": "old a", "b": "old b", "stale": "old stale", "other": "mine"}
NEW = {"head.json": "new", "a": "new a", "c": "new c", "b": "old b", "other": "mine"}


def write_group(folder: Path) -> None:
    head = folder / "head.json"
    with writing_in(folder, head):
        recover(head)
        with file_group(head) as group:
            for name in ("a", "c", "head.json"):
                write_atomic(group.place(name), f"new {name}" if name != "head.json" else "new")
            group.remove("stale")


def held(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith(".")}


def state_of(folder: Path) -> str:
    try:
        refuse_unfinished(folder / "head.json")
    except UserError:
        return "unfinished"
    return held(folder)["head.json"]


@pytest.fixture(autouse=True)
def _without_flushing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill loses nothing that is not flushed, and a disk that others use takes a tenth of a second each time."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def before(tmp_path: Path) -> Path:
    folder = tmp_path / "before"
    folder.mkdir()
    for name, text in OLD.items():
        (folder / name).write_text(text)
    return folder


def test_a_kill_before_any_call_leaves_the_old_the_new_or_what_is_refused(before: Path, tmp_path: Path) -> None:
    seen = set()
    cases = list(killed_before_each_call(before, tmp_path, write_group))
    assert len(cases) > 25
    for folder in cases:
        there = held(folder)
        # whoever knows nothing of journals finds no head beside files that it does not describe
        assert there.get("head.json") != "new" or there == NEW
        assert there.get("head.json") != "old" or there == OLD
        seen.add(state := state_of(folder))
        assert state == "unfinished" or there in (OLD, NEW)
        with writing_in(folder, folder / "head.json"):
            recover(folder / "head.json")
        assert held(folder) in (OLD, NEW)
        write_group(folder)
        assert {path.name for path in folder.iterdir()} == set(NEW)
        assert held(folder) == NEW
    assert seen == {"unfinished", "old", "new"}


@pytest.mark.thorough
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failure_at_any_call_leaves_the_old_whole_and_is_said(before: Path, tmp_path: Path, number: int) -> None:
    codes = []
    for folder, code in failing_at_each_call(before, tmp_path, write_group, number):
        codes.append(code)
        assert held(folder) == (OLD if code else NEW)
        refuse_unfinished(folder / "head.json")
    assert set(codes) == {0, 1}
    assert codes[-1] == 0
    assert codes.count(1) > 15


def test_the_first_of_its_kind_leaves_nothing_where_it_fails(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with pytest.raises(UserError, match="is a folder"), writing_in(folder, folder):
        raise UserError("is a folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.thorough
def test_recovery_may_be_killed_too(before: Path, tmp_path: Path) -> None:
    unfinished = []
    for folder in killed_before_each_call(before, tmp_path, write_group):
        if (folder / ".head.json.unfinished").exists():
            unfinished.append(folder)
    assert len(unfinished) > 5
    for folder in unfinished[3::6]:
        for again in killed_before_each_call(folder, folder.with_name(f"{folder.name}-again"), write_group):
            there = held(again)
            assert there.get("head.json") != "new" or there == NEW
            assert there.get("head.json") != "old" or there == OLD
            write_group(again)
            assert {path.name for path in again.iterdir()} == set(NEW)
            shutil.rmtree(again)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "7", '{"stage": "x"}', "[" * 5000, '{"stage": ".", "files": ["../a"], "removed": []}', "\udcff"],
)
def test_a_damaged_journal_is_refused_by_name(before: Path, content: str) -> None:
    journal = before / ".head.json.unfinished"
    journal.write_text(content, errors="surrogateescape")
    with pytest.raises(UserError, match=r"unfinished: damaged"):
        write_group(before)
    assert held(before) == OLD


def test_a_journal_cannot_reach_outside(before: Path) -> None:
    (before / "sub").mkdir()
    stage = before / ".stage-head.json-00000000"
    for files in (["../x"], ["sub/a"], [".."], ["/etc/passwd"], [7]):
        content = {"stage": stage.name, "files": files, "removed": []}
        (before / ".head.json.unfinished").write_text(json.dumps(content))
        with pytest.raises(UserError, match="damaged"):
            write_group(before)


def leave_temporary(path: Path) -> None:
    """The temporary file of a process that is killed."""
    with atomic_path(path) as temporary:
        name = temporary
    name.write_text("half")
    path.unlink()


def test_only_the_temporaries_of_this_output_are_swept(tmp_path: Path) -> None:
    for name in ("a.csv", "aa.csv", "a.txt", "n" * 200 + ".csv", "n" * 201 + ".csv"):
        leave_temporary(tmp_path / name)
    left = {path.name for path in tmp_path.iterdir()}
    assert len(left) == 5
    for name in ("a.csv", "n" * 200 + ".csv"):
        assert len(temporaries(tmp_path / name)) == 1
        sweep(tmp_path / name)
    assert len(list(tmp_path.iterdir())) == 3
    assert not temporaries(tmp_path / "a.csv")


def test_two_writers_of_one_group(before: Path) -> None:
    with writing(before / "head.json"), pytest.raises(InUseError, match="in use by process"):
        write_group(before)
    assert held(before) == OLD
