"""What of benchmarks/gpu_ops.py needs no GPU: all ways give the same numbers, and without a device it says so."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tests.helpers.places import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_all_ways_give_the_numbers_of_the_operator(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from benchmarks import gpu_ops

    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    others = gpu_ops.ways()
    given = gpu_ops.arguments(16, 5, gpu_ops.LAYOUTS[layout], "cpu", clips=3)
    gpu_ops.check_agreement(others, *given)
    assert torch.equal(others[gpu_ops.COPY](*given), given[0])
    others["damaged"] = lambda x, offset, gain, fold: others["two full gathers"](x, offset + 0.1, gain, fold)
    with pytest.raises(AssertionError, match="damaged gives other numbers"):
        gpu_ops.check_agreement(others, *given)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_it_says_so() -> None:
    command = [sys.executable, "-m", "benchmarks.gpu_ops"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "no CUDA device: this benchmark measures the CUDA kernels and needs one\n"
    assert done.stdout == ""
