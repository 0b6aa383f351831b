"""The table of the ways to fuse: what its rows promise, and that the choices everywhere are its rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers.fusion_members import member, scores_of
from tests.helpers.scored_runs import command
from tinkit.errors import UsageError
from tinkit.fusion import METHODS, Combination, Examples, FusionMethod, Member, Options, align, load_spec, make_spec
from tinkit.scores import label_matrix

MEMBERS = [{"run": "a"}, {"run": "b"}]
OPTIONS = Options(members=3, classes=6, metric="sample_map")
rows = pytest.mark.parametrize("row", METHODS.values(), ids=lambda row: row.name)


def examples() -> Examples:
    tables = [scores_of(run, strength=strength) for run, strength in (("a", 2.0), ("b", 1.0), ("c", 0.0))]
    labels = label_matrix(tables[0]).astype(bool)
    return Examples([table.scores for table in tables], labels, np.arange(60) // 3)


@rows
def test_what_a_row_learns_is_described_and_fuses(row: FusionMethod) -> None:
    given = examples()
    valid = np.ones((3, 60), bool)
    assert "\n" not in row.formula
    for learned in [row.start(OPTIONS), *([row.fit(given, OPTIONS)] if row.fit else [])]:
        assert set(learned) == set(row.learns)
        fused = row.apply(given.scores, valid, learned)
        assert fused.shape == (60, 6)
        assert np.isfinite(fused).all()


@rows
def test_a_clip_is_fused_alike_in_any_company(row: FusionMethod) -> None:
    given = examples()
    learned = row.fit(given, OPTIONS) if row.fit else row.start(OPTIONS)
    valid = np.random.default_rng(0).random((3, 60)) < 0.7
    valid[0, :5] = True
    scores = [np.where(has[:, None], own, np.float32("nan")) for own, has in zip(given.scores, valid, strict=True)]
    whole = row.apply(scores, valid, learned)
    kept = valid.any(axis=0)
    assert np.isfinite(whole[kept]).all()
    for clip in np.flatnonzero(kept)[:20]:
        one = row.apply([own[[clip]] for own in scores], valid[:, [clip]], learned)
        np.testing.assert_allclose(one[0], whole[clip], rtol=1e-12)


@rows
def test_no_row_changes_what_it_is_given(row: FusionMethod) -> None:
    given = examples()
    before = [own.copy() for own in given.scores]
    learned = row.fit(given, OPTIONS) if row.fit else row.start(OPTIONS)
    row.apply(given.scores, np.ones((3, 60), bool), learned)
    np.testing.assert_array_equal(given.scores, before)


def votes(scores: Sequence[NDArray[np.float32]], valid: NDArray[np.bool_], learned: Any) -> NDArray[np.float64]:
    best = np.stack([np.eye(own.shape[1])[np.nan_to_num(own).argmax(axis=1)] for own in scores])
    return (best * valid[..., None]).sum(axis=0) / np.maximum(valid.sum(axis=0), 1)[:, None]


def test_the_result_is_of_the_kind_that_the_method_gives() -> None:
    aligned = align([member(run) for run in "abc"])
    fused = Combination(votes, {}, gives="probabilities").table(aligned, name="f")
    assert (fused.info.kind, fused.info.run) == ("probabilities", "f")
    first = np.array([own[7].argmax() for own in aligned.scores])
    np.testing.assert_allclose(fused.scores[7], np.bincount(first, minlength=6) / 3, rtol=1e-6)


def test_clips_that_all_members_miss_stay_without_scores() -> None:
    members = []
    for run in "ab":
        table = scores_of(run)
        valid = np.arange(60) != 4
        scores = np.where(valid[:, None], table.scores, np.float32("nan"))
        members.append(Member(run, dataclasses.replace(table, valid=valid, scores=scores)))
    fused = Combination(votes, {}).table(align(members, missing="mean"))
    assert np.flatnonzero(~fused.valid).tolist() == [4]
    assert np.isnan(fused.scores[4]).all()


def test_the_choices_of_a_spec_are_the_rows() -> None:
    for name in METHODS:
        assert make_spec({"members": MEMBERS, "method": name}).method == name
    with pytest.raises(UsageError) as caught:
        make_spec({"members": MEMBERS}, {"method": "mean-logit"})
    assert "did you mean 'mean-logits'?" in str(caught.value)
    assert all(name in str(caught.value) for name in METHODS)


def test_a_key_of_another_method_is_refused_and_one_of_the_files_own_left_out(tmp_path: Any) -> None:
    with pytest.raises(UsageError, match="space: means nothing with method = 'mean-logits'; take it out"):
        make_spec({"members": MEMBERS}, {"method": "mean-logits", "space": "logits"})
    file = tmp_path / "a.toml"
    file.write_text('method = "search"\nspace = "probabilities"\n[[members]]\nrun = "a"\n')
    found = load_spec(file)
    assert found.row is not None
    assert found.keys_of(found.row) == {"space": "probabilities", "scale": "spread"}
    changed = load_spec(file, {"method": "mean-ranks"})
    assert (changed.method, changed.space) == ("mean-ranks", "logits")


def test_help_shows_every_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    assert command(monkeypatch, "ensemble", "--help") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for row in METHODS.values():
        assert f"{row.name}: {row.formula}" in shown
