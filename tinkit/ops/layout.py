"""How features lie in memory, as all operators and their native kernels read it, and when they may be written to.

Features (B*T, C, H, W) are *channels_last* if PyTorch calls them that and not contiguous too: where both are true (one
channel, or one pixel) they are taken for contiguous. Results that are as wide as the features have their strides,
narrower ones the plain strides of the layout (``torch.empty`` with that memory format).

Native kernels read these two layouts, dense, and no other: :func:`as_dense` copies what lies otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor


def is_channels_last(x: Tensor) -> bool:
    """Whether features (B*T, C, H, W) count as channels_last."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def layout_of(x: Tensor) -> torch.memory_format:
    """The memory format of results: channels_last for channels_last features, contiguous for any other."""
    return torch.channels_last if is_channels_last(x) else torch.contiguous_format


def as_dense(x: Tensor) -> Tensor:
    """``x`` itself where it is dense in one of the two layouts, else a contiguous copy."""
    return x if x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()


def laid_out_as(x: Tensor, grad: Tensor) -> Tensor:
    """A gradient in the layout of ``x`` that it belongs to: autograd may give any, and one without its own memory."""
    return grad.contiguous(memory_format=layout_of(x))


def empty_fold(x: Tensor, fold: int) -> Tensor:
    """An uninitialised (B*T, fold, H, W) in the dtype and layout of ``x``."""
    rows, _, height, width = x.shape
    return torch.empty((rows, fold, height, width), dtype=x.dtype, device=x.device, memory_format=layout_of(x))


def may_borrow(x: Tensor, *others: Tensor | None) -> bool:
    """Whether an operator may write to ``x`` and put everything back before it returns.

    It may where ``x`` is dense and not empty, lies in memory that PyTorch allocated for this process alone (an array of
    another library or a mapped file can be read-only, shared memory is read by other processes), and shares that memory
    with none of the ``others`` that the operator reads meanwhile.
    """
    if x.numel() == 0 or not (x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)):
        return False
    if x.is_inference() and not torch.is_inference_mode_enabled():
        return False  # PyTorch forbids it, and a kernel that did it all the same would be alone in that
    storage = x.untyped_storage()
    if not storage.resizable() or (x.device.type == "cpu" and storage.is_shared()):
        return False
    address = storage.data_ptr()
    return all(other is None or other.untyped_storage().data_ptr() != address for other in others)
