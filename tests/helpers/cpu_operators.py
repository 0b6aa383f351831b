"""The native operators of the CPU: their library, and how near to the truth they must be."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers.native_truth import exact
from tinkit.ops import native

ops = torch.ops.tinkit
# Relative to what is rounded: one rounding to the dtype of the features, some in that of the sums.
ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-14, torch.float16: 6e-4, torch.bfloat16: 5e-3}
SUMMING = {torch.float32: 2e-6, torch.float64: 1e-14, torch.float16: 2e-6, torch.bfloat16: 2e-6}


def opened_library() -> ctypes.CDLL:
    """The library that the operators are in; the test is skipped where there is none."""
    if not native.load():
        pytest.skip(f"no native kernels: {native.state().problem}")
    library = ctypes.CDLL(str(native.state().file)) if native.state().file else ctypes.CDLL(None)
    if not hasattr(library, "tinkit_level"):
        pytest.skip("the library is in no file that can be opened again")
    library.tinkit_level.restype = ctypes.c_char_p
    names = ["interlace", "interlace_fold", "interlace_write_", "fold_restore_", "fold_mean"]
    for name in (*names, "interlace_backward", "interlace_fold_backward", "steer"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"tinkit::{name}", "CPU"), name
    return library


def assert_close(found: Tensor, wanted: np.ndarray, tolerance: float, scale: np.ndarray | float = 1.0) -> None:
    """Elementwise: the error is at most ``tolerance`` times the larger of ``scale`` and the value."""
    assert tuple(found.shape) == wanted.shape
    error = np.abs(exact(found) - wanted)
    assert (error <= tolerance * np.maximum(scale, np.abs(wanted)) + 1e-300).all(), float(error.max())
