"""Foreign score files of many programs are read into the same rows; the peers' own dumps among them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, softmax

from tests.helpers.foreign_files import CLASSES, DUMPS, FILES, IDS, LABELS, SCORES, copied
from tinkit.foreign_scores import Hints, converted, read_foreign, with_names
from tinkit.scores import ScoreInfo, ScoreTable

INFO = ScoreInfo("logits", "single-label", CLASSES, "toy", "1", "val")
NUMBERS = tuple(str(10 + row) for row in range(6))


def known(ids: tuple[str, ...] = IDS) -> ScoreTable:
    rows = np.argsort(ids)  # in another order than the file
    return ScoreTable(
        info=INFO,
        ids=[ids[row] for row in rows],
        scores=np.zeros((6, 5), np.float32),
        valid=np.ones(6, bool),
        labels=[LABELS[row] for row in rows],
        source=[f"film of {ids[row]}" for row in rows],
    )


@pytest.mark.parametrize("name", FILES)
def test_every_form_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    form = FILES[name]
    path = tmp_path / f"theirs{form.suffix}"
    form.write(path)
    ids = NUMBERS if form.numbers else IDS
    if name == "Charades's spaces":
        ids = tuple(one.replace(" ", "") for one in IDS)
    found = read_foreign(path, Hints(classes=CLASSES, has_ids=not form.ordered, **form.hints))
    assert (found.ids is None) == form.ordered
    given = list(ids) if form.ordered else None
    made = converted(found, INFO, path, known=known(ids), ids=given)
    assert list(made.table.ids) == list(ids)
    np.testing.assert_allclose(made.table.scores, SCORES, atol=form.close, rtol=form.close)
    assert list(made.table.labels) == list(LABELS)
    assert list(made.table.source) == [f"film of {one}" for one in ids]
    assert made.known == 6
    assert not made.doubts


@pytest.mark.parametrize("name", [name for name, form in FILES.items() if not form.ordered and not form.hints])
def test_forms_are_told_without_knowing_the_classes(name: str, tmp_path: Path) -> None:
    form = FILES[name]
    path = tmp_path / f"theirs{form.suffix}"
    form.write(path)
    found = with_names(read_foreign(path), CLASSES, path)
    assert found.scores.shape == (6, 5)
    table = converted(found, INFO, path).table
    np.testing.assert_allclose(table.scores, SCORES, atol=form.close, rtol=form.close)
    assert len(table.ids) == 6


@pytest.mark.parametrize(
    ("name", "views"),
    [
        ("mmaction2_late.pkl", 1),
        ("mmaction2_early.pkl", 1),
        ("mmaction2_0x.pkl", 1),
        ("mmaction2_0x.json", 1),
        ("pyslowfast_one.pkl", 1),
        ("pyslowfast_sum30.pkl", 30),
        ("pyslowfast_max_multi.pkl", 1),
    ],
)
def test_dumps_that_the_peers_wrote(name: str, views: int, tmp_path: Path) -> None:
    path = tmp_path / Path(name).name
    copied(name)(path)
    found = read_foreign(path, Hints(classes=CLASSES, has_ids=False))
    info = dataclasses.replace(INFO, kind="probabilities")
    made = converted(found, info, path, known=known(), ids=IDS, views=views)
    truth = expit(SCORES) if "multi" in name else softmax(SCORES, axis=1)
    noisy = "pyslowfast" in name and "multi" not in name
    np.testing.assert_allclose(made.table.scores, truth, atol=0.05 if noisy else 1e-6)
    assert list(made.table.labels) == list(LABELS)
    if "0x" not in name:
        assert "the labels of 6 clips in the file are those that are known" in made.notes


def test_there_are_enough_of_them() -> None:
    assert len(FILES) + len([path for path in DUMPS.iterdir() if path.suffix in (".pkl", ".json")]) >= 60
