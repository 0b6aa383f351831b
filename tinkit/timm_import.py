"""Import timm beside a CPU build of PyTorch.

The public torchvision wheel is linked against CUDA. Beside a CPU build of PyTorch its compiled part does not load, and
its Python part then fails on import because two operators it registers shapes for were never defined. timm needs only
the Python part, so the two schemas are declared here and the import is tried again. Where torchvision loads, nothing
is changed.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def import_timm() -> ModuleType:
    """The ``timm`` module, with torchvision's two missing operator schemas declared if its import needs them."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # half-imported: a second import would otherwise find the remains
        for schema in _SCHEMAS:
            torch.library.define(f"torchvision::{schema.split('(')[0]}", schema[schema.index("(") :])
    return importlib.import_module("timm")
