"""`tinkit data show`: which rows, and the contact sheets of a recipe."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.helpers.scored_runs import command

SMALL = ("--set", "clip.size=32", "--set", "test.scale=40", "--set", "test.crop=32", "--set", "clip.num_segments=4")


@pytest.fixture(scope="module")
def root(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The challenge with the video of the second training clip cut short."""
    copy = tmp_path_factory.mktemp("broken") / "data"
    shutil.copytree(challenge, copy)
    path = copy / rows_of(copy)[1]["path"]
    path.write_bytes(path.read_bytes()[:400])
    return copy


def rows_of(root: Path, *words: str) -> list[dict[str, str]]:
    with pytest.MonkeyPatch.context() as patch:
        import contextlib
        import io

        with contextlib.redirect_stdout(io.StringIO()) as said:
            assert command(patch, "data", "show", "demo_tin", "--data", root, "--json", *words) == 0
        return json.loads(said.getvalue())


def test_rows_are_chosen_by_start_seed_or_id(root: Path) -> None:
    everything = rows_of(root, "-n", "99")
    assert len(everything) == 24
    assert rows_of(root, "--start", "20") == everything[20:]
    assert len(rows_of(root)) == 10
    drawn = {seed: rows_of(root, "--seed", seed, "-n", "6") for seed in "0123"}
    assert all(len(rows) == 6 and all(row in everything for row in rows) for rows in drawn.values())
    assert len({tuple(row["id"] for row in rows) for rows in drawn.values()}) == 4
    assert drawn["2"] == rows_of(root, "--seed", "2", "-n", "6")
    ids = [everything[number]["id"] for number in (7, 3)]
    assert [row["id"] for row in rows_of(root, "--id", ids[0], "--id", ids[1])] == ids


def test_a_sheet_of_an_epoch_marks_the_broken_clip(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, sheet = tmp_path / "a.html", tmp_path / "a.png"
    words = ("data", "show", "demo_tin", "--data", root, *SMALL, "-n", "4", "--html", page)
    assert command(monkeypatch, *words, "--png", sheet) == 0
    said = capsys.readouterr()
    assert "1 of 4 clips are broken or left out" in said.err
    text = page.read_text()
    assert (text.count("<img "), text.count('class="fault"')) == (12, 1)
    assert "epoch 1" in text
    assert all(row["id"] in text for row in rows_of(root, "-n", "4"))
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert command(monkeypatch, *words) == 0
    assert page.read_text() == text
    assert command(monkeypatch, *words, "--epoch", "2") == 0
    assert "epoch 2" in page.read_text()


def test_val_is_shown_as_tested_and_train_on_request(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "v.html"
    words = ("data", "show", "demo_tin", "--data", root, *SMALL, "-n", "2", "--html", page)
    views = ("--views", "2x3")
    assert command(monkeypatch, *words, *views, "--split", "val") == 0
    assert page.read_text().count("<img ") == 2 * 6 * 4
    assert "sample 2 of 2, crop 3 of 3" in page.read_text()
    assert command(monkeypatch, *words, *views) == 0
    assert page.read_text().count("<img ") == 6 * 4
    assert command(monkeypatch, *words, "--split", "val") == 0
    assert page.read_text().count("<img ") == 2 * 4
    assert "sample 1 of 1, crop 1 of 1" in page.read_text()
    assert command(monkeypatch, *words, "--split", "val", "--epoch", "3") == 0
    assert "epoch 3" in page.read_text()
    assert page.read_text().count("<img ") == 2 * 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("demo_tin --epoch 1", "--epoch is about a contact sheet"),
        ("demo_tin --side 50", "--side is about a contact sheet"),
        ("demo_tin --views 1x1", "--views is about a contact sheet"),
        ("demo_tin --views 1x1 --epoch 1 --html x.html", "leave one out"),
        ("demo_tin --views 2x4 --html x.html", "does not name views"),
        ("mmit --html x.html", "is a layout"),
        ("demo_tin --html x --png x", "name the same file"),
        ("demo_tin --seed 1 --start 2", "give one of them"),
        ("demo_tin --start 0 --id x", "give one of them"),
    ],
)
def test_options_that_do_not_fit_are_wrong_use(
    words: str,
    said: str,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "data", "show", *words.split(), "--data", root) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_unknown_id_and_a_folder_in_the_way_are_errors(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "data", "show", "demo_tin", "--data", root, "--id", "nobody") == 1
    assert "'nobody'" in capsys.readouterr().err
    assert command(monkeypatch, "data", "show", "demo_tin", "--data", root, "--png", tmp_path) == 1
    assert "a folder" in capsys.readouterr().err
