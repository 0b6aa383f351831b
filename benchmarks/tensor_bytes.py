"""The most bytes of tensors that are alive at once while something runs, counted where they are allocated."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate

import torch
from torch import Tensor


def peak_bytes(call: Callable[[], object]) -> int:
    """The most bytes that ``call`` had in use at once on the CPU, its result included, beyond what was there before.

    PyTorch's allocator tells each buffer that it gives and takes back, whoever asked: tensors inside native operators
    count, and so does the scratch memory of oneDNN. What was allocated before and is freed meanwhile is not taken off.
    """
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = call()
    del result
    inner = profiler.profiler
    assert inner is not None
    assert inner.kineto_results is not None
    events = [event for event in inner.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate((event.nbytes() for event in events), initial=0))


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """The bytes of the tensors' elements."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
