"""A run's folder by its names: what is a run's, and what lies in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinkit.errors import UsageError
from tinkit.run_folder import WORDS, find_folder, find_run, run_names, score_files, step_of, word_of


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """``whole`` has a recipe and scores, ``begun`` a recipe, ``copied`` scores alone, ``other`` neither."""
    base = tmp_path / "runs"
    for name in ("whole", "begun", "copied", "other"):
        (base / name).mkdir(parents=True)
    for name in ("whole", "begun"):
        (base / name / "recipe.toml").touch()
    for name in ("whole", "copied"):
        (base / name / "scores" / "trials").mkdir(parents=True)
        for file in ("b.arrow", "a.arrow", "trials/c.arrow", "a.csv"):
            (base / name / "scores" / file).touch()
    return base


def test_a_run_has_a_recipe_or_where_that_does_scores(runs: Path) -> None:
    assert run_names(runs) == ["begun", "whole"]
    assert run_names(runs, scores=True) == ["begun", "copied", "whole"]
    for name, as_run, as_scores in (
        ("whole", True, True),
        ("begun", True, True),
        ("copied", False, True),
        ("other", False, False),
    ):
        for word, base in ((name, runs), (str(runs / name), runs / "elsewhere")):
            assert find_folder(word, base) == (runs / name if as_run else None)
            assert find_folder(word, base, scores=True) == (runs / name if as_scores else None)


def test_a_run_that_is_not_there_is_refused_with_the_nearest(runs: Path) -> None:
    assert find_run("begun", runs) == runs / "begun"
    for word in ("copied", "begn"):
        with pytest.raises(UsageError, match=r"begun, whole") as caught:
            find_run(word, runs)
    assert "did you mean 'begun'" in str(caught.value)


def test_scores_are_those_of_whole_splits_in_order(runs: Path) -> None:
    assert [path.name for path in score_files(runs / "copied")] == ["a.arrow", "b.arrow"]
    assert score_files(runs / "other") == []


@pytest.mark.parametrize(
    ("name", "word", "step"),
    [
        *((f"{stem}.safetensors", stem, None) for stem in sorted(set(WORDS.values()))),
        ("step-00000012.safetensors", "step=12", 12),
        ("step-123456789.safetensors", "step=123456789", 123456789),
        ("step-12.safetensors", None, None),
        ("step-00000012.pt", None, None),
        ("mean=3.safetensors", "mean=3", None),
        ("mean=0.safetensors", None, None),
        ("ema.safetensors", None, None),
    ],
)
def test_a_checkpoints_name_and_its_word(name: str, word: str | None, step: int | None) -> None:
    assert (word_of(Path(name)), step_of(Path(name))) == (word, step)
