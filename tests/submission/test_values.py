"""The numbers and labels of a file where scores change their kind, clips are filled, and rows come in chunks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.submission_tables import MULTI, SINGLE, challenge, make_table
from tinkit.scores import ScoreTable
from tinkit.scores.kinds import rows_as
from tinkit.submission import Challenge, plan_submission, write_submission


def lines(tmp_path: Path, table: ScoreTable, rules: Challenge, **options: Any) -> list[list[str]]:
    """The fields of the lines that are written."""
    write_submission(plan_submission(table, rules, None, **options), tmp_path / "out", inputs={}, ids=None, force=True)
    return [line.split(rules.delimiter) for line in (tmp_path / "out").read_text().splitlines()]


def test_probabilities_become_logits_where_the_challenge_wants_them(tmp_path: Path) -> None:
    values = np.array([[0.25, 0.5], [0.9, 0.1]], np.float32)
    rules = challenge("mmit", values="logits", header=False)
    written = np.array([[float(text) for text in row[1:]] for row in lines(tmp_path, make_table(values), rules)])
    np.testing.assert_allclose(written, np.log(values / (1 - values)), rtol=1e-5)
    one = make_table(values, task=SINGLE)
    rules = challenge("mmit", values="logits", header=False, task=SINGLE, metrics=("top1",))
    written = np.array([[float(text) for text in row[1:]] for row in lines(tmp_path, one, rules)])
    np.testing.assert_allclose(written, np.log(values), rtol=1e-5)


def test_scores_of_some_rows_in_the_order_asked_for() -> None:
    table = make_table([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], kind="logits")
    assert rows_as(table, np.array([2, 0]), "logits").tolist() == [[4, 5], [0, 1]]
    assert rows_as(table, np.array([2, 0]), "ranks").tolist() == [[0, 1], [0, 1]]
    sure = rows_as(make_table([[20.0, 30.0]], kind="logits"), np.array([0]), "probabilities")
    assert sure.dtype == np.float64  # float32 would make both 1
    np.testing.assert_allclose(1 - sure, np.exp([[-20, -30]]), rtol=1e-2)


def test_the_prior_of_ranks_is_their_mean(tmp_path: Path) -> None:
    table = make_table([[0, 0.5, 1], [0, 0, 0], [1, 0, 0.5]], kind="ranks", invalid=[1])
    filled = lines(tmp_path, table, challenge("mmit", values="any", header=False), fill="prior", max_fill=1)
    assert filled[1] == ["c1", "0.5", "0.25", "0.75"]
    uniform = lines(tmp_path, table, challenge("mmit", values="any", header=False), fill="uniform", max_fill=1)
    assert uniform[1] == ["c1", "0.5", "0.5", "0.5"]


@pytest.mark.parametrize("chunk", [1, 3, 4, 100])
def test_a_chunk_of_ranked_labels_has_the_names_of_its_own_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr("tinkit.scores.table.CHUNK", chunk)
    scores = np.random.default_rng(5).normal(size=(7, 6)).astype(np.float32)
    table = make_table(scores, kind="logits", task=SINGLE)
    rules = challenge("sthv2", top=3, metrics=("top1",))
    wanted = [[f"c{row}", *map(str, np.argsort(-own)[:3])] for row, own in enumerate(scores)]
    assert lines(tmp_path, table, rules) == wanted


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_a_prior_is_the_mean_over_all_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr("tinkit.scores.table.CHUNK", chunk)
    values = np.array([[0.5, 0.25], [0, 0], [1, 0.5], [0, 0.75]], np.float32)
    table = make_table(values, task=MULTI, invalid=[1])
    written = lines(tmp_path, table, challenge("mmit", header=False), fill="prior", max_fill=1)
    assert [row[1:] for row in written] == [["0.5", "0.25"], ["0.5", "0.5"], ["1", "0.5"], ["0", "0.75"]]
