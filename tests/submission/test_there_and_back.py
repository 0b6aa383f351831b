"""What is written passes its check, and scores as the arrays do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.helpers.submission_tables import challenge, make_table
from tests.helpers.submissions import listing
from tinkit.metrics import class_map, micro_map, sample_map
from tinkit.submission import (
    Answers,
    check_submission,
    plan_submission,
    rehearse,
    write_submission,
)


@settings(max_examples=40)
@given(data=st.data())
def test_what_is_written_is_good_and_scores_as_the_arrays_do(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    n, c = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 5))
    probabilities = data.draw(hnp.arrays(np.float32, (n, c), elements=st.floats(0, 1, width=32)))
    labels = data.draw(hnp.arrays(np.uint8, (n, c), elements=st.integers(0, 1)))
    labels[0, 0] = 1
    name = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp")), min_size=1, max_size=8)
    # A header word as a clip's name would read as a header; a name of spaces is none.
    ids = data.draw(st.lists(name.filter(lambda x: x.strip() and len(x) != 2), min_size=n, max_size=n, unique=True))
    rules = challenge(
        "mmit",
        header=data.draw(st.booleans()),
        zip=data.draw(st.booleans()),
        delimiter=data.draw(st.sampled_from(",; \t|")),
        id_column="the column of file names",
    )
    table = make_table(probabilities, ids=ids)
    order = data.draw(st.permutations(range(n)))
    listed = listing(*(ids[i] for i in order))
    out = tmp_path_factory.mktemp("trip") / ("out.zip" if rules.zip else "out.csv")
    write_submission(plan_submission(table, rules, listed), out, inputs={}, ids=None)
    report = check_submission(out, rules, ids=listed, num_classes=c)
    alike = n > 1 and (probabilities == probabilities[0]).all()
    tied = any(len(set(row)) < c for row in probabilities.tolist())
    assert [problem.kind for problem in report.problems] == (["alike"] if alike else ["ties"] if tied else [])
    assert report.rows == n
    answers = Answers(listing(*ids), tuple(tuple(np.flatnonzero(row).tolist()) for row in labels))
    got = rehearse(out, rules, answers).metrics
    for metric in (sample_map, class_map, micro_map):
        # All digits are written: not near, but the same ranking. Order may change the last bits of a sum.
        assert got[metric.__name__] == pytest.approx(metric(probabilities, labels), abs=1e-12)


def test_check_and_writer_agree_on_every_format(tmp_path: Path) -> None:
    scores = np.random.default_rng(1).normal(size=(20, 7)).astype(np.float32)
    classes = [f"Moving {i}, slowly" for i in range(7)]
    ids = listing(*(str(i) for i in range(20)))
    for name in ("mmit", "demo", "mit2018", "sthv1", "sthv2", "jester"):
        rules = challenge(name)
        table = make_table(scores, ids=ids.ids, kind="logits", task=rules.task, classes=classes)
        out = tmp_path / name / "out"
        write_submission(plan_submission(table, rules, ids), out, inputs={}, ids=None)
        report = check_submission(out, rules, ids=ids, classes=classes)
        assert report.problems == (), name
        assert report.rows == 20
