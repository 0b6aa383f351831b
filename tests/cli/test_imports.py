"""What a command does not need, it does not import: each runs where those packages are not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers.scored_runs import command as tinkit
from tests.helpers.scored_runs import untrained
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.runs.run import Run

WITHOUT = '''
import sys


LACKING = sys.argv.pop(1).split(",")


class Without:
    """A finder that does not find those packages: torch asks whether pandas can be found, which is no import."""

    def __init__(self, finder):
        self._finder = finder

    def __getattr__(self, name):
        return getattr(self._finder, name)

    def find_spec(self, name, path=None, target=None):
        lacking = any(name == one or name.startswith(one + ".") for one in LACKING)
        return None if lacking else self._finder.find_spec(name, path, target)


sys.meta_path = [Without(finder) for finder in sys.meta_path]
from tinkit.cli.app import main

main()
'''
TRAINING = ("tensorboard", "torch.utils.tensorboard", "pandas")
NETWORKS = ("torch", "torchvision", "timm", "av")


def without(packages: Sequence[str], folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """The command in a process that cannot import ``packages``."""
    command = [sys.executable, "-c", WITHOUT, ",".join(packages), *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def run(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An untrained run with the scores of ``val`` and ``test``."""
    made = untrained(challenge, tmp_path_factory.mktemp("work") / "runs")
    with pytest.MonkeyPatch.context() as patch:
        for split in ("val", "test"):
            assert tinkit(patch, "test", made.folder, "--split", split, "-q", "--json") == 0
    return made


def test_a_missing_package_is_missing(tmp_path: Path) -> None:
    ended = without(("rich",), tmp_path, "recipes")
    assert ended.returncode == 1
    assert "No module named 'rich" in ended.stderr


@pytest.mark.slow
def test_predict_needs_neither_tensorboard_nor_pandas(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = open_manifest(run.load_recipe().data, "val")
    videos = [manifest.root / manifest.row(row).path for row in (0, 3)]
    words = ["predict", run.folder, *videos, "--top", "3", "--json"]
    ended = without(TRAINING, run.folder, *words)
    assert ended.returncode == 0, ended.stderr
    assert tinkit(monkeypatch, *words) == 0
    rows = json.loads(capsys.readouterr().out)
    assert json.loads(ended.stdout) == rows
    assert len(rows) == 6


def test_scores_become_a_submission_without_networks(run: Run, tmp_path: Path) -> None:
    lacking = (*NETWORKS, *TRAINING)
    base = run.folder.parent.parent
    fused = without(lacking, base, "ensemble", run.name, "--name", "one", "--parts", "2")
    assert fused.returncode == 0, fused.stderr
    out = tmp_path / "s.csv"
    written = without(lacking, base, "submit", "one", "--challenge", "demo", "--out", out)
    assert written.returncode == 0, written.stderr
    checked = without(lacking, base, "submit", "--check", out, "--challenge", "demo")
    assert checked.returncode == 0, checked.stderr + checked.stdout
    assert "good" in checked.stdout


@pytest.mark.parametrize("words", ["recipes", "recipes mmit_r50", "data layouts", "train --help"])
def test_looking_needs_no_network(words: str, tmp_path: Path) -> None:
    ended = without((*NETWORKS, *TRAINING, "pyarrow", "scipy", "sklearn"), tmp_path, *words.split())
    assert ended.returncode == 0, ended.stderr
