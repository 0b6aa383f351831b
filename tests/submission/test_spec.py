"""Challenges: the shipped ones, and mistakes in one's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from tinkit.errors import UsageError, UserError
from tinkit.files.shipped import shipped_names
from tinkit.submission import load_challenge
from tinkit.submission.names import apply_rule
from tinkit.submission.spec_parts import parse_answers

GOOD = """\
title = "Mine"
source = "me"
task = "single-label"
rows = "ranked"
top = 3
metrics = ["top1"]
"""


def load(tmp_path: Path, text: str) -> UserError:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_challenge(str(path))
    assert caught.value.file == str(path)
    return caught.value


def test_every_shipped_challenge_is_valid() -> None:
    names = shipped_names("submissions")
    assert {"mmit", "mit2018", "sthv1", "sthv2", "jester", "demo"} <= set(names)
    for name in names:
        assert load_challenge(name)[0].num_classes is None


def test_shipped_formats_are_those_of_the_facts() -> None:
    mmit, mit, v1, v2, jester = (load_challenge(n)[0] for n in ("mmit", "mit2018", "sthv1", "sthv2", "jester"))
    assert (mmit.rows, mmit.values, mmit.task, mmit.delimiter) == ("scores", "probabilities", "multi-label", ",")
    assert (mit.rows, mit.top, mit.delimiter, mit.header) == ("ranked", 5, " ", False)
    assert mit.metrics[0] == "mean_top1_top5_error"
    assert (v1.top, v1.labels, v1.delimiter, v1.header) == (1, "text", ";", False)
    assert (v2.top, v2.labels, v2.delimiter, v2.header) == (5, "index", ";", False)
    assert (jester.top, jester.labels, jester.class_order) == (1, "text", "alphabetical")


def test_a_challenge_cannot_be_changed() -> None:
    mmit = load_challenge("mmit")[0]
    with pytest.raises(ValidationError):
        mmit.top = 3  # type: ignore[misc]


def test_the_keys_that_are_not_official_are_named() -> None:
    assert {"filename", "header", "delimiter", "precision"} <= set(load_challenge("mmit")[0].assumed)


def test_unknown_key_names_file_line_and_nearest_key(tmp_path: Path) -> None:
    error = load(tmp_path, GOOD + 'delimitr = ";"\n')
    assert error.line == 7
    assert "'delimitr'" in error.problem
    assert "did you mean 'delimiter'" in error.problem


def test_unknown_table_is_an_unknown_key(tmp_path: Path) -> None:
    error = load(tmp_path, GOOD + "[format]\nheader = true\n")
    assert error.line == 7
    assert "'format'" in error.problem


def test_missing_key(tmp_path: Path) -> None:
    assert "'task' is missing" in load(tmp_path, GOOD.replace('task = "single-label"\n', "")).problem


def test_wrong_choice_names_the_nearest(tmp_path: Path) -> None:
    error = load(tmp_path, GOOD.replace('"ranked"', '"rankd"'))
    assert error.line == 4
    assert "did you mean 'ranked'" in error.problem


def test_broken_toml_has_its_line(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD + "header = = true\n").line == 7


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("precision = 6", "means nothing with rows = 'ranked'"),
        ('member = "a.csv"', "without zip"),
        ('delimiter = "ab"', "one character"),
        ('delimiter = "5"', "one character"),
        ('columns = "score"', "{index}"),
        ('columns = "{index"', "not a template"),
        ('assumed = ["heder"]', "did you mean 'header'"),
        ('num_classes = "many"', "num_classes"),
        ('zip = true\nmember = "../a.csv"', "plain file name"),
    ],
)
def test_keys_that_cannot_be(tmp_path: Path, line: str, problem: str) -> None:
    error = load(tmp_path, GOOD + line + "\n")
    assert problem in str(error)
    assert error.line is not None


def test_metrics_must_be_measurable(tmp_path: Path) -> None:
    assert "needs 5 labels" in load(tmp_path, GOOD.replace('"top1"', '"top5"')).problem
    assert "not one of a single-label" in load(tmp_path, GOOD.replace('"top1"', '"sample_map"')).problem


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('syntax = "json"\ndelimiter = ";"', "delimiter: means nothing with syntax = 'json'"),
        ('[document]\nresults = "r"', "document.results: means nothing with syntax = 'text'"),
        ("zip = true\ngz = true", "packed once"),
        ('member = "{head}.csv"\nzip = true', "may hold {head}, where there are heads"),
        ("[heads.verb]\nnum_classes = 3", "each has a file of its own"),
        ('joint = "action"', "joint: needs two heads"),
        ("least = 4", "least: is more than top = 3"),
        ('[extra]\n"a.txt" = "x"', "extra: means nothing without zip"),
        ('zip = true\n[extra]\n"a.txt" = "{team}"', "{team} in 'a.txt' is not in `asked`"),
        ('syntax = "json"\n[document.fields]\nteam = "{team}"', "{team} is not in `asked`"),
        ('columns = ["a"]\nheader = true', "1 names, and 3 columns follow"),
        ('columns = "{name}"\nheader = true', "only rows = 'scores' has a column a class"),
        ('[asked.x]\ntakes = "text"\nhigh = 3\nmeaning = "y"', "bounds are of whole numbers"),
        ("infinite = true", "infinite: means nothing with rows = 'ranked'"),
        ('file = "a/b.csv"', "without folders"),
    ],
)
def test_keys_that_do_not_go_together(tmp_path: Path, lines: str, problem: str) -> None:
    assert problem in str(load(tmp_path, GOOD + lines + "\n"))


@pytest.mark.parametrize(
    ("clip", "name"),
    [
        ("v_QOlSCBRmfWY.mp4", "QOlSCBRmfWY"),
        ("abseiling/-3B32lodo2M_000059_000069.mp4", "-3B32lodo2M"),
        ("x/__-_ab_cd_e_12_22", "__-_ab_cd_e"),
        ("v_abcdefghi", "v_abcdefghi"),
        ("v_abcdefghi.mp4", "v_abcdefghi"),
        ("0123456_789.webm", "0123456_789"),
        ("a_1_2.mp4", "a_1_2"),
        ("QOlSCBRmfWY", "QOlSCBRmfWY"),
    ],
)
def test_the_youtube_id_of_a_clip(clip: str, name: str) -> None:
    assert apply_rule("youtube", clip) == name


def test_what_an_entry_must_say(tmp_path: Path) -> None:
    rules, _ = load_challenge("epic100")
    good = {"sls_pt": "2", "sls_tl": "0", "sls_td": "5"}
    assert parse_answers(good, rules.asked, rules.title) == {"sls_pt": 2, "sls_tl": 0, "sls_td": 5}
    for given, problem in (
        ({}, "what no program can know: sls_pt, sls_tl, sls_td"),
        (good | {"sls_pt": "6"}, "--set sls_pt=6: not an answer"),
        (good | {"sls_pt": "2.0"}, "not an answer"),
        (good | {"sls_xx": "2"}, "asks for no such thing"),
    ):
        with pytest.raises(UsageError, match=re.escape(problem)):
            parse_answers(given, rules.asked, rules.title)


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b'title = "a"\nsource = "\xff"\n')
    with pytest.raises(UserError, match="not UTF-8"):
        load_challenge(str(path))


def test_unknown_challenge_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'sthv2'"):
        load_challenge("sthv22")
