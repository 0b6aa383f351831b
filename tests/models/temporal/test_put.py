"""The table of temporal modules: every row can be put, and recipes, constructors and errors go by it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from tinkit.data.config.views import ClipConfig
from tinkit.errors import UserError
from tinkit.models import Classifier, Video3D, VideoClassifier
from tinkit.recipe.model import ModelConfig
from tinkit.temporal import CHOICES, KEYS, NAMES, TEMPORAL_MODULES, find_temporal

OTHERWISE: dict[str, Any] = {"offset_init": 0.25, "offsets": "once", "shift_place": "block", "temporal_pool": True}


@pytest.mark.parametrize("row", TEMPORAL_MODULES, ids=lambda row: row.name)
def test_every_row_is_put_where_it_says(row: Any) -> None:
    model = VideoClassifier("test_resnet", row.name, 3, 4)
    temporal = [name for name, _ in model.named_modules() if name.endswith(".temporal")]
    assert bool(temporal) == bool(row.put)
    assert model.shift_div == row.shift_div == ModelConfig(temporal=row.name).shift_div
    own = {name for name in model.state_dict() if ".temporal." in name}
    assert own == {name for name in own if row.foreign.holds(name)}
    assert bool(own) == bool(row.foreign.weights)


def test_a_row_of_the_table_is_told_by_its_name_alone() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(find_temporal(name) is row for name, row in zip(NAMES, TEMPORAL_MODULES, strict=True))
    assert find_temporal("3d") is find_temporal(["tin"]) is None
    assert set().union(*(row.keys for row in TEMPORAL_MODULES)) == set(KEYS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", KEYS)
def test_keys_of_other_modules_are_refused_or_ignored(name: str, key: str) -> None:
    row = find_temporal(name)
    assert row is not None
    if key in row.keys or key == "offset_init":  # so that a recipe of a TIN takes another module by --set
        assert getattr(ModelConfig.model_validate({"temporal": name, key: OTHERWISE[key]}), key) == OTHERWISE[key]
        VideoClassifier("test_resnet", name, 3, 4, **{key: OTHERWISE[key]})
        return
    with pytest.raises(ValidationError, match=f"{key} means nothing"):
        ModelConfig.model_validate({"temporal": name, key: OTHERWISE[key]})
    with pytest.raises(UserError, match=f"with temporal = '{name}'"):
        VideoClassifier("test_resnet", name, 3, 4, **{key: OTHERWISE[key]})


def test_a_name_that_is_not_there_is_answered_with_the_choices() -> None:
    with pytest.raises(UserError, match="no temporal module is called 'tinn'; did you mean 'tin'") as caught:
        VideoClassifier("test_resnet", "tinn")
    assert caught.value.expected == ", ".join(NAMES)
    with pytest.raises(ValidationError) as refused:
        ModelConfig(temporal="tinn")
    assert all(f"'{name}'" in str(refused.value) for name in CHOICES)


@pytest.mark.parametrize(
    ("config", "network", "others"),
    [
        (ModelConfig(temporal="tin"), VideoClassifier, {"num_classes", "num_segments", "modality", "flow_length"}),
        (ModelConfig(temporal="3d"), Video3D, {"num_classes", "num_frames"}),
    ],
)
def test_a_recipe_gives_every_argument_of_its_network(
    config: ModelConfig, network: type[Classifier], others: set[str]
) -> None:
    parameters = set(inspect.signature(network).parameters)
    assert parameters == set(config.network_arguments()) | others
    assert {"modality", "flow_length", "num_segments"} <= set(ClipConfig.model_fields)


def test_the_table_needs_no_pytorch() -> None:
    code = "import sys, tinkit.temporal, tinkit.recipe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
