"""What an inspection says, held to scikit-learn and to plain loops over the definition."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, softmax
from sklearn.metrics import average_precision_score, confusion_matrix, recall_score

from tests.helpers.fusion_members import scores_of
from tinkit.errors import UserError
from tinkit.inspection.confusion import confusion_counts, strongest_pairs
from tinkit.inspection.inspection import Inspection, inspect_scores
from tinkit.scores import ScoreTable, label_matrix, to_ranks


def test_classes_of_several_labels_have_sklearns_ap_and_their_clips() -> None:
    table = scores_of("a", clips=80, classes=7)
    marks = label_matrix(table)
    found = inspect_scores(table)
    for row in found.classes:
        own = marks[:, row.index]
        assert row.clips == own.sum()
        assert row.value == pytest.approx(average_precision_score(own, table.scores[:, row.index]))
    values = [row.value for row in found.classes if row.value is not None]
    assert np.mean(values) == pytest.approx(found.metrics["class_map"])


def test_classes_of_one_label_have_sklearns_recall_and_confusion() -> None:
    table = scores_of("a", clips=90, classes=5, task="single-label")
    true, said = label_matrix(table).argmax(1), table.scores.argmax(1)
    found = inspect_scores(table)
    assert np.array_equal(found.confusion, confusion_matrix(true, said, labels=range(5)))
    assert [row.value for row in found.classes] == pytest.approx(recall_score(true, said, average=None))
    for row in found.classes:
        wrong = [found.confusion[row.index, other] if other != row.index else 0 for other in range(5)]
        assert row.confused == max(wrong)
        assert row.confused_with == (f"class {int(np.argmax(wrong))}" if max(wrong) else None)


@settings(max_examples=60)
@given(
    arrays(np.float32, (6, 4), elements=st.sampled_from([-2.0, 0.0, 0.5, 3.0])),
    arrays(np.uint8, (6, 4), elements=st.integers(0, 1)),
)
def test_confusion_is_that_of_a_loop_over_the_definition(scores: np.ndarray, marks: np.ndarray) -> None:
    wanted = np.zeros((4, 4), int)
    for row in range(6):
        wrong = [other for other in range(4) if not marks[row, other]]
        for own in np.flatnonzero(marks[row]):
            rival = min(wrong, key=lambda other: (-scores[row, other], other), default=own)
            ahead = (scores[row, rival], -rival) > (scores[row, own], -own)
            wanted[own, rival if ahead else own] += 1
    found = confusion_counts(scores, marks)
    assert np.array_equal(found, wanted)
    pairs = strongest_pairs(found, 100)
    assert sum(count for *_, count in pairs) == wanted.sum() - wanted.trace()
    assert [count for *_, count in pairs] == sorted((count for *_, count in pairs), reverse=True)


def test_the_worst_clips_are_those_whose_labels_rank_lowest() -> None:
    table = scores_of("a", clips=40, classes=6, strength=0.5)
    marks = label_matrix(table)
    found = inspect_scores(table, top=5)
    quality = [average_precision_score(marks[row], table.scores[row]) for row in range(40)]
    assert [clip.value for clip in found.worst] == pytest.approx(sorted(quality)[:5])
    assert [clip.value for clip in found.best] == pytest.approx(sorted(quality, reverse=True)[:5])
    for clip in (*found.worst, *found.best):
        assert table.ids[clip.row] == clip.id
        assert clip.value == pytest.approx(quality[clip.row])
        own, others = table.scores[clip.row][marks[clip.row] == 1], table.scores[clip.row][marks[clip.row] == 0]
        assert clip.margin == pytest.approx(float(own.min() - others.max()), rel=1e-5)
        order = np.argsort(-table.scores[clip.row])[:5]
        assert [name for name, _ in clip.top] == [table.info.classes[place] for place in order]
        assert [score for _, score in clip.top] == pytest.approx(
            expit(table.scores[clip.row][order]).tolist(), rel=1e-5
        )


@pytest.mark.parametrize("task", ["multi-label", "single-label"])
def test_calibration_is_that_of_a_loop_over_bins(task: str) -> None:
    table = scores_of("a", clips=70, classes=6, task=task, strength=2.0)
    marks = label_matrix(table)
    if task == "multi-label":
        pairs = list(zip(expit(table.scores.astype(float)).ravel(), marks.ravel(), strict=True))
    else:
        likely = softmax(table.scores.astype(float), axis=1)
        pairs = [(likely[row].max(), marks[row, likely[row].argmax()]) for row in range(70)]
    found = inspect_scores(table).calibration
    assert found is not None
    error = 0.0
    for place in range(10):
        own = [(value, true) for value, true in pairs if place / 10 <= value < (place + 1) / 10]
        assert found.counts[place] == len(own)
        if own:
            mean, share = np.mean([value for value, _ in own]), np.mean([true for _, true in own])
            assert found.predicted[place] == pytest.approx(mean, rel=1e-5)
            assert found.observed[place] == pytest.approx(share)
            error += len(own) / len(pairs) * abs(share - mean)
    assert found.error == pytest.approx(error, rel=1e-4)


def with_broken(table: ScoreTable, rows: list[int]) -> ScoreTable:
    valid, scores = table.valid.copy(), table.scores.copy()
    valid[rows], scores[rows] = False, np.nan
    return dataclasses.replace(table, valid=valid, scores=scores)


def test_clips_without_scores_are_named_and_count_nowhere() -> None:
    table = scores_of("a", clips=30)
    found = inspect_scores(with_broken(table, [0, 7]), top=50)
    assert found.broken == [table.ids[0], table.ids[7]]
    without = [row for row in range(30) if row not in (0, 7)]
    marks = label_matrix(table)[without]
    assert [row.clips for row in found.classes] == marks.sum(0).tolist()
    assert {clip.row for clip in found.worst} == set(without)
    for row in found.classes:
        assert row.value == pytest.approx(
            average_precision_score(marks[:, row.index], table.scores[without, row.index])
        )


def test_ranks_have_no_calibration() -> None:
    found = inspect_scores(to_ranks(scores_of("a")))
    assert found.calibration is None
    assert isinstance(found, Inspection)


def test_a_split_without_labels_is_refused() -> None:
    with pytest.raises(UserError, match="has a label"):
        inspect_scores(scores_of("a", "test", labelled=False))
