"""Mixed precision: what ``auto`` means on a device, the autocast, and the gradient scaler that fp16 needs."""

from __future__ import annotations

from typing import Literal

import torch

from tinkit.recipe.training import AmpChoice

Amp = Literal["off", "bf16", "fp16"]

PRECISION: dict[Amp, str] = {"off": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""What convolutions and matrix products compute in, as score files and people say it."""


def settle_amp(asked: AmpChoice, device_type: str) -> Amp:
    """``asked``, or what ``auto`` is on the devices of this process: bf16 where they compute in it, else off."""
    if asked != "auto":
        return asked
    return "bf16" if hardware_bfloat16(device_type) else "off"


def hardware_bfloat16(device_type: str) -> str | None:
    """What this process' device computes bfloat16 with; None where it would convert every number in software.

    On CPUs that is AMX, AVX512-BF16 or Arm's BF16, on CUDA a capability of 8.0 or more.
    """
    if device_type == "cuda":
        major, minor = torch.cuda.get_device_capability()
        return f"CUDA capability {major}.{minor}" if major >= 8 else None
    if device_type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # an older PyTorch does not say
        return None
    has = torch.cpu.get_capabilities()
    names = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16", "bf16": "Arm BF16"}
    return next((name for key, name in names.items() if has.get(key)), None)


def autocast(device_type: str, amp: AmpChoice) -> torch.autocast:
    """The context in which a forward pass runs."""
    dtype = autocast_dtype(device_type, amp)
    if dtype == torch.float32:
        return torch.autocast(device_type, torch.bfloat16, enabled=False)
    return torch.autocast(device_type, dtype)


def autocast_dtype(device_type: str, amp: AmpChoice) -> torch.dtype:
    """What convolutions compute in under :func:`autocast`: float32 where that is off."""
    settled = settle_amp(amp, device_type)
    return {"off": torch.float32, "fp16": torch.float16}.get(settled, torch.bfloat16)


def make_scaler(device_type: str, amp: AmpChoice) -> torch.amp.GradScaler | None:
    """A scaler for fp16, whose gradients would vanish otherwise; None for the other precisions."""
    return torch.amp.GradScaler(device_type) if amp == "fp16" else None
