"""The quick reader of blocks judges as the reader of lines does, whatever was done to a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.submission_tables import challenge, make_table
from tests.helpers.submissions import listing
from tinkit.submission import (
    Answers,
    Challenge,
    CheckReport,
    check_submission,
    plan_submission,
    rehearse,
    write_submission,
)
from tinkit.submission.reading import parts

CLIPS = [f"clip,{i}" if i % 5 == 0 else f"clip {i}" for i in range(40)]
RULES = (
    challenge("mmit", id_column="the name"),
    challenge("mmit", quoting="all", header=False),
    challenge("csv", values="logits", infinite=True, columns="column {index}"),
    challenge("sthv2", top=3, metrics=("top1",), delimiter="!"),
    challenge("kaggle", columns=("a", "b"), top=2),
)
PIECES = b'!|\n|\r\n|\r|,|"|nan|inf|-inf|1e400|-1| |\t|\0|\xff|x|2|0x1|1_0|\xef\xbb\xbf|Doing 1|""|\xc3\xa9|'
SPLICES = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 3),
        st.sampled_from(PIECES.split(b"|")),
    ),
    max_size=3,
)


def written(rules: Challenge, folder: Path) -> tuple[Path, list[str]]:
    task = "single-label" if rules.task == "any" else rules.task
    classes = [f"Doing {i}" for i in range(6)]
    values = np.random.default_rng(3).permuted(np.linspace(0.01, 0.99, 6 * len(CLIPS))).reshape(-1, 6)
    table = make_table(values, kind="probabilities", task=task, ids=CLIPS, classes=classes)
    out = folder / "a.csv"
    write_submission(plan_submission(table, rules, listing(*CLIPS)), out, inputs={}, ids=None, force=True)
    out.with_name("manifest.json").unlink()
    return out, classes


def both(path: Path, rules: Challenge, classes: list[str]) -> tuple[CheckReport, CheckReport]:
    """The report of the quick reader and that of the reader of lines."""
    reports = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "BLOCK", 256)
        reports.append(check_submission(path, rules, ids=listing(*CLIPS), classes=classes, keep=50))
        patch.setattr("tinkit.submission.reading.judge_clips.quick_rows", lambda *_: None)
        reports.append(check_submission(path, rules, ids=listing(*CLIPS), classes=classes, keep=50))
    return reports[0], reports[1]


@settings(max_examples=30)
@given(which=st.integers(0, len(RULES) - 1), splices=SPLICES)
def test_it_judges_as_the_reader_of_lines(
    which: int, splices: list[tuple[float, int, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rules = RULES[which]
    path, classes = written(rules, tmp_path_factory.mktemp("quick"))
    data = path.read_bytes()
    for place, removed, added in splices:
        at = int(place * len(data))
        data = data[:at] + added + data[at + removed :]
    path.write_bytes(data)
    quick, slow = both(path, rules, classes)
    assert quick == slow


@pytest.mark.parametrize("rules", RULES)
def test_it_is_used(rules: Challenge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, classes = written(rules, tmp_path)
    monkeypatch.setattr("tinkit.submission.reading.judge_rows.RowCheck.check_fields", lambda *_: 1 / 0)
    if rules.header:
        assert check_submission(path, rules, ids=listing(*CLIPS), classes=classes).problems == ()
    else:  # the first line tells how many fields there are
        with pytest.raises(ZeroDivisionError):
            check_submission(path, rules, ids=listing(*CLIPS), classes=classes)


@pytest.mark.parametrize("rules", RULES)
def test_a_rehearsal_reads_the_same_either_way(
    rules: Challenge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, classes = written(rules, tmp_path)
    answers = Answers(listing(*(rules.file_name(name) for name in CLIPS)), tuple((i % 6,) for i in range(len(CLIPS))))
    quick = rehearse(path, rules, answers, classes=classes)
    monkeypatch.setattr("tinkit.submission.rehearsal.quick_rows", lambda *_: None)
    assert rehearse(path, rules, answers, classes=classes) == quick
