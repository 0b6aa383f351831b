"""Marks of a recipe's values: one belongs to the value that it was written for, through files, runs and comparisons."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from tinkit.errors import UserError
from tinkit.files.shipped import shipped_names
from tinkit.recipe import ResolvedRecipe, change, load_recipe, save_recipe

BASE = """\
[data]
dataset = "sthv1"
[model]
temporal = "tin"
[optim]
lr = 0.02
batch = 48
epochs = 40
[schedule]
kind = "step"
milestones = [10, 20]
[[published]]
number = 46.0
metric = "top1"
views = "1x1"
source = "the paper"
[sources]
"optim.*" = "published: the paper"
"optim.batch" = "assumed: eight GPUs"
"schedule.*" = "published: the paper"
"model.shift_div" = "published: the paper"
"train.seed" = "assumed: any"
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "base.toml").write_text(BASE)
    return tmp_path


def child(folder: Path, text: str, name: str = "child", parent: str = "base") -> str:
    path = folder / f"{name}.toml"
    path.write_text(f'extends = "{parent}"\n{text}')
    return str(path)


def marks(resolved: ResolvedRecipe, *keys: str) -> list[str]:
    return [resolved.origins[key].mark for key in keys]


def test_the_issues_own_case() -> None:
    assert load_recipe("sthv1_tin_r50").origins["optim.lr"].mark == "published: TIN repository"
    assert load_recipe("sthv1_tin_r50", ["optim.lr=0.5"]).origins["optim.lr"].mark == "changed"
    for name in shipped_names("recipes"):
        rate = 3 * load_recipe(name).recipe.optim.lr
        origins = load_recipe(name, [f"optim.lr={rate}"]).origins
        assert origins["optim.lr"].mark == "changed", name


def test_a_childs_own_value_has_not_its_parents_mark(base: Path) -> None:
    resolved = load_recipe(child(base, "[optim]\nlr = 0.5\nmomentum = 0.5\n[clip]\nflip = false\n"))
    assert marks(resolved, "optim.lr", "optim.batch", "optim.epochs") == [
        "changed",
        "assumed: eight GPUs",
        "published: the paper",
    ]
    # nobody had marked these values, though a pattern of the parent's fits the first key
    assert marks(resolved, "optim.momentum", "clip.flip") == ["unmarked", "unmarked"]


def test_a_value_said_again_keeps_its_mark(base: Path) -> None:
    path = child(base, "[optim]\nlr = 2e-2\nbatch = 48\n[schedule]\nmilestones = [10.0, 20]\n")
    resolved = load_recipe(path, ["optim.epochs=40"])
    assert marks(resolved, "optim.lr", "optim.batch", "schedule.milestones", "optim.epochs") == [
        "published: the paper",
        "assumed: eight GPUs",
        "published: the paper",
        "published: the paper",
    ]
    assert resolved.origins["optim.lr"].place == f"{path}:3"
    assert resolved.origins["optim.epochs"].place == "--set"
    assert resolved.recipe.departs == ()


def test_lists_and_tables_are_values_too(base: Path) -> None:
    resolved = load_recipe(child(base, "schedule = { milestones = [10, 21] }\noptim = { lr = 0.02, batch = 8 }\n"))
    assert marks(resolved, "schedule.milestones", "schedule.kind", "optim.lr", "optim.batch") == [
        "changed",
        "published: the paper",
        "published: the paper",
        "changed",
    ]


def test_grandchildren(base: Path) -> None:
    child(base, '[optim]\nlr = 0.5\nbatch = 8\n[sources]\n"optim.lr" = "assumed: a guess"\n', "middle")
    resolved = load_recipe(child(base, "[optim]\nbatch = 48\n", "last", "middle"))
    assert marks(resolved, "optim.lr", "optim.batch") == ["assumed: a guess", "assumed: eight GPUs"]
    back = load_recipe(child(base, "[optim]\nlr = 0.02\n", "back", "middle"))
    assert marks(back, "optim.lr", "optim.batch") == ["published: the paper", "changed"]


def test_a_child_marks_what_it_resolves_to(base: Path) -> None:
    text = '[sources]\n"optim.epochs" = "assumed: mine"\n"schedule.*" = "assumed: mine too"\n'
    resolved = load_recipe(child(base, text), ["schedule.milestones=[1]"])
    assert marks(resolved, "optim.epochs", "schedule.kind", "schedule.milestones", "optim.lr") == [
        "assumed: mine",
        "assumed: mine too",
        "changed",
        "published: the paper",
    ]


def test_marks_of_values_that_nobody_sets(base: Path) -> None:
    resolved = load_recipe(str(base / "base.toml"))
    assert (resolved.recipe.model.shift_div, resolved.origins["model.shift_div"].place) == (4, "default")
    # a pattern is not about defaults; a name is
    assert marks(resolved, "model.shift_div", "train.seed", "optim.momentum") == [
        "published: the paper",
        "assumed: any",
        "assumed: the default",
    ]
    # the same default with another network is another value
    other = load_recipe(child(base, '[model]\ntemporal = "tsm"\n'), ["train.seed=1"])
    assert (other.recipe.model.shift_div, other.origins["model.shift_div"].mark) == (8, "assumed: the default")
    assert other.origins["train.seed"].mark == "changed"


def test_a_pattern_that_fits_no_key_is_refused(base: Path) -> None:
    for pattern in ("optim.lrr", "optin.*", "x" * 5000, "*a*a" * 1000):
        with pytest.raises(UserError, match="fits no key"):
            load_recipe(child(base, f'[sources]\n"{pattern}" = "published: x"\n'))
    load_recipe(child(base, '[sources]\n"model.backbone_kwargs.img_size" = "published: x"\n"*" = "assumed: x"\n'))


