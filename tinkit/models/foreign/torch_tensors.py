"""PyTorch's tensors out of a file of ``torch.save``, from descriptions that are checked against the file first."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinkit.pickles.tensors import PickleError, TensorRef, checked_place
from tinkit.pickles.torch_file import TorchFile


def read_tensors(file: TorchFile, wanted: dict[str, TensorRef]) -> dict[str, Tensor]:
    """The tensors of these descriptions, by the same names; those that shared numbers still do."""
    storages: dict[tuple[str, str], Tensor] = {}
    tensors = {}
    for name, ref in wanted.items():
        storage = ref.storage
        key = (storage.key, storage.dtype)
        if key not in storages:
            storages[key] = _of_bytes(file.numbers(storage), getattr(torch, storage.dtype))
        tensors[name] = _tensor(ref, storages[key], name)
    return tensors


def _tensor(ref: TensorRef, numbers: Tensor, name: str) -> Tensor:
    """A view of the storage's numbers, once it is certain that it lies within them."""
    dtype = getattr(torch, ref.dtype, None) if ref.dtype else numbers.dtype
    if not isinstance(dtype, torch.dtype):
        raise PickleError(f"{name} is of an unknown type: {ref.dtype}")
    size = numbers.numel() * numbers.element_size()
    if dtype != numbers.dtype:
        numbers = numbers.view(torch.uint8)[: size // dtype.itemsize * dtype.itemsize].view(dtype)
    place = checked_place(ref, numbers.numel(), dtype.itemsize, name)
    if place is None:
        return torch.empty(tuple(ref.shape), dtype=dtype)
    return numbers.as_strided(tuple(ref.shape), tuple(ref.stride), place)


def _of_bytes(data: NDArray[np.uint8], dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(data).view(dtype) if data.size else torch.empty(0, dtype=dtype)
