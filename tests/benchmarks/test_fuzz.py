"""A small part of `make fuzz`: what is unchanged is read, what is changed ends in a word, and faults are noticed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fuzz import packed_targets, score_targets, sound_targets, targets
from benchmarks.fuzz.child import Outside
from benchmarks.fuzz.material import make_media
from benchmarks.fuzz.parent import Child, Result, prepare
from benchmarks.fuzz.place import Place
from benchmarks.fuzz.targets import ROWS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("fuzz"), make_media([]))


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    media: dict[str, list[bytes]] = {}
    for file in sorted((folder / "media").iterdir()):
        media.setdefault(file.suffix[1:], []).append(file.read_bytes())
    yield Place(folder / "root", folder / "outside", media)
    targets.empty(folder / "root")


@pytest.mark.parametrize("kind", ROWS)
def test_unchanged_files_of_every_kind_are_read(kind: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (targets, score_targets, sound_targets):
        monkeypatch.setattr(module, "changed", lambda rng, data, others: data)
        monkeypatch.setattr(module, "changed_text", lambda rng, data, words: data, raising=False)
        monkeypatch.setattr(
            module, "changed_table", lambda rng, data, words, target: not target.write_bytes(data), raising=False
        )
    monkeypatch.setattr(packed_targets, "_change", lambda rng, place, file: False)
    monkeypatch.setattr(packed_targets, "_tars", lambda to: ())
    assert ROWS[kind].target(random.Random(1), place) == "read"


def test_changed_files_are_read_or_refused_within_limits(folder: Path) -> None:
    result, child = Result("some"), Child(folder)
    for kind in ROWS:
        child.order(kind, 0, 6)
        for seed in range(6):
            answer = child.answer()
            assert answer is not None, (kind, seed, child.end())
            result.add(answer)
    child.end()
    assert result.faults == []
    assert result.read + result.refused == 6 * len(ROWS)
    assert min(result.read, result.refused) > 20
    print(f"peak {result.peak:.0f} MiB, {result.loaded:.0f} of them before the first case")
    assert result.peak - result.loaded < 250


def test_a_child_that_dies_is_a_fault_of_its_case(folder: Path) -> None:
    child, result = Child(folder), Result("mp4")
    child.order("no such kind", 0, 1)
    answer = child.answer()
    assert answer is not None
    result.add(answer)
    assert "KeyError: 'no such kind'" in result.faults[0]
    child._process.kill()
    child.order("mp4", 0, 1)
    assert child.answer() is None
    result.died(0, child.end())
    assert (result.crashed, result.hung) == (2, 0)


def test_a_file_that_is_opened_beside_the_root_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    outside = Outside(tmp_path)
    assert not outside.touched()
    (tmp_path / "secret").stat()
    assert not outside.touched()
    (tmp_path / "secret").read_bytes()
    assert outside.touched()
    assert not outside.touched()
