"""3D networks against the logits of X-Temporal's and mmaction2's own code, by the names of their weights."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.named_weights import GOLDEN, named_state, named_video
from tinkit.models.clipnets.video3d import Video3D
from tinkit.models.foreign.names_3d import foreign_keys

SPECS: dict[str, Any] = json.loads((GOLDEN / "zoo.json").read_text())
NUMBERS = np.load(GOLDEN / "zoo.npz")
MODELS: dict[str, dict[str, Any]] = {
    "xt_slowfast50": {"arch": "slowfast_50", "variant": "x_temporal", "speed_ratio": 4},
    "mm_slowfast_r50_8x8": {"arch": "slowfast_50", "variant": "mmaction2", "speed_ratio": 4},
    "xt_r2plus1d18": {"arch": "r2plus1d_18", "variant": "x_temporal", "stem_pool": True},
    "xt_r2plus1d50": {"arch": "r2plus1d_50", "variant": "x_temporal", "stem_pool": False},
    "xt_r3d18": {"arch": "r3d_18", "variant": "x_temporal"},
    "xt_r3d50": {"arch": "r3d_50", "variant": "x_temporal"},
}


@pytest.mark.slow
@pytest.mark.parametrize("tag", MODELS)
def test_logits(tag: str) -> None:
    spec = SPECS[tag]
    model = Video3D(num_classes=spec["num_classes"], num_frames=spec["num_frames"], **MODELS[tag])
    keys = foreign_keys(model)
    own = model.state_dict()
    assert {theirs: list(own[ours].shape) for theirs, ours in keys.items()} == spec["keys"]
    state = named_state(spec["keys"])
    model.load_state_dict({ours: state[theirs] for theirs, ours in keys.items()})
    with torch.inference_mode():
        logits = model.eval()(named_video(tag, 1, spec["num_frames"], spec["size"]))
    worst = float((logits - torch.from_numpy(NUMBERS[f"{tag}.logits"])).abs().max())
    print(f"{tag}: worst {worst:.1e}, logits up to {logits.abs().max():.2f}")
    assert worst <= 1e-4
