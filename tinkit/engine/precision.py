"""Mixed precision: the autocast of a recipe's ``train.amp``, and the gradient scaler that fp16 needs."""

from __future__ import annotations

from typing import Literal

import torch

Amp = Literal["off", "bf16", "fp16"]


def autocast(device_type: str, amp: Amp) -> torch.autocast:
    """The context in which a forward pass runs."""
    dtype = torch.float16 if amp == "fp16" else torch.bfloat16
    return torch.autocast(device_type, dtype, enabled=amp != "off")


def make_scaler(device_type: str, amp: Amp) -> torch.amp.GradScaler | None:
    """A scaler for fp16, whose gradients would vanish otherwise; None for the other precisions."""
    return torch.amp.GradScaler(device_type) if amp == "fp16" else None
