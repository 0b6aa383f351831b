"""Clips without scores: refused, or filled aloud."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.submission_tables import MULTI, SINGLE, challenge, make_table
from tests.helpers.submissions import refusal, write
from tinkit.errors import UsageError
from tinkit.submission import (
    plan_submission,
)


def test_null_rows_are_refused_and_listed() -> None:
    table = make_table([[0.5], [0.5], [0.5]], invalid=[1, 2])
    assert "2 clips have no scores (they could not be decoded, or have no sound): c1, c2" in refusal(
        table, challenge("mmit")
    )
    assert "at most 1" in refusal(table, challenge("mmit"), fill="prior", max_fill=1)
    assert "at most 0" in refusal(table, challenge("mmit"), fill="uniform")
    with pytest.raises(UsageError):
        plan_submission(table, challenge("mmit"), None, max_fill=2)
    nothing = make_table([[0.5]], invalid=[0])
    assert "no clip has scores" in refusal(nothing, challenge("mmit"), fill="prior", max_fill=1)


def test_prior_is_the_mean_of_the_others_probabilities(tmp_path: Path) -> None:
    table = make_table([[0, math.log(3)], [0, 0], [math.log(3), 0]], kind="logits", invalid=[1])
    text = write(tmp_path, table, challenge("mmit", header=False, precision=6), fill="prior", max_fill=1)
    assert text.splitlines()[1] == "c1,0.625,0.625"
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["filled"] == {"count": 1, "ids": ["c1"]}
    assert any("filled with prior" in note for note in manifest["notes"])


def test_prior_of_a_ranking_and_of_logits(tmp_path: Path) -> None:
    table = make_table([[3, 0, 1], [0, 0, 0], [3, 0, 1]], kind="logits", task=SINGLE, invalid=[1])
    ranked = challenge("sthv2", top=3, metrics=("top1",))
    assert write(tmp_path, table, ranked, fill="prior", max_fill=1).splitlines()[1] == "c1;0;2;1"
    logits = challenge("mmit", task=SINGLE, values="logits", header=False, metrics=("top1",))
    line = write(tmp_path, table, logits, fill="prior", max_fill=1).splitlines()[1].split(",")
    got = np.exp([float(x) for x in line[1:]])
    np.testing.assert_allclose(got, np.exp([3, 0, 1]) / np.exp([3, 0, 1]).sum(), rtol=1e-6)


@pytest.mark.parametrize(
    ("task", "kind", "value"),
    [
        (MULTI, "probabilities", "0.5"),
        (SINGLE, "probabilities", "0.25"),
        (MULTI, "ranks", "0.5"),
        (SINGLE, "ranks", "0.5"),  # the place in the middle
    ],
)
def test_uniform_has_no_opinion(tmp_path: Path, task: str, kind: str, value: str) -> None:
    table = make_table([[0.1, 0.2, 0.3, 0.4]] * 2, task=task, kind=kind, invalid=[0])
    metrics = ("sample_map",) if task == MULTI else ("top1",)
    rules = challenge("mmit", task=task, values="any", header=False, metrics=metrics)
    assert write(tmp_path, table, rules, fill="uniform", max_fill=1).splitlines()[0] == f"c0,{','.join([value] * 4)}"
