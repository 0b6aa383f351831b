"""A submission and its manifest: both whole, or neither; and nothing of another is lost."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.submission_tables import challenge, make_table
from tests.helpers.submissions import TWO
from tinkit.errors import UserError
from tinkit.scores import ScoreTable
from tinkit.submission import (
    plan_submission,
    read_ids,
    write_submission,
)
from tinkit.submission.reading.judge_clips import ClipCheck
from tinkit.submission.reading.parts import Block


def put(out: Path, table: ScoreTable = TWO, **options: Any) -> dict[str, Any]:
    return write_submission(plan_submission(table, challenge("mmit"), None), out, inputs={}, ids=None, **options)


def test_never_overwrites_without_force(tmp_path: Path) -> None:
    out = tmp_path / "a.csv"
    put(out)
    before = out.read_bytes(), (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(UserError, match="there already"):
        put(out, make_table([[0.75]]))
    assert (out.read_bytes(), (tmp_path / "manifest.json").read_bytes()) == before
    put(out, make_table([[0.75]]), force=True)
    assert out.read_text() == "filename,score_0\nc0,0.75\n"
    assert json.loads((tmp_path / "manifest.json").read_text())["clips"] == 1


def test_another_submissions_manifest_is_never_lost(tmp_path: Path) -> None:
    first = put(tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"belongs to another submission, a\.csv"):
        put(tmp_path / "b.csv")
    assert not (tmp_path / "b.csv").exists()
    put(tmp_path / "b.csv", force=True)
    assert json.loads((tmp_path / "a.csv.manifest.json").read_text()) == first
    assert json.loads((tmp_path / "manifest.json").read_text())["file"] == "b.csv"
    put(tmp_path / "a.csv", force=True)
    put(tmp_path / "b.csv", force=True)  # a.csv's first manifest is in the way of its second
    assert json.loads((tmp_path / "a.csv.manifest.json").read_text()) == first
    assert (tmp_path / "a.csv.manifest.2.json").exists()


def test_a_foreign_manifest_is_kept_too(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"file": "../../x"}')
    with pytest.raises(UserError, match="not the manifest of a submission"):
        put(tmp_path / "a.csv")
    put(tmp_path / "a.csv", force=True)
    assert (tmp_path / "other.manifest.json").read_text() == '{"file": "../../x"}'


def test_its_own_inputs_are_no_place_to_write(tmp_path: Path) -> None:
    scores = tmp_path / "test.arrow"
    scores.write_bytes(b"scores")
    plan = plan_submission(TWO, challenge("mmit"), None)
    for out in (scores, tmp_path / "manifest.json"):
        with pytest.raises(UserError, match="needs itself"):
            write_submission(plan, out, inputs={"scores": scores}, ids=None, force=True)
    with pytest.raises(UserError, match="is a folder"):
        write_submission(plan, tmp_path, inputs={}, ids=None, force=True)
    assert scores.read_bytes() == b"scores"


@pytest.mark.parametrize("place", ["rows", "flush", "manifest", "zip"])
def test_a_full_disk_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    out = tmp_path / "a.csv"
    put(out)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    full = OSError(errno.ENOSPC, "No space left on device")

    def rows_then_full(rows: np.ndarray) -> Iterator[np.ndarray]:
        yield rows[:1]
        raise full

    def fail(*_: Any, **__: Any) -> None:
        raise full

    rules = challenge("mmit", zip=place == "zip")
    if place in ("rows", "zip"):
        monkeypatch.setattr("tinkit.submission.writing.lines.in_chunks", rows_then_full)
    elif place == "flush":
        monkeypatch.setattr("os.fsync", fail)
    else:
        monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(UserError, match="the disk is full") as caught:
        write_submission(plan_submission(TWO, rules, None), out, inputs={}, ids=None, force=True)
    monkeypatch.undo()
    assert caught.value.file == str(out)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        put(tmp_path / "file" / "a.csv")


def test_the_manifest_is_text_that_a_person_reads(tmp_path: Path) -> None:
    put(tmp_path / "é.csv")
    assert '\n  "file": "é.csv",\n' in (tmp_path / "manifest.json").read_text(encoding="utf-8")


def test_the_manifest_has_the_hashes_of_all_that_went_in(tmp_path: Path) -> None:
    for name in ("s.arrow", "f.json", "c.toml", "ids.txt"):
        (tmp_path / name).write_text("b\na\n" if name == "ids.txt" else name)
    ids = read_ids(tmp_path / "ids.txt")
    inputs = {"scores": tmp_path / "s.arrow", "fusion": tmp_path / "f.json", "challenge": tmp_path / "c.toml"}
    out = tmp_path / "out" / "a.csv"
    manifest = write_submission(plan_submission(TWO, challenge("mmit"), ids), out, inputs=inputs, ids=ids)
    assert manifest == json.loads((tmp_path / "out" / "manifest.json").read_text())

    def digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    assert {part: entry["sha256"] for part, entry in manifest["inputs"].items()} == {
        part: digest(path) for part, path in inputs.items()
    }
    assert manifest["ids"]["sha256"] == digest(tmp_path / "ids.txt")
    assert manifest["ids"]["checked"]
    assert manifest["sha256"] == digest(out)
    assert (manifest["clips"], manifest["classes"], manifest["written_kind"]) == (2, 2, "probabilities")
    assert manifest["tinkit"]
    assert manifest["time"]


def test_what_is_written_is_read_back_before_it_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("tinkit.submission.writing.document.header_line", lambda *_: "filename,score_0\n")
        with pytest.raises(UserError, match="fails its own check: header: the header has 2 columns, expected 3"):
            put(tmp_path / "sub" / "a.csv")
    assert not (tmp_path / "sub").exists()


def test_a_stem_may_hold_a_dot(tmp_path: Path) -> None:
    table = make_table(np.eye(6), ids=[f"x/{i}.part.webm" for i in range(6)], task="single-label", kind="logits")
    plan = plan_submission(table, challenge("sthv2"), None)
    write_submission(plan, tmp_path / "a.csv", inputs={}, ids=None)
    assert (tmp_path / "a.csv").read_text().startswith("0.part;0;")


def test_of_a_large_text_one_block_in_ten_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.submission.write._WHOLE", 100)
    monkeypatch.setattr("tinkit.submission.reading.parts.BLOCK", 64)
    judged: list[int] = []
    check = ClipCheck.check_block

    def seen(self: ClipCheck, block: Block) -> bool:
        judged.append(block.first)
        return check(self, block)

    monkeypatch.setattr(ClipCheck, "check_block", seen)
    put(tmp_path / "a.csv", make_table(np.random.default_rng(0).random((200, 2))))
    blocks = (tmp_path / "a.csv").stat().st_size // 64
    assert blocks // 11 <= len(judged) <= blocks // 9 + 2
