"""What is written, what is refused before a byte is, and what stays when it fails."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.helpers.submission_tables import MULTI, SINGLE, challenge, make_table
from tinkit.errors import UsageError, UserError
from tinkit.metrics import class_map, micro_map, sample_map
from tinkit.scores import ScoreTable
from tinkit.submission import (
    Answers,
    Challenge,
    IdList,
    check_submission,
    plan_submission,
    read_ids,
    rehearse,
    write_submission,
)
from tinkit.submission.values import rows_made_equal


def listing(*ids: str, folder: bool = False) -> IdList:
    return IdList(Path("list.txt"), "text", ids, tuple(range(1, len(ids) + 1)), folder=folder, ordered=not folder)


def write(tmp_path: Path, table: ScoreTable, rules: Challenge, ids: IdList | None = None, **options: Any) -> str:
    """The text of the file that is written."""
    plan = plan_submission(table, rules, ids, **options)
    listed = None
    if ids is not None:
        (tmp_path / "ids.txt").write_text("".join(f"{name}\n" for name in ids.ids))
        listed = read_ids(tmp_path / "ids.txt")
    write_submission(plan, tmp_path / "out.csv", inputs={}, ids=listed, force=True)
    return (tmp_path / "out.csv").read_text()


def refusal(table: ScoreTable, rules: Challenge, ids: IdList | None = None, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        plan_submission(table, rules, ids, **options)
    return str(caught.value)


# -- golden texts, by hand --


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


def test_rows_whose_scores_become_equal_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.submission.plan.CHUNK", 2)
    logits = [[50, 60, 0], [0, 0, 1], [1, 2, 3], [99, 98, 97], [0, 0, 0]]
    write(tmp_path, make_table(logits, kind="logits", invalid=[4]), challenge("mmit"), fill="uniform", max_fill=1)
    assert any("in 2 of 5 rows" in note for note in json.loads((tmp_path / "manifest.json").read_text())["notes"])


@settings(max_examples=60, deadline=None)
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
    monkeypatch.setattr("tinkit.submission.plan.CHUNK", 4)
    scores = np.random.default_rng(0).random((11, 3), np.float32)
    text = write(tmp_path, make_table(scores, invalid=[5]), challenge("mmit", header=False), fill="prior", max_fill=1)
    rows = [line.split(",") for line in text.splitlines()]
    assert [row[0] for row in rows] == [f"c{i}" for i in range(11)]
    got = np.array([[float(x) for x in row[1:]] for row in rows])
    scores[5] = np.delete(scores, 5, axis=0).mean(axis=0)
    np.testing.assert_allclose(got, scores, rtol=1e-6)


# -- what is refused --

TWO = make_table([[0.5, 0.5], [0.25, 0.5]], ids=["a", "b"])


def test_one_id_too_many_and_one_too_few() -> None:
    assert "1 of 3 test clips have no row of scores: c" in refusal(TWO, challenge("mmit"), listing("a", "b", "c"))
    assert "1 clips are not in the list of test clips: b" in refusal(TWO, challenge("mmit"), listing("a"))
    both = refusal(TWO, challenge("mmit"), listing("a", "z"))
    assert "no row of scores: z" in both
    assert "not in the list of test clips: b" in both


def test_long_lists_are_cut_short() -> None:
    ids = [f"z{i}" for i in range(500)]
    assert "and 490 more" in refusal(TWO, challenge("mmit"), listing("a", "b", *ids))


def test_no_rows_at_all() -> None:
    assert "no clips" in refusal(make_table(np.zeros((0, 2))), challenge("mmit"))


def test_names_that_are_no_text() -> None:
    assert "cannot be written" in refusal(make_table([[0.5]], ids=["a\udcff.mp4"]), challenge("mmit"))


def test_doubled_score_rows() -> None:
    table = make_table([[0.5], [0.5]], ids=["a", "a"])
    for ids in (None, listing("a")):
        assert "'a' has two rows" in refusal(table, challenge("mmit"), ids)


def test_names_that_collide_under_the_rule() -> None:
    table = make_table([[0.5], [0.5]], ids=["a/x.mp4", "b/x.mp4"])
    assert "would both be called 'x.mp4'" in refusal(table, challenge("mmit", filename="basename"))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite(bad: float) -> None:
    table = make_table([[0.5, 0.5], [0.5, bad]], kind="logits")
    assert "not finite numbers: c1" in refusal(table, challenge("mmit"))


def test_probabilities_that_are_none() -> None:
    assert "not finite numbers from 0 to 1: c1" in refusal(make_table([[0.5], [1.5]]), challenge("mmit"))


def test_split_task_classes_and_kind() -> None:
    rules = challenge("mmit")
    assert "--split val" in refusal(make_table([[0.5]], split="val"), rules)
    plan = plan_submission(make_table([[0.5]], split="val"), rules, None, split="val")
    assert any("not of the test split" in note for note in plan.notes)
    assert "single-label" in refusal(make_table([[0.5]], task=SINGLE), rules)
    assert "challenge's 313" in refusal(TWO, challenge("mmit", num_classes=313))
    assert "cannot fill 5 labels" in refusal(make_table([[0.5]], task=SINGLE), challenge("sthv2"))
    assert "ranks" in refusal(make_table([[0.0, 1.0]], kind="ranks"), rules)


def test_ranks_are_welcome_where_labels_are_ranked(tmp_path: Path) -> None:
    rules = challenge("sthv2", top=2, metrics=("top1",))
    assert write(tmp_path, make_table([[0, 0.5, 1]], kind="ranks", task=SINGLE), rules) == "c0;2;1\n"
    as_they_are = challenge("mmit", header=False, values="any")
    assert write(tmp_path, make_table([[0, 0.5, 1]], kind="ranks"), as_they_are) == "c0,0,0.5,1\n"


def test_label_texts_that_cannot_stand_in_a_row() -> None:
    for classes, problem in (
        (["a;b", "c"], "holds the delimiter"),
        (["a", "a"], "both called"),
        (["a\n", "b"], "break"),
    ):
        table = make_table([[1, 0]], task=SINGLE, kind="logits", classes=classes)
        assert problem in refusal(table, challenge("sthv1"))


# -- ids --


def test_where_no_id_matches_both_sides_are_shown() -> None:
    message = refusal(TWO, challenge("mmit"), listing("x y", "z"))
    assert "none of the 2 test clips" in message
    assert "the list has 'x y', the scores have 'a'" in message


def test_without_a_list_a_note_says_so() -> None:
    assert any("not checked" in note for note in plan_submission(TWO, challenge("mmit"), None).notes)
    assert plan_submission(TWO, challenge("mmit"), listing("a", "b")).notes == ()


def test_a_flat_folder_keeps_the_annotations_ids() -> None:
    table = make_table([[0.5], [0.25]], ids=["cat/b.mp4", "cat/a.mp4"])
    plan = plan_submission(table, challenge("mmit"), listing("a.mp4", "b.mp4", folder=True))
    assert plan.names == ["cat/a.mp4", "cat/b.mp4"]
    assert plan.rows.tolist() == [1, 0]
    assert any("base name" in note for note in plan.notes)


def test_a_flat_list_is_the_organisers_own_word() -> None:
    table = make_table([[0.5], [0.25]], ids=["cat/b.mp4", "cat/a.mp4"])
    assert plan_submission(table, challenge("mmit"), listing("a.mp4", "b.mp4")).names == ["a.mp4", "b.mp4"]


def test_a_folder_of_webm_files_is_matched_by_stem() -> None:
    table = make_table([[0.0] * 5] * 2, ids=["6", "5"], task=SINGLE, kind="logits")
    assert plan_submission(table, challenge("sthv2"), listing("5.webm", "6.webm", folder=True)).names == ["5", "6"]


def test_clips_that_a_flat_list_cannot_tell_apart() -> None:
    table = make_table([[0.5]] * 3, ids=["a/x.mp4", "b/x.mp4", "c/y.mp4"])
    assert "are both 'x.mp4'" in refusal(table, challenge("mmit"), listing("x.mp4", "y.mp4"))


# -- clips without scores --


def test_null_rows_are_refused_and_listed() -> None:
    table = make_table([[0.5], [0.5], [0.5]], invalid=[1, 2])
    assert "2 clips have no scores (they could not be decoded): c1, c2" in refusal(table, challenge("mmit"))
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


@pytest.mark.parametrize(("task", "value"), [(MULTI, "0.5"), (SINGLE, "0.25")])
def test_uniform_has_no_opinion(tmp_path: Path, task: str, value: str) -> None:
    table = make_table([[0.1, 0.2, 0.3, 0.4]] * 2, task=task, invalid=[0])
    rules = challenge("mmit", task=task, header=False, metrics=("sample_map",) if task == MULTI else ("top1",))
    assert write(tmp_path, table, rules, fill="uniform", max_fill=1).splitlines()[0] == f"c0,{','.join([value] * 4)}"


# -- nothing is lost --


def put(out: Path, table: ScoreTable = TWO, **options: Any) -> dict[str, Any]:
    return write_submission(plan_submission(table, challenge("mmit"), None), out, inputs={}, ids=None, **options)


def test_never_overwrites_without_force(tmp_path: Path) -> None:
    out = tmp_path / "a.csv"
    put(out)
    before = out.read_bytes(), (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(UserError, match="there already"):
        put(out, make_table([[0.75]]))
    assert (out.read_bytes(), (tmp_path / "manifest.json").read_bytes()) == before
    put(out, make_table([[0.75]]), force=True)
    assert out.read_text() == "filename,score_0\nc0,0.75\n"
    assert json.loads((tmp_path / "manifest.json").read_text())["clips"] == 1


def test_another_submissions_manifest_is_never_lost(tmp_path: Path) -> None:
    first = put(tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"belongs to another submission, a\.csv"):
        put(tmp_path / "b.csv")
    assert not (tmp_path / "b.csv").exists()
    put(tmp_path / "b.csv", force=True)
    assert json.loads((tmp_path / "a.csv.manifest.json").read_text()) == first
    assert json.loads((tmp_path / "manifest.json").read_text())["file"] == "b.csv"
    put(tmp_path / "a.csv", force=True)
    put(tmp_path / "b.csv", force=True)  # a.csv's first manifest is in the way of its second
    assert json.loads((tmp_path / "a.csv.manifest.json").read_text()) == first
    assert (tmp_path / "a.csv.manifest.2.json").exists()


def test_a_foreign_manifest_is_kept_too(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"file": "../../x"}')
    with pytest.raises(UserError, match="no manifest of a submission"):
        put(tmp_path / "a.csv")
    put(tmp_path / "a.csv", force=True)
    assert (tmp_path / "other.manifest.json").read_text() == '{"file": "../../x"}'


def test_its_own_inputs_are_no_place_to_write(tmp_path: Path) -> None:
    scores = tmp_path / "test.arrow"
    scores.write_bytes(b"scores")
    plan = plan_submission(TWO, challenge("mmit"), None)
    for out in (scores, tmp_path / "manifest.json"):
        with pytest.raises(UserError, match="needs itself"):
            write_submission(plan, out, inputs={"scores": scores}, ids=None, force=True)
    with pytest.raises(UserError, match="is a folder"):
        write_submission(plan, tmp_path, inputs={}, ids=None, force=True)
    assert scores.read_bytes() == b"scores"


@pytest.mark.parametrize("place", ["rows", "flush", "manifest", "zip"])
def test_a_full_disk_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    out = tmp_path / "a.csv"
    put(out)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    full = OSError(errno.ENOSPC, "No space left on device")

    def rows_then_full(plan: Any) -> Iterator[np.ndarray]:
        yield plan.table.scores[:1]
        raise full

    def fail(*_: Any, **__: Any) -> None:
        raise full

    rules = challenge("mmit", zip=place == "zip")
    if place in ("rows", "zip"):
        monkeypatch.setattr("tinkit.submission.write.written_values", rows_then_full)
    elif place == "flush":
        monkeypatch.setattr("os.fsync", fail)
    else:
        monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(UserError, match="the disk is full") as caught:
        write_submission(plan_submission(TWO, rules, None), out, inputs={}, ids=None, force=True)
    monkeypatch.undo()
    assert caught.value.file == str(out)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        put(tmp_path / "file" / "a.csv")


def test_the_manifest_has_the_hashes_of_all_that_went_in(tmp_path: Path) -> None:
    for name in ("s.arrow", "f.json", "c.toml", "ids.txt"):
        (tmp_path / name).write_text("b\na\n" if name == "ids.txt" else name)
    ids = read_ids(tmp_path / "ids.txt")
    inputs = {"scores": tmp_path / "s.arrow", "fusion": tmp_path / "f.json", "challenge": tmp_path / "c.toml"}
    out = tmp_path / "out" / "a.csv"
    manifest = write_submission(plan_submission(TWO, challenge("mmit"), ids), out, inputs=inputs, ids=ids)
    assert manifest == json.loads((tmp_path / "out" / "manifest.json").read_text())

    def digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    assert {part: entry["sha256"] for part, entry in manifest["inputs"].items()} == {
        part: digest(path) for part, path in inputs.items()
    }
    assert manifest["ids"]["sha256"] == digest(tmp_path / "ids.txt")
    assert manifest["ids"]["checked"]
    assert manifest["sha256"] == digest(out)
    assert (manifest["clips"], manifest["classes"], manifest["written_kind"]) == (2, 2, "probabilities")
    assert manifest["tinkit"]
    assert manifest["time"]


# -- there and back --


@settings(max_examples=40, deadline=None)
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
    assert [problem.kind for problem in report.problems] == (["alike"] if alike else [])
    assert report.rows == n
    answers = Answers(listing(*ids), tuple(tuple(np.flatnonzero(row).tolist()) for row in labels))
    got = rehearse(out, rules, answers).metrics
    for metric in (sample_map, class_map, micro_map):
        # All digits are written: not near, but the same ranking. Order may change the last bits of a sum.
        assert got[metric.__name__] == pytest.approx(metric(probabilities, labels), abs=1e-12)
