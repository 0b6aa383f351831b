"""Random cases on a library of the CUDA kernels built for the host, for a process of its own."""

from __future__ import annotations

import ctypes
import random

import torch

from tests.helpers.cuda_cases import check, random_case, steered
from tests.helpers.host_cuda import ORDERS, HostKernels
from tinkit.ops import Steering
from tinkit.ops.cuda_operators import CudaOperators


def run_cases(library: str, count: int) -> None:
    """Random cases on a given library, misaligned ones and all; says how many."""
    draw = random.Random(7)
    for number in range(count):
        kernels = HostKernels(ctypes.CDLL(library), order=draw.choice(list(ORDERS)), wide=draw.random() < 0.3)
        check(random_case(draw), CudaOperators(kernels))
        check_steer(CudaOperators(kernels), number % 3, draw.randint(1, 9), draw.randint(1, 70))
    print(count, "cases")


def check_steer(operators: CudaOperators, clips: int, frames: int, fold: int, *, compare: bool = True) -> None:
    for dtype in (torch.float32, torch.float64) if compare else (torch.float32,):
        shapes = [(1, fold, 3), (1,), (frames, frames), (frames,), (2, frames), (2,), (2, fold, 3), (2,)]
        weights = Steering(*(torch.randn(shape, dtype=dtype) / 3 for shape in shapes))
        pooled = torch.randn(clips * frames, fold, dtype=dtype)
        found = operators.steer(pooled, *weights)
        if not compare:
            continue
        wanted = steered(pooled, weights)
        for ours, exact in zip(found, wanted, strict=True):
            torch.testing.assert_close(ours.double(), exact, rtol=0, atol=1e-4 if dtype == torch.float32 else 1e-12)
