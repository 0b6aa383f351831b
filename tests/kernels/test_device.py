"""The CUDA kernels on a CUDA device (`make gpu`); without one, test_cuda_source.py and test_cuda_launch.py stand in."""

from __future__ import annotations

import random

import pytest
import torch

import tinkit.ops
from tests.helpers.cuda_cases import Case, check, random_case
from tinkit.ops import cuda
from tinkit.ops.cuda_kernels import open_kernels
from tinkit.ops.cuda_operators import OPERATORS, CudaOperators

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def operators() -> CudaOperators:
    kernels = open_kernels()
    assert kernels is not None
    return CudaOperators(kernels)


def test_operators_use_the_kernels() -> None:
    assert cuda.load()
    for name in OPERATORS:
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"tinkit::{name}", "CUDA")


def test_every_operator_against_float64() -> None:
    draw, native = random.Random(11), operators()
    for _ in range(300):
        check(random_case(draw), native, "cuda")


def test_the_same_bits_every_time() -> None:
    native = operators()
    x, grad, offset, gain = Case(4, 8, 4, 16, 64, 28, 28, torch.bfloat16, True, 0, seed=2).tensors("cuda")
    first = [*native.interlace_backward(grad, x, offset, gain, 64), native.fold_mean(x, 64)]
    for _ in range(20):
        again = [*native.interlace_backward(grad, x, offset, gain, 64), native.fold_mean(x, 64)]
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_graph_captures_them_at_first_use_without_waiting(dtype: torch.dtype) -> None:
    """The kernels of this object are not loaded before the capture begins."""
    native = operators()
    x, grad, offset, gain = Case(2, 8, 4, 16, 64, 14, 14, dtype, True, 0, seed=4).tensors("cuda")
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = native.interlace(x, offset, gain, 64)
        gradients = native.interlace_backward(grad, x, offset, gain, 64)
    x.copy_(torch.randn_like(x))
    graph.replay()
    assert torch.equal(out, native.interlace(x, offset, gain, 64))
    for captured, direct in zip(gradients, native.interlace_backward(grad, x, offset, gain, 64), strict=True):
        assert torch.equal(captured, direct)


def test_they_run_on_the_current_stream_and_wait_for_nothing() -> None:
    native = operators()
    x, _, offset, gain = Case(2, 8, 4, 16, 64, 14, 14, torch.float32, False, 0, seed=5).tensors("cuda")
    wanted = native.interlace(x, offset, gain, 64)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.cuda.stream(side):
            torch.cuda._sleep(10**7)
            late = x * 1  # not there yet when the kernel is launched
            found = native.interlace(late, offset, gain, 64)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.current_stream().wait_stream(side)
    assert torch.equal(found, wanted)


def test_opcheck() -> None:
    x, grad, offset, gain = Case(2, 4, 4, 2, 1, 3, 2, torch.float32, True, 0, seed=6).tensors("cuda")
    tinkit.ops.interlace(x, offset, gain, 8)
    leaves = [tensor.requires_grad_() for tensor in (x, offset, gain)]
    torch.library.opcheck(torch.ops.tinkit.interlace.default, (*leaves, 8))
    torch.library.opcheck(torch.ops.tinkit.interlace_fold.default, (*leaves, 8))
    detached = [tensor.detach() for tensor in leaves]
    torch.library.opcheck(torch.ops.tinkit.interlace_backward.default, (grad, *detached, 8))
