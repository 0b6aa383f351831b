"""Numbers that tell whether tensors have changed since they were last seen, however they were written to.

PyTorch counts what its own operations write to a tensor. It does not see what is written through ``tensor.data``, NumPy
or a pointer. So what was made of weights is known by their bytes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinkit.ops import native


class Print(NamedTuple):
    """What a tensor holds: equal for two tensors of the same numbers in the same order."""

    bytes: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def prints(tensors: Sequence[Tensor]) -> list[Print]:
    """One for each of ``tensors``, which lie on the CPU, strided; at the speed of memory. Needs the native kernels."""
    function = _kernel()
    count = len(tensors)
    memory = (ctypes.c_void_p * count)(*[tensor.data_ptr() for tensor in tensors])
    sizes = (ctypes.c_int64 * count)(*map(_bytes_spanned, tensors))
    found = (ctypes.c_uint64 * count)()
    function(memory, sizes, count, found)
    return [
        Print(one, tensor.dtype, tuple(tensor.shape), tensor.stride())
        for one, tensor in zip(found, tensors, strict=True)
    ]


def _bytes_spanned(tensor: Tensor) -> int:
    """From the first number to the last: what lies between numbers that are not dense counts, too."""
    if tensor.numel() == 0:
        return 0
    if tensor.is_contiguous():
        return tensor.numel() * tensor.itemsize
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return (last + 1) * tensor.itemsize


def _kernel() -> Any:
    library = native.state().library
    assert library is not None
    function = library.tinkit_prints
    function.restype = None
    return function
