"""Bad values of every key: each is refused with the key, the place, and what would have been right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from pydantic.fields import FieldInfo

from tinkit.data.flow.computed import FlowSettings
from tinkit.errors import UsageError, UserError
from tinkit.expected import meaning_of
from tinkit.fusion.spec import EnsembleSpec, load_spec
from tinkit.recipe import Recipe, load_recipe
from tinkit.recipe.aliases import ALIASES
from tinkit.recipe.schema import known_keys
from tinkit.submission.spec import Challenge, load_challenge
from tinkit.table import Table, tables_in

GOOD: dict[type[Table], dict[str, Any]] = {
    Recipe: {
        "data": {"dataset": "mmit"},
        "optim": {"lr": 0.1, "batch": 4, "epochs": 3},
        "published": [{"number": 1.0, "metric": "top1", "views": "1x1", "source": "x"}],
    },
    EnsembleSpec: {"members": [{"run": "a"}], "published": [{"number": 1.0, "metric": "top1", "source": "x"}]},
    Challenge: {"title": "x", "source": "x", "task": "single-label", "rows": "scores", "metrics": ["top1"]},
}
LOADERS = {Recipe: load_recipe, EnsembleSpec: lambda path: load_spec(Path(path)), Challenge: load_challenge}
# One of these is wrong for any key.
WRONG: tuple[Any, ...] = ([[["x"]]], -7, float("nan"), {"x": [1]}, True, "no such thing")


def keys_of(model: type[Any], prefix: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], FieldInfo]]:
    """Every key of a table and of the tables in it; of a list of tables those of its first."""
    for name, field in model.model_fields.items():
        yield (*prefix, name), field
        for inner in tables_in(field.annotation):
            listed = (0,) if "tuple" in str(field.annotation) else ()
            yield from keys_of(inner, (*prefix, name, *listed))


def with_value(values: dict[str, Any], location: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    copied: Any = dict(values)
    if len(location) == 1:
        return copied | {location[0]: value}
    if isinstance(location[1], int):
        head = with_value(copied[location[0]][0], location[2:], value)
        return copied | {location[0]: [head]}
    return copied | {location[0]: with_value(copied.get(location[0], {}), location[1:], value)}


ALL = [(model, location, field) for model in GOOD for location, field in keys_of(model)]


@pytest.mark.parametrize("model", GOOD)
def test_every_key_says_what_it_means(model: type[Table]) -> None:
    for location, field in [*keys_of(model), *keys_of(FlowSettings)]:
        assert len(meaning_of(field)) > 8, location


@pytest.mark.parametrize("model", GOOD)
def test_every_key_refuses_nonsense_and_says_what_it_expects(model: type[Table], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(tomli_w.dumps(GOOD[model]))
    LOADERS[model](str(path))  # type: ignore[operator]
    count = 0
    for of, location, field in ALL:
        if of is not model:
            continue
        refused = 0
        for value in WRONG:
            path.write_text(tomli_w.dumps(with_value(GOOD[model], location, value)))
            try:
                LOADERS[model](str(path))  # type: ignore[operator]
            except UserError as error:
                refused += 1
                told = str(error)
                assert str(path) in told, (location, value)
                assert "\n  expected: " in told, (location, value)
                assert "class '" not in told
                if value == WRONG[0] or value == WRONG[3]:  # of no key's type
                    assert ".".join(map(str, location)) in told, (location, value)
                    assert meaning_of(field)[:20] in told or tables_in(field.annotation), (location, told)
        assert refused, location
        count += 1
    assert count >= {Recipe: 125, EnsembleSpec: 20, Challenge: 20}[model]


def test_ranges_and_choices_are_said() -> None:
    for override, words in (
        ("optim.momentum=1", "at least 0 and below 1"),
        ("optim.lr=0", "above 0"),
        ("clip.size=5000", "from 1 to 4096"),
        ("train.workers=-1", "0 or more"),
        ("test.average=median", "one of: logits, probabilities"),
        ("model.pretrained=[1]", "true or false or a text"),
        ("clip.flip_labels=[[1]]", "a pair in brackets"),
        ("clip.area=[]", "a pair in brackets"),
        ("clip.ratio=[[['x']]]", "a pair in brackets"),
        ("clip.colour_jitter=[0.1, 0.1]", "4 values in brackets"),
        ("clip.colour_jitter=[0, 0, 0, 1]", "a number from 0 to 0.5"),
        ("optim.nesterov=perhaps", "true or false"),
        ("clip.scales=[]", "not empty"),
        ("clip.scales=[2]", "above 0 and at most 1"),
        ("schedule.t_max=-1", "lowest point"),
        ("optim=5", "a table"),
    ):
        with pytest.raises(UsageError) as error:
            load_recipe("sthv1_tin_r50", [override])
        assert words in (error.value.expected or ""), override


def test_no_number_is_written_true_or_infinite() -> None:
    keys = [key for key, kind in numbers()]
    assert len(keys) > 40
    for key in keys:
        for value in ("true", "inf", "-inf", "nan", "1e999", "0x" + "f" * 20, "1" * 5000, "[true]"):
            with pytest.raises(UsageError):
                load_recipe("sthv1_tin_r50", [f"{key}={value}"])


def numbers() -> Iterator[tuple[str, Any]]:
    for location, field in keys_of(Recipe):
        plain = str(field.annotation).replace(" | None", "")
        if plain in ("<class 'int'>", "<class 'float'>", "int", "float") and location[0] != "published":
            yield ".".join(map(str, location)), field


def test_names_of_other_programs() -> None:
    known = known_keys(Recipe)
    assert set(ALIASES.values()) <= known
    assert not {alias for alias in ALIASES if any(key.endswith(f".{alias}") for key in known)} - {"decay"}
    for typed, own in (
        ("optim.learning_rate", "optim.lr"),
        ("optim.batch_size", "optim.batch"),
        ("train.batch_size", "optim.batch"),
        ("lr", "optim.lr"),
        ("train.num_epochs", "optim.epochs"),
        ("clip.n_segment", "clip.num_segments"),
        ("clip.num_frames", "clip.num_segments"),
        ("model.arch", "model.backbone"),
        ("model.Dropout-Ratio", "model.dropout"),
        ("schedule.lr", "optim.lr"),
    ):
        with pytest.raises(UsageError, match=f"here it is '{own}'"):
            load_recipe("sthv1_tin_r50", [f"{typed}=1"])


def test_texts_need_no_quotes_in_set() -> None:
    recipe = load_recipe(
        "sthv1_tin_r50", ["data.version=2", "name=7", "description=2020-01-01", "data.train=1.5"]
    ).recipe
    assert (recipe.data.version, recipe.name, recipe.description, recipe.data.train) == ("2", "7", "2020-01-01", "1.5")
    for override in (
        "optim.lr=1\nbatch=3",
        "optim.lr=",
        "optim..lr=1",
        ".=1",
        "optim.lr.x=1",
        "name=a\0",
        "name=\udcff",
    ):
        with pytest.raises(UsageError):
            load_recipe("sthv1_tin_r50", [override])


def test_templates_of_frames_that_would_fill_the_memory() -> None:
    for bad in ("{:0>9999999999}.jpg", "{:999}.jpg", "{0.__class__}.jpg", "{:{}}.jpg", "x" * 300 + "{}"):
        with pytest.raises(UsageError, match="frame_template"):
            load_recipe("sthv1_tin_r50", [f"data.frame_template={bad}"])
    for good in ("{:05d}.jpg", "{:06}.png", "img_{}.jpg", "{0:05d}.jpg", "{:0>5}.jpg"):
        assert load_recipe("sthv1_tin_r50", [f"data.frame_template={good}"]).recipe.data.frame_template == good
