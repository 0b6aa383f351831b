"""Tables labelled, merged and compared in memory, and a table's columns as sequences."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pytest

from tests.helpers.fusion_members import scores_of
from tinkit.errors import UserError
from tinkit.scores.table import ArrowColumn
from tinkit.scores.tools import unlike_facts, with_labels


def test_a_column_equals_sequences_of_the_same_items_and_nothing_else() -> None:
    column = ArrowColumn(pa.array(["a", "b"]))
    assert column == ["a", "b"]
    assert column == ("a", "b")
    assert column == ArrowColumn(pa.array(["a", "b"]))
    assert column != ["a"]
    assert column != ["a", "c"]
    assert column != {"a": 0, "b": 1}  # as long, with the same items, and no sequence
    assert column != 2


def test_labels_of_answers_take_the_place_of_a_tables_own() -> None:
    table = dataclasses.replace(scores_of("r", clips=3), ids=["a", "b", "c"])
    labelled = with_labels(table, {"c": (5,), "b": (), "a": (0, 1), "z": (9,)})  # z is not in the table
    assert labelled.labels == [(0, 1), (), (5,)]
    with pytest.raises(UserError, match=r"clip 'b' has labels \[2, 6\]") as caught:
        with_labels(table, {"c": (5,), "b": (2, 6), "a": ()}, Path("answers.csv"))
    assert (caught.value.file, caught.value.expected) == ("answers.csv", "0..5")


def test_facts_that_differ_are_said_in_words() -> None:
    base = scores_of("r").info
    other = dataclasses.replace(
        base,
        classes=("x", "y"),
        trained_on=("train", "val"),
        hashes={"checkpoint": "0123456789abcdef", "recipe": "f"},
        view=1,
    )
    assert unlike_facts(base, other) == {
        "classes": ("6 classes", "2 classes"),
        "trained_on": ("train", "train, val"),
        "hashes": ("checkpoint checkpoint o", "checkpoint 0123456789ab, recipe f"),
        "view": ("None", "1"),
    }
    assert list(unlike_facts(base, other, skip=("hashes", "view"))) == ["classes", "trained_on"]
    assert unlike_facts(base, base) == {}
