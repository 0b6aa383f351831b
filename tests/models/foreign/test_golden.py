"""Every layout of the golden numbers: loaded whole, by every name, and written back to the same names and bits."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers.named_weights import GOLDEN, golden_models, named_state, named_video
from tinkit.models import Video3D, VideoClassifier, load_foreign
from tinkit.models.foreign.save import to_foreign

SPECS: dict[str, Any] = json.loads((GOLDEN / "zoo.json").read_text())
NUMBERS = np.load(GOLDEN / "zoo.npz")
IMAGE_NETWORKS: dict[str, tuple[str, str, dict[str, Any]]] = {  # tag: layout, code base, settings
    "mm_tsn_r50": ("mmaction2", "mmaction2", {"temporal": "tsn"}),
    "mm_tsm_r50": ("mmaction2", "mmaction2", {"temporal": "tsm"}),
    "mm_tin_r50": ("mmaction2", "mmaction2", {"temporal": "tin"}),
    "tsm_nl_r50": ("tsm", "tsm", {"temporal": "tsm", "non_local": "embedded_gaussian"}),
}
CLIP_NETWORKS: dict[str, dict[str, Any]] = {
    "xt_slowfast50": {"arch": "slowfast_50", "variant": "x_temporal"},
    "mm_slowfast_r50_8x8": {"arch": "slowfast_50", "variant": "mmaction2"},
    "xt_r2plus1d18": {"arch": "r2plus1d_18", "variant": "x_temporal"},
    "xt_r2plus1d50": {"arch": "r2plus1d_50", "variant": "x_temporal"},
    "xt_r3d18": {"arch": "r3d_18", "variant": "x_temporal"},
    "xt_r3d50": {"arch": "r3d_50", "variant": "x_temporal"},
}


def counted_state(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Weights that differ from entry to entry, sooner made than named ones."""
    state = {}
    for number, (name, shape) in enumerate(shapes.items()):
        state[name] = torch.full(shape, float(number)) if shape else torch.tensor(number)
        state[name].view(-1)[-1] += 1
    return state


def assert_whole(model: VideoClassifier | Video3D, state: dict[str, Tensor], layout: str, code_base: str) -> None:
    """Load with the prefix of data-parallel training and without asking for another head; then write it back."""
    report = load_foreign({f"module.{key}": value for key, value in state.items()}, model, replace_head=False)
    assert (report.layout, report.new, report.dropped, report.notes) == (layout, (), {}, ())
    assert len(report.used) == len(set(report.used.values())) == len(state)
    back = to_foreign(model, code_base)
    assert set(back) == set(state)
    assert all(torch.equal(back[key], value) for key, value in state.items())


@pytest.mark.parametrize("tag", IMAGE_NETWORKS)
def test_image_networks(tag: str) -> None:
    spec = SPECS[tag]
    layout, code_base, settings = IMAGE_NETWORKS[tag]
    model = VideoClassifier("resnet50", num_classes=spec["num_classes"], num_segments=spec["num_segments"], **settings)
    assert_whole(model, named_state(spec["keys"]), layout, code_base)
    with torch.inference_mode():
        logits = model.eval()(named_video(tag, 1, spec["num_segments"], spec["size"]))
    wanted = torch.from_numpy(NUMBERS[f"{tag}.logits"])
    assert float((logits - wanted).abs().max()) <= 1e-4 * max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize("tag", CLIP_NETWORKS)
def test_clip_networks(tag: str) -> None:
    """Their logits are compared in test_models_3d_golden.py."""
    spec, settings = SPECS[tag], CLIP_NETWORKS[tag]
    model = Video3D(num_classes=spec["num_classes"], num_frames=spec["num_frames"], **settings)
    assert_whole(model, counted_state(spec["keys"]), settings["variant"], settings["variant"])


@pytest.mark.parametrize("tag", ["r18tin", "r18tsm", "r50tsn"])
@pytest.mark.parametrize("code_base", ["tin", "x_temporal"])
def test_the_repositories_of_tin_and_x_temporal(tag: str, code_base: str) -> None:
    spec = golden_models()[0][tag]
    sizes = {name: spec[name] for name in ("num_classes", "num_segments", "shift_div")}
    model = VideoClassifier(spec["arch"], spec["kind"], **sizes)
    assert_whole(model, counted_state(spec["keys"]), spec["kind"], code_base)


@pytest.mark.parametrize(("tag", "consensus"), [("trn", "trn"), ("trn_multiscale_3", "trn_multiscale")])
@pytest.mark.parametrize(("code_base", "prefix"), [("trn", "consensus."), ("mmaction2", "cls_head.consensus.")])
def test_relations(tag: str, consensus: Any, code_base: str, prefix: str) -> None:
    """The relations of the golden file are alone; around them is what TSN has, or mmaction2, with 256 features."""
    spec = SPECS[tag]
    segments, classes = spec["num_segments"], spec["num_classes"]
    model = VideoClassifier("resnet18", "tsn", classes, segments, consensus=consensus)
    theirs = to_foreign(model, code_base)
    assert {key for key in theirs if key.startswith(prefix)} == {f"{prefix}{key}" for key in spec["keys"]}
    head = "new_fc" if code_base == "trn" else "cls_head.fc_cls"
    assert theirs[f"{head}.weight"].shape[0] == 256
    state = counted_state({key: list(value.shape) for key, value in theirs.items()})
    assert_whole(model, state, code_base, code_base)