def test_a_run_says_the_same_as_its_recipe(base: Path) -> None:
    path = child(base, '[optim]\nlr = 0.5\nclip_grad = 1.0\n[sources]\n"optim.clip_grad" = "assumed: mine"\n')
    first = load_recipe(path, ["optim.epochs=3", "schedule.milestones=[2]", "name=child"])
    for number in range(3):  # a run's recipe that is saved, read and saved again
        save_recipe(first.recipe, base / f"run{number}.toml")
        again = load_recipe(str(base / f"run{number}.toml"))
        assert again.recipe == first.recipe
        assert {key: origin.mark for key, origin in again.origins.items()} == {
            key: origin.mark for key, origin in first.origins.items()
        }
        first = again
    assert marks(first, "optim.lr", "optim.epochs", "optim.clip_grad", "optim.batch", "optim.momentum") == [
        "changed",
        "changed",
        "assumed: mine",
        "assumed: eight GPUs",
        "assumed: the default",
    ]
    resumed = load_recipe(str(base / "run2.toml"), ["optim.batch=8"])
    assert marks(resumed, "optim.batch", "optim.lr") == ["changed", "changed"]


def test_published_numbers_are_of_the_recipe_that_has_them(base: Path) -> None:
    path = child(base, '[optim]\nlr = 0.5\n[sources]\n"optim.lr" = "published: another paper"\n[test]\nviews = "2x3"\n')
    recipe = load_recipe(path, ["train.workers=3", "data.root=/elsewhere"]).recipe
    assert recipe.departs == ("optim.lr",)  # where it runs and how it is tested is no other training
    save_recipe(recipe, base / "run.toml")
    assert load_recipe(str(base / "run.toml")).recipe.departs == ("optim.lr",)
    assert load_recipe(str(base / "run.toml"), ["clip.size=112"]).recipe.departs == ("clip.size", "optim.lr")
    own = '[optim]\nlr = 0.5\n[[published]]\nnumber = 1\nmetric = "top1"\nviews = "1x1"\nsource = "mine"\n'
    assert load_recipe(child(base, own)).recipe.departs == ()
    assert load_recipe(child(base, "published = []\n[optim]\nlr = 0.5\n")).recipe.departs == ()
    # a parent that is not a recipe by itself
    (base / "part.toml").write_text(BASE.replace('dataset = "sthv1"\n', ""))
    lone = child(base, '[data]\ndataset = "sthv1"\n[optim]\nlr = 0.5\n[clip]\nsize = 112\n', "lone", "part")
    assert load_recipe(lone).recipe.departs == ("optim.lr",)
    assert marks(load_recipe(lone), "optim.lr", "optim.epochs") == ["changed", "published: the paper"]


def test_what_a_command_changes_is_marked(base: Path) -> None:
    recipe = load_recipe(str(base / "base.toml")).recipe
    smaller = change(recipe, {"optim.batch": 4, "optim.lr": 0.02, "train.seed": 3})
    assert (smaller.optim.batch, smaller.train.seed) == (4, 3)
    assert {key: smaller.sources[key] for key in ("optim.batch", "optim.lr", "train.seed")} == {
        "optim.batch": "changed",
        "optim.lr": "published: the paper",
        "train.seed": "changed",
    }
    assert smaller.departs == ("optim.batch",)
    with pytest.raises(UserError, match=r"optim\.batch"):
        change(recipe, {"optim.batch": 0})


def test_no_shipped_recipe_shows_numbers_of_another_training() -> None:
    for name in shipped_names("recipes"):
        assert load_recipe(name).recipe.departs == (), name


KEYS: dict[str, list[Any]] = {
    "optim.lr": [0.1, 0.2],
    "optim.batch": [4, 8, 16],
    "clip.size": [112, 224],
    "clip.scales": [[1.0], [1.0, 0.5]],
    "model.backbone": ["resnet18", "resnet50"],
    "train.amp": ["off", "bf16"],
}


@pytest.mark.parametrize("seed", range(15))
def test_drawn_chains(seed: int, tmp_path: Path) -> None:
    """Chains of up to five files with values and exact marks at random, against the rule written a second time."""
    rng = random.Random(seed)
    history: dict[str, list[tuple[Any, str]]] = {key: [] for key in KEYS}
    values: dict[str, Any] = {}
    length = rng.randint(2, 5)
    for number in range(length):
        layer: dict[str, Any] = {} if number == 0 else {"extends": f"f{number - 1}"}
        if number == 0:
            layer |= {"data": {"dataset": "mmit"}, "optim": {"epochs": 2}}
        for key, choices in KEYS.items():
            if number == 0 or rng.random() < 0.5:
                table, name = key.split(".")
                values[key] = rng.choice(choices)
                layer.setdefault(table, {})[name] = values[key]
            if rng.random() < 0.4:
                mark = f"{rng.choice(['published', 'assumed'])}: file {number}"
                layer.setdefault("sources", {})[key] = mark
                history[key].append((values[key], mark))
        (tmp_path / f"f{number}.toml").write_text(tomli_w.dumps(layer))
    origins = load_recipe(str(tmp_path / f"f{length - 1}.toml")).origins
    for key, marked in history.items():
        own = [mark for value, mark in marked if value == values[key]]
        assert origins[key].mark == (own[-1] if own else "changed" if marked else "unmarked"), key
