"""The recipe's ``[model]``: keys that go together, and every kind of network trained and tested by the engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.tiny_runs import QUIET, tiny, train
from tinkit.architectures import ARCHS
from tinkit.data.flow.computed import FlowSettings
from tinkit.data.flow.folders import FlowFiles
from tinkit.data.flow.make import make_flow
from tinkit.data.layouts.layout import SPLITS
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.evaluation.test import run_test
from tinkit.engine.runtime.build import build_model
from tinkit.engine.training.optim import parameter_groups
from tinkit.errors import UserError
from tinkit.recipe.model import ModelConfig
from tinkit.scores import read_scores
from tinkit.spread.engine import Engine
from tinkit.timm_import import import_timm

NO_3D_START = ["model.pretrained=false", "model.partial_bn=false"]
KINDS = {
    "r-TCN": ["model.temporal=rtcn"],
    "identity": ["model.temporal=tsm", "model.consensus=identity"],
    "relations": ["model.temporal=tsn", "model.consensus=trn_multiscale"],
    "pool and non-local": [
        "model.temporal=tsm", "model.temporal_pool=true", "model.non_local=dot_product", "model.shift_place=block",
    ],
    "R(2+1)D": ["model.backbone=r2plus1d_10", "model.temporal=3d", "clip.sampling=dense", *NO_3D_START],
    "RGB differences": ["model.temporal=tsn", "clip.modality=rgb_diff", "clip.flow_length=2"],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_trains_and_is_tested(kind: str, challenge: Path, tmp_path: Path) -> None:
    run = train(challenge, tmp_path, "a", *KINDS[kind], steps=1)
    scores = read_scores(run_test(run, "val", run.load_recipe().test, "last", QUIET).path)
    assert np.isfinite(scores.scores).all()
    assert len(np.unique(scores.scores, axis=0)) > 1


def test_flow_is_computed_trained_on_and_tested(challenge: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    root = tmp_path / "data"
    shutil.copytree(challenge, root)
    changes = ["model.temporal=tsm", "clip.modality=flow", "clip.flow_length=2"]
    data = tiny(root, *changes).data
    with pytest.raises(UserError, match="tinkit data flow"):
        train(root, tmp_path, "too early", *changes, steps=1)
    manifests = [open_manifest(data, split) for split in SPLITS]
    assert make_flow(manifests, FlowFiles.of(data), FlowSettings(), engine=Engine(0)).failed == {}
    run = train(root, tmp_path, "a", *changes)
    assert np.isfinite(read_scores(run_test(run, "test", run.load_recipe().test, "last", QUIET).path).scores).all()
    optim = run.load_recipe().optim.model_copy(update={"groups": "published"})
    groups = parameter_groups(build_model(run.load_recipe(), 7), optim)
    assert {group["group_name"]: group["lr_scale"] for group in groups}["flow_conv_weight"] == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["model.temporal=3d"], 'with temporal = "3d"'),
        (["model.backbone=slowfast_50"], "'slowfast_50' with temporal"),
        (["model.backbone=r3d_18", "model.temporal=3d", "model.pretrained=true"], "no ImageNet weights"),
        (["model.backbone=r3d_18", "model.temporal=3d", *NO_3D_START, "model.consensus=trn"], "consensus means"),
        (["model.speed_ratio=4"], "speed_ratio means nothing"),
        (["model.backbone=r3d_10", "model.temporal=3d", *NO_3D_START, "clip.modality=flow"], "reads RGB"),
        (["model.temporal_pool=true"], "temporal_pool means nothing with temporal = \"tin\"; it is for tsn and tsm"),
        (["model.shift_place=block"], "shift_place means nothing with temporal = \"tin\"; it is for tsm"),
        (["model.temporal=tsm", "model.consensus=trn", "test.num_segments=5"], "place of each"),
        (["test.num_segments=5"], "Linear of T x T"),
    ],
)  # fmt: skip
def test_keys_that_do_not_go_together_are_refused(changes: list[str], message: str, challenge: Path) -> None:
    with pytest.raises(UserError, match=message):
        tiny(challenge, *changes)


def test_the_names_of_3d_networks_are_theirs_alone() -> None:
    for arch in ARCHS:
        assert ModelConfig(backbone=arch, temporal="3d", pretrained=False, partial_bn=False).is_3d
    assert not any(import_timm().is_model(arch) for arch in ARCHS)


def test_every_key_of_a_3d_network_arrives(challenge: Path) -> None:
    recipe = tiny(
        challenge, "model.backbone=slowfast_50", "model.temporal=3d", *NO_3D_START, "model.variant=mmaction2",
        "model.speed_ratio=2", "model.lateral_kernel=3",
    )  # fmt: skip
    model = build_model(recipe, 7)
    assert (model.num_segments, model.variant) == (4, "mmaction2")
    laterals = [key for key in model.state_dict() if "lateral" in key and key.endswith("conv.weight")]
    assert {tuple(model.state_dict()[key].shape[2:]) for key in laterals} == {(3, 1, 1)}
