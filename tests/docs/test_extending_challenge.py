"""The page on adding a challenge: done as it says, and the file it makes read by hand."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from tests.helpers.page_runs import run_page
from tests.helpers.page_set_ups import fused_pair
from tests.helpers.places import ROOT
from tinkit.scores import read_scores


def test_a_challenge_of_ones_own_is_one_toml(tmp_path: Path) -> None:
    fused_pair(tmp_path)
    run_page(ROOT / "docs" / "extending" / "challenge.md", tmp_path)
    with zipfile.ZipFile(tmp_path / "sub" / "mine.zip") as archive:
        assert archive.namelist() == ["answer.tsv"]
        lines = archive.read("answer.tsv").decode().splitlines()
    assert lines[0] == "clip\tlabel_1\tlabel_2"
    fused = read_scores(tmp_path / "fusions" / "pair" / "test.arrow")
    best = np.argsort(-fused.scores, axis=1)[:, :2] + 1
    assert lines[1:] == [f"{i}\t{first}\t{second}" for i, (first, second) in enumerate(best.tolist())]
