"""``tinkit scores merge``: out-of-fold parts, and means of seeds, snapshots and views."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from typer.testing import CliRunner

from tests.helpers.fusion_members import scores_of
from tinkit.cli.app import app
from tinkit.errors import UserError
from tinkit.scores import ScoreTable, read_scores, take_rows, to_probabilities, write_scores
from tinkit.scores.joining import duplicates, in_class_order


def merged(*words: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["scores", "merge", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def refused(*words: str | Path) -> str:
    with pytest.raises(UserError) as caught:
        merged(*words)
    return str(caught.value)


def saved(path: Path, table: ScoreTable) -> Path:
    write_scores(path, table)
    return path


def turned(table: ScoreTable, order: list[int]) -> ScoreTable:
    """The same scores with their classes in another order, by a loop over names."""
    place = {old: new for new, old in enumerate(order)}
    info = dataclasses.replace(table.info, classes=tuple(table.info.classes[k] for k in order))
    labels = [None if own is None else tuple(sorted(place[k] for k in own)) for own in table.labels]
    return dataclasses.replace(table, info=info, scores=table.scores[:, order], labels=labels)


def test_out_of_fold_parts_become_one_member(tmp_path: Path) -> None:
    models = [scores_of(f"part{n}", seed=n, trained_on=("train", "val"), weights=f"w{n}") for n in range(3)]
    rows = [np.arange(60)[n::3] for n in range(3)]
    parts = [take_rows(model, own) for model, own in zip(models, rows, strict=True)]
    parts[1] = turned(parts[1], [3, 1, 0, 2, 5, 4])
    files = [saved(tmp_path / f"{n}.arrow", part) for n, part in enumerate(parts)]
    out = tmp_path / "out.arrow"
    assert "files of 3 runs: part0, part1, part2" in refused(*files, "--how", "parts", "--out", out)
    assert "60 clips of 3 files" in merged(*files, "--how", "parts", "--run", "tin", "--out", out)
    whole = read_scores(out)
    assert (whole.info.run, whole.info.weights, whole.info.trained_on) == ("tin", "", ("train",))
    assert sorted(whole.info.hashes) == ["part:1", "part:2", "part:3"]
    for model, own in zip(models, rows, strict=True):
        for row in own:
            at = list(whole.ids).index(model.ids[row])
            np.testing.assert_array_equal(whole.scores[at], model.scores[row])
            assert whole.labels[at] == model.labels[row]
    again = saved(tmp_path / "again.arrow", take_rows(models[0], np.arange(0, 60, 10)))
    message = refused(*files, again, "--how", "parts", "--run", "tin", "--out", out, "--force")
    assert "clip 'val/0.mp4' is in" in message
    other = saved(tmp_path / "o.arrow", scores_of("o", "test"))
    assert "has split test" in refused(files[0], other, "--how", "parts", "--run", "x", "--out", out, "--force")


def test_the_mean_of_seeds_is_taken_clip_by_clip_and_class_by_class(tmp_path: Path) -> None:
    seeds = [scores_of("tin", seed=n, weights=f"w{n}") for n in range(3)]
    order = np.random.default_rng(0).permutation(60)
    written = [seeds[0], take_rows(turned(seeds[1], [5, 4, 3, 2, 1, 0]), order), seeds[2]]
    files = [saved(tmp_path / f"{n}.arrow", table) for n, table in enumerate(written)]
    out = tmp_path / "out.arrow"
    assert "exactly the same" not in merged(*files, "--how", "mean", "--out", out)
    whole = read_scores(out)
    np.testing.assert_allclose(whole.scores, np.mean([table.scores for table in seeds], axis=0), rtol=1e-6, atol=1e-6)
    assert list(whole.labels) == list(seeds[0].labels)
    assert (whole.info.kind, whole.info.run, whole.info.weights) == ("logits", "tin", "")
    merged(*files, "--how", "mean", "--kind", "probabilities", "--out", out, "--force")
    wanted = np.mean([expit(table.scores.astype(np.float64)) for table in seeds], axis=0)
    np.testing.assert_allclose(read_scores(out).scores, wanted, rtol=1e-5)
    mixed = [files[0], saved(tmp_path / "p.arrow", to_probabilities(seeds[2]))]
    assert "has kind probabilities" in refused(*mixed, "--how", "mean", "--out", out, "--force")
    merged(*mixed, "--how", "mean", "--kind", "logits", "--out", out, "--force")
    np.testing.assert_allclose(read_scores(out).scores, (seeds[0].scores + seeds[2].scores) / 2, atol=1e-4)


def test_clips_without_scores_and_clips_of_one_file_only(tmp_path: Path) -> None:
    first, second = scores_of("tin", seed=1), scores_of("tin", seed=2)
    holes = dataclasses.replace(second, valid=~np.isin(np.arange(60), (3, 9)))
    both = dataclasses.replace(first, valid=np.arange(60) != 3)
    files = [saved(tmp_path / "a.arrow", both), saved(tmp_path / "b.arrow", holes)]
    out = tmp_path / "out.arrow"
    assert "has no scores for 1 clips, 'val/3.mp4'" in refused(*files, "--how", "mean", "--out", out)
    assert "1 without scores" in merged(*files, "--how", "mean", "--missing", "mean", "--out", out)
    whole = read_scores(out)
    np.testing.assert_array_equal(whole.valid, np.arange(60) != 3)
    np.testing.assert_allclose(whole.scores[9], first.scores[9], rtol=1e-6)
    np.testing.assert_allclose(whole.scores[10], (first.scores[10] + second.scores[10]) / 2, rtol=1e-6, atol=1e-6)
    few = saved(tmp_path / "few.arrow", take_rows(first, np.arange(59)))
    assert "lacks 1 clips" in refused(saved(tmp_path / "f.arrow", first), few, "--how", "mean", "--out", out, "--force")
    assert "has 1 clips that" in refused(few, tmp_path / "f.arrow", "--how", "mean", "--out", out, "--force")
    relabelled = dataclasses.replace(first, labels=[(5, 4, 3, 2)[:4], *first.labels[1:]])
    odd = saved(tmp_path / "odd.arrow", relabelled)
    assert "says that clip" in refused(
        saved(tmp_path / "f.arrow", first), odd, "--how", "mean", "--out", out, "--force"
    )


def test_exact_duplicates_are_said(tmp_path: Path) -> None:
    tables = [scores_of("a"), scores_of("b"), take_rows(scores_of("a"), np.arange(59, -1, -1)), scores_of("c")]
    assert duplicates(tables) == [(0, 2)]
    assert duplicates([tables[0], dataclasses.replace(tables[0], scores=tables[0].scores + np.float32(1e-3))]) == []
    files = [saved(tmp_path / f"{n}.arrow", table) for n, table in enumerate(tables)]
    said = merged(*files, "--how", "mean", "--run", "x", "--out", tmp_path / "out.arrow")
    assert "2.arrow have exactly the same scores" in " ".join(said.split())


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.arrow", scores_of("a"))
    assert "--run names" in refused(file, "--run", "x", "--out", tmp_path / "o.arrow")
    assert "are for a mean" in refused(file, "--how", "parts", "--kind", "logits", "--out", tmp_path / "o.arrow")


def test_classes_that_are_not_the_same(tmp_path: Path) -> None:
    table = scores_of("a")
    with pytest.raises(UserError, match="'class 5' is not in both"):
        in_class_order(table, (*table.info.classes[:5], "other"), tmp_path)
