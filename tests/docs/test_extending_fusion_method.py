"""The page on adding a way to fuse: done as it says, in a copy of the tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.ensembles import three_runs
from tests.helpers.page_runs import copy_tree, run_page
from tests.helpers.places import ROOT
from tinkit.metrics import sample_map
from tinkit.scores import label_matrix, read_scores


@pytest.mark.slow
def test_a_way_to_fuse_is_one_file_and_one_row(tmp_path: Path) -> None:
    work = tmp_path / "work"
    runs = three_runs(work)
    tree = tmp_path / "tree"
    tree.mkdir()
    run_page(ROOT / "docs" / "extending" / "fusion-method.md", work, copy_tree(tree))
    record = json.loads((work / "fusions" / "pair" / "fusion.json").read_text())
    tables = [read_scores(runs / run / "scores" / "val-1x1-best.arrow") for run in ("good", "fair", "noise")]
    alone = np.array([sample_map(table.scores, label_matrix(table)) for table in tables])
    weights = [member["weight"] for member in record["members"]]
    np.testing.assert_allclose(weights, alone / alone.sum(), rtol=1e-9)
    assert record["method"] == "by-metric"
    words = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "tests/fusion/test_methods.py"]
    result = subprocess.run(words, cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, check=False)
    assert result.returncode == 0
