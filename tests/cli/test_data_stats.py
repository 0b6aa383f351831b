"""`tinkit data stats`: the tables and the JSON of a challenge, before and after its clips are probed."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from tests.helpers.scored_runs import command
from tinkit.data.config.dataset import DataConfig
from tinkit.data.manifest.manifest import open_manifest


@pytest.fixture
def root(challenge: Path, tmp_path: Path) -> Path:
    shutil.copytree(challenge, tmp_path / "data", ignore=shutil.ignore_patterns(".tinkit"))
    return tmp_path / "data"


def test_labels_pairs_and_files(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("data", "stats", "mmit", "--data", root)
    assert command(monkeypatch, *words, "--json") == 0
    values = json.loads(capsys.readouterr().out)
    manifest = open_manifest(DataConfig(dataset="mmit", root=root), "train")
    labels = [sorted(manifest.classes[k] for k in manifest.row(index).labels or ()) for index in range(24)]
    counts = Counter(pair for row in labels for pair in combinations(row, 2))
    found = {tuple(sorted((row["class"], row["with"]))): row["clips"] for row in values["pairs"]}
    assert all(counts[pair] == clips for pair, clips in found.items())
    assert sorted(found.values(), reverse=True) == sorted(counts.values(), reverse=True)[:10]
    assert {row["class"]: row["clips"] for row in values["per_class"]} == {
        name: sum(name in row for row in labels) for name in manifest.classes
    }
    assert (values["files"]["files"], values["files"]["probed"], values["files"]["distributions"]) == (24, 0, [])

    assert command(monkeypatch, "data", "prepare", "mmit", "--data", root) == 0
    capsys.readouterr()
    assert command(monkeypatch, *words, "--json", "--top", "1", "--sample", "5") == 0
    values = json.loads(capsys.readouterr().out)
    assert len(values["pairs"]) == 1
    assert (values["files"]["probed"], values["files"]["good"]) == (24, 24)
    rows = {row["of"]: row for row in values["files"]["distributions"]}
    assert (rows["frames"]["min"], rows["frames"]["max"], rows["frames"]["count"]) == (12, 12, 24)
    assert (rows["height"]["median"], rows["brightness"]["count"]) == (48, 5)


def test_tables_say_what_is_not_known(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "data", "stats", "mmit", "--data", root, "--sample", "3") == 0
    said = capsys.readouterr()
    assert "Classes that occur together" in said.out
    assert "brightness" in said.out
    assert "24 of 24 files are not probed" in said.err
    assert command(monkeypatch, "data", "stats", "mmit", "--data", root, "--split", "test") == 0
    assert "labels of this split are unknown" in capsys.readouterr().out


def test_a_plot_is_refused_before_the_work(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "data", "stats", "mmit", "--data", root, "--plot", "x.gif") == 2
    assert ".png or .svg" in capsys.readouterr().err


def test_a_plot_is_written(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "x.svg"
    assert command(monkeypatch, "data", "stats", "mmit", "--data", root, "--plot", file) == 0
    assert f"wrote {file}" in capsys.readouterr().err
    assert "classes that occur together" in file.read_text()
