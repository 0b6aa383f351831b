"""The leaderboard's file, character by character."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.helpers.submission_tables import MULTI, SINGLE, challenge, make_table
from tests.helpers.submissions import listing, refusal, write
from tinkit.submission import (
    check_submission,
    plan_submission,
    write_submission,
)
from tinkit.submission.writing.lines import rows_made_equal


def test_mmit_is_a_row_of_probabilities_a_video(tmp_path: Path) -> None:
    table = make_table([[0.25, 0.5, 1], [0.125, 0, 0.75]], ids=["b+c/2.mp4", "a/1.mp4"])
    text = write(tmp_path, table, challenge("mmit"), listing("a/1.mp4", "b+c/2.mp4"))
    assert text == "filename,score_0,score_1,score_2\na/1.mp4,0.125,0,0.75\nb+c/2.mp4,0.25,0.5,1\n"


def test_mit2018_is_a_line_of_five_classes_split_by_spaces(tmp_path: Path) -> None:
    table = make_table(
        [[0.1, 5, 3, 4, -2, 2], [1, 1, 1, 1, 0, 1]], ids=["a/x.mp4", "a/y.mp4"], kind="logits", task=SINGLE
    )
    text = write(tmp_path, table, challenge("mit2018"), listing("a/x.mp4", "a/y.mp4"))
    assert text == "x.mp4 1 3 2 5 0\ny.mp4 0 1 2 3 5\n"


def test_something_v1_and_jester_are_id_and_label_text(tmp_path: Path) -> None:
    classes = ['Putting "that", there', "Shaking Hand"]
    table = make_table([[1, 2], [2, 1]], ids=["7", "100"], kind="logits", task=SINGLE, classes=classes)
    for name in ("sthv1", "jester"):
        text = write(tmp_path, table, challenge(name), listing("100", "7"))
        assert text == '100;Putting "that", there\n7;Shaking Hand\n'


def test_something_v2_is_id_and_five_indices(tmp_path: Path) -> None:
    scores = [[0, 1, 2, 3, 4, 5]]
    text = write(tmp_path, make_table(scores, ids=["78687"], kind="logits", task=SINGLE), challenge("sthv2"))
    assert text == "78687;5;4;3;2;1\n"


def test_ranked_labels_with_header_and_first_index(tmp_path: Path) -> None:
    rules = challenge("sthv2", top=2, first_index=1, header=True, columns="label{index}", metrics=("top1",))
    text = write(tmp_path, make_table([[0.0, 2, 1]], task=SINGLE, kind="logits"), rules)
    assert text == "filename;label1;label2\nc0;2;3\n"


def test_delimiters_and_quotes_in_names(tmp_path: Path) -> None:
    table = make_table([[0.5], [0.5]], ids=["a,b.mp4", 'c"d.mp4'])
    text = write(tmp_path, table, challenge("mmit", header=False))
    assert text == '"a,b.mp4",0.5\n"c""d.mp4",0.5\n'
    ranked = make_table([[0.0] * 5], ids=["a b.mp4"], task=SINGLE, kind="logits")
    assert "cannot quote" in refusal(ranked, challenge("mit2018"))


def test_logits_are_squashed_once_and_probabilities_pass(tmp_path: Path) -> None:
    rules = challenge("mmit", header=False, precision=7)
    assert write(tmp_path, make_table([[0, math.log(3)]], kind="logits"), rules) == "c0,0.5,0.75\n"
    assert write(tmp_path, make_table([[0.5, 0.75]]), rules) == "c0,0.5,0.75\n"
    single = challenge("mmit", header=False, precision=6, task=SINGLE, metrics=("top1",))
    assert write(tmp_path, make_table([[0, math.log(3)]], kind="logits", task=SINGLE), single) == "c0,0.25,0.75\n"


def written_numbers(text: str) -> np.ndarray:
    return np.array([[float(x) for x in line.split(",")[1:]] for line in text.splitlines()])


def test_the_order_of_overconfident_logits_is_kept(tmp_path: Path) -> None:
    logits = np.random.default_rng(3).permuted(np.tile(np.arange(-34, 34, 0.125, np.float32), (3, 1)), axis=1)
    for task in (MULTI, SINGLE):
        rules = challenge("mmit", header=False, task=task, metrics=("sample_map",) if task == MULTI else ("top1",))
        got = written_numbers(write(tmp_path, make_table(logits, kind="logits", task=task), rules))
        assert (np.argsort(got, axis=1) == np.argsort(logits, axis=1)).all()
        assert all(len(set(row)) == logits.shape[1] for row in got.tolist())
        assert json.loads((tmp_path / "manifest.json").read_text())["notes"] == [
            "the ids were not checked against an official list of test clips (no --ids)"
        ]


def test_neighbouring_float32_logits_stay_apart_up_to_22(tmp_path: Path) -> None:
    starts = np.array([-80, -17, -1, 1, 15, 17, 20, 21.9], np.float32)[:, None]
    logits = starts + np.arange(50, dtype=np.float32) * np.spacing(np.abs(starts))
    assert (np.diff(logits) > 0).all()
    for name in ("mmit", "demo"):
        got = written_numbers(write(tmp_path, make_table(logits, kind="logits"), challenge(name, header=False)))
        assert (np.diff(got) > 0).all()


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([[0.25, 0.5]] * 3, ["all 3 rows are alike: the scores say the same of every clip"]),
        ([[0.25, 0.5], [0.25, 0.5], [0.5, 0.25]], []),  # two alike in the first chunk
        ([[0.25, 0.5]], []),  # of one clip it says nothing
    ],
)
def test_rows_that_are_all_alike_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scores: list[list[float]], said: list[str]
) -> None:
    monkeypatch.setattr("tinkit.scores.table.CHUNK", 2)
    write(tmp_path, make_table(scores), challenge("mmit"))
    notes = json.loads((tmp_path / "manifest.json").read_text())["notes"]
    assert [note for note in notes if "alike" in note] == said


def test_rows_whose_scores_become_equal_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.scores.table.CHUNK", 2)
    logits = [[50, 60, 0], [0, 0, 1], [1, 2, 3], [99, 98, 97], [0, 0, 0]]
    write(tmp_path, make_table(logits, kind="logits", invalid=[4]), challenge("mmit"), fill="uniform", max_fill=1)
    assert any("in 2 of 5 rows" in note for note in json.loads((tmp_path / "manifest.json").read_text())["notes"])


@settings(max_examples=60)
@given(
    scores=hnp.arrays(
        np.float32, (3, 5), elements=st.floats(-60, 60, width=32) | st.sampled_from([0.5, 0.5 + 2**-10, 0.5 + 2**-9])
    ),
    precision=st.sampled_from([1, 2, 3, 9, 17]),
)
def test_the_count_of_rows_made_equal_is_that_of_the_texts(scores: np.ndarray, precision: int) -> None:
    written = 1 / (1 + np.exp(-scores.astype(np.float64)))
    slow = 0
    for row, numbers in zip(scores.tolist(), written.tolist(), strict=True):
        texts = [f"{number:.{precision}g}" for number in numbers]
        slow += any(row[i] != row[j] and texts[i] == texts[j] for i in range(5) for j in range(i))
    assert rows_made_equal(scores, written, precision) == slow


def test_rounding_above_one_is_cut_off(tmp_path: Path) -> None:
    rules = challenge("mmit", header=False)
    assert write(tmp_path, make_table([[1.000001, 0.5]]), rules) == "c0,1,0.5\n"


def test_zip_holds_one_file_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    rules = challenge("mmit", header=False, zip=True, member="answer.txt")
    table = make_table([[0.5, 0.25]])
    sums = []
    for name in ("a.zip", "b.zip"):
        folder = tmp_path / name
        write_submission(plan_submission(table, rules, None), folder / name, inputs={}, ids=None)
        with zipfile.ZipFile(folder / name) as archive:
            assert archive.namelist() == ["answer.txt"]
            assert archive.read("answer.txt") == b"c0,0.5,0.25\n"
        sums.append(hashlib.sha256((folder / name).read_bytes()).hexdigest())
        assert check_submission(folder / name, rules).ok
    assert sums[0] == sums[1]


def test_more_rows_than_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.scores.table.CHUNK", 4)
    scores = np.random.default_rng(0).random((11, 3), np.float32)
    text = write(tmp_path, make_table(scores, invalid=[5]), challenge("mmit", header=False), fill="prior", max_fill=1)
    rows = [line.split(",") for line in text.splitlines()]
    assert [row[0] for row in rows] == [f"c{i}" for i in range(11)]
    got = np.array([[float(x) for x in row[1:]] for row in rows])
    scores[5] = np.delete(scores, 5, axis=0).mean(axis=0)
    np.testing.assert_allclose(got, scores, rtol=1e-6)
