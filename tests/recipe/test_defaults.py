"""A default stands once: a recipe that leaves a key out means what the constructor does that the key feeds."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tinkit.models
from tinkit.data.config.views import ClipConfig
from tinkit.engine.runtime.build import build_model
from tinkit.files.shipped import shipped_names
from tinkit.models import Video3D, VideoClassifier
from tinkit.recipe import Recipe, load_recipe, save_recipe
from tinkit.recipe.model import ModelConfig
from tinkit.temporal import NAMES

TEMPORALS = NAMES
# What a constructor calls a key by another name.
OTHER_NAMES = {"arch": "backbone", "num_frames": "num_segments", "sampled": "relations_sampled"}
OTHER_NAMES |= {"subsample": "non_local_subsample", "places": "non_local_places"}
# An object in Python loads no weights unless it is asked to; a recipe starts from ImageNet's.
# In a recipe the data set gives the number of classes. A 3D network's weights are a file, not a flag. The stride of a
# convolution is not a recipe key.
NOT_ALIKE = {"pretrained", "stride"}
# Functions below the constructors, which are told: by one that resolves what was left out.
EXCEPTIONS = {("ResNet3d", "stem_pool")}


def recipe_of(model: dict[str, Any]) -> Recipe:
    optim = {"lr": 0.1, "batch": 2, "epochs": 2}
    return Recipe.model_validate({"name": "x", "data": {"dataset": "list"}, "optim": optim, "model": model})


def callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every class and function of tinkit.models by name."""
    for module in pkgutil.walk_packages(tinkit.models.__path__, "tinkit.models."):
        for name, item in vars(importlib.import_module(module.name)).items():
            own = (getattr(item, "__module__", None) or "").startswith("tinkit.models")
            if own and (inspect.isfunction(item) or inspect.isclass(item)) and not name.startswith("_"):
                yield name, item


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a type alias of the standard library's
        return {}
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def test_every_default_of_the_models_is_the_recipes() -> None:
    of_images, of_clips = recipe_of({"temporal": "tin"}), recipe_of({"temporal": "3d"})
    compared = set()
    for name, item in callables():
        recipe = of_clips if item is Video3D else of_images
        for parameter, default in defaults(item).items():
            key = OTHER_NAMES.get(parameter, parameter)
            if key in NOT_ALIKE or (name, parameter) in EXCEPTIONS:
                continue
            table = next((t for t in (recipe.model, recipe.clip) if key in type(t).model_fields), None)
            if table is None:
                continue
            value, compared = getattr(table, key), compared | {(name, parameter)}
            if key == "shift_div":  # None there means the temporal module's own, which the next test compares
                assert default is None, name
            elif key == "backbone_kwargs":
                assert (default or {}) == value, name
            else:
                assert (default, type(default)) == (value, type(value)), f"{name}({parameter}=)"
    assert {
        ("VideoClassifier", key) for key in ("dropout", "classifier_std", "zero_init_last", "consensus")
    } <= compared
    assert {("Video3D", key) for key in ("arch", "dropout", "num_frames", "variant", "stem_pool")} <= compared
    assert len(compared) >= 35


@pytest.mark.parametrize("temporal", TEMPORALS)
def test_the_same_network_by_a_recipe_and_by_its_constructor(temporal: str) -> None:
    built = build_model(recipe_of({"backbone": "test_resnet", "temporal": temporal}), 5, pretrained=False)
    made = VideoClassifier("test_resnet", temporal, 5)  # type: ignore[arg-type]
    assert isinstance(built, VideoClassifier)
    assert (built.shift_div, built.num_segments, built.dropout.p) == (made.shift_div, made.num_segments, made.dropout.p)
    assert str(built) == str(made)
    assert [(k, v.shape) for k, v in built.state_dict().items()] == [(k, v.shape) for k, v in made.state_dict().items()]


def test_a_tsm_without_shift_div_moves_the_published_quarter() -> None:
    config = ModelConfig(temporal="tsm")
    assert config.shift_div == 8
    assert [ModelConfig(temporal=temporal).shift_div for temporal in TEMPORALS] == [None, 8, 4, 4, 8, 4]
    explicit = recipe_of({"temporal": "tsm", "shift_div": 4})
    assert explicit.model.shift_div == 4
    child = load_recipe("sthv1_tin_r50", ["model.temporal=tsm"])
    assert child.recipe.model.shift_div == 4  # its file says so


def test_a_network_of_clips_starts_as_its_constructor_does() -> None:
    built = build_model(recipe_of({"temporal": "3d", "backbone": "r3d_10"}), 5)
    made = Video3D("r3d_10", 5)
    assert isinstance(built, Video3D)
    assert (built.num_segments, built.dropout.p, str(built)) == (made.num_segments, made.dropout.p, str(made))
    for std in (built.classifier.weight.std(), made.classifier.weight.std()):
        assert float(std.detach()) == pytest.approx(0.01, rel=0.2)
    assert all(float(p.min()) == 1 for n, p in built.named_parameters() if n.endswith("bn.weight"))
    config = recipe_of({"temporal": "3d"})
    assert (config.model.backbone, config.model.pretrained, config.model.partial_bn) == ("slowfast_50", False, False)
    assert config.clip.num_segments == 32
    assert ClipConfig().num_segments == 8


def test_what_is_left_out_is_shown_and_saved_resolved(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        '[data]\ndataset = "mmit"\n[model]\ntemporal = "3d"\n[optim]\nlr = 0.1\nbatch = 2\nepochs = 2\n'
    )
    resolved = load_recipe(str(tmp_path / "mine.toml"))
    assert resolved.origins["model.dropout"].place == resolved.origins["clip.num_segments"].place == "default"
    save_recipe(resolved.recipe, tmp_path / "run.toml")
    text = (tmp_path / "run.toml").read_text()
    for line in ("dropout = 0.5", "classifier_std = 0.01", "zero_init_last = false", "num_segments = 32"):
        assert line in text
    again = load_recipe(str(tmp_path / "run.toml"), ["model.temporal=3d"])
    assert again.recipe == resolved.recipe


def test_no_shipped_recipe_leaves_a_published_setting_to_chance() -> None:
    for name in shipped_names("recipes"):
        model = load_recipe(name).recipe.model
        expected = {"tin": 4, "rtcn": 4, "tsm": 8}.get(model.temporal)
        assert expected in (None, model.shift_div), name
