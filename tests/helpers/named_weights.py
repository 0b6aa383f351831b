"""Weights and inputs made from their names, so that no file of weights is needed (see golden/README.md).

timm starts the last BatchNorm of a residual branch at zero: a fresh network ignores whatever sits in its branches, and
a test of that proves nothing. These weights do not have that gap.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.helpers.places import GOLDEN


def named_tensor(name: str, shape: Sequence[int]) -> Tensor:
    rs = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.zeros(tuple(shape), dtype=torch.int64)
    if name.endswith("running_var"):
        values = rs.uniform(0.5, 1.5, shape)
    elif len(shape) >= 2:
        values = rs.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith("weight"):
        values = rs.uniform(0.5, 1.0, shape)
    else:
        values = rs.standard_normal(shape) * 0.1
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def named_state(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    return {name: named_tensor(name, shape) for name, shape in shapes.items()}


def named_video(tag: str, batch: int, frames: int, size: int) -> Tensor:
    return named_tensor_normal(f"{tag}.video", (batch, frames, 3, size, size))


def named_tensor_normal(name: str, shape: Sequence[int]) -> Tensor:
    rs = np.random.RandomState(zlib.crc32(name.encode()))
    return torch.from_numpy(rs.standard_normal(shape).astype(np.float32))


def give_named_weights(model: nn.Module) -> None:
    model.load_state_dict(named_state({name: value.shape for name, value in model.state_dict().items()}))


def golden_models() -> tuple[dict[str, Any], Any]:
    return json.loads((GOLDEN / "models.json").read_text()), np.load(GOLDEN / "models.npz")
