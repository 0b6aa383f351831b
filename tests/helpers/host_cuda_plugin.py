"""`pytest -p host_cuda_plugin`: every operator on a CPU tensor runs the CUDA kernels, built for the host."""

from __future__ import annotations

import ctypes

import pytest

from tests.helpers.host_cuda import FAST, HostKernels, build
from tinkit.ops.cuda import register

LIBRARY = build(FAST)
assert LIBRARY is not None
KERNELS = HostKernels(ctypes.CDLL(str(LIBRARY)))
REGISTERED = register(KERNELS, "CPU")


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    names = sorted({kernel.rsplit("_", 3)[0] for kernel in KERNELS.launched})
    terminalreporter.write_line(f"host kernels ran {len(KERNELS.launched)} times: {', '.join(names)}")
