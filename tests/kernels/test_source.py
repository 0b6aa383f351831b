"""The CUDA kernels without a GPU: the same functions built for the host, held against float64, watched and counted."""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.helpers.cuda_cases import CHOICES, Case, check, random_case, truth
from tests.helpers.cuda_fuzz import check_steer
from tests.helpers.host_cuda import FAST, ORDERS, PLAIN, SANITIZED, WATCHED, HostKernels, build
from tests.helpers.named_weights import GOLDEN
from tests.helpers.places import ROOT
from tinkit.ops import interlace_reference
from tinkit.ops.cuda_kernels import Access, compile_options, cuda_source
from tinkit.ops.cuda_operators import CudaOperators

RESNET50 = [(256, 56), (512, 28), (1024, 14), (2048, 7)]


def host(flags: tuple[str, ...] = FAST, **options: str | bool) -> HostKernels:
    library = build(flags)
    if library is None:
        pytest.skip("no C++ compiler on this machine")
    return HostKernels(ctypes.CDLL(str(library)), **options)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("flags", [PLAIN, FAST], ids=["O0", "O2"])
@pytest.mark.parametrize("wide", [False, True], ids=["32-bit", "64-bit"])
@pytest.mark.parametrize("order", ORDERS)
@settings(max_examples=25)
@given(case=st.builds(Case, **{name: st.sampled_from(choices) for name, choices in CHOICES.items()}))
def test_every_operator_against_float64(flags: tuple[str, ...], wide: bool, order: str, case: Case) -> None:
    kernels = host(flags, order=order, wide=wide)
    check(case, CudaOperators(kernels))
    assert kernels.counts().unaligned == 0


def test_any_order_of_threads_gives_the_same_bits() -> None:
    case = Case(2, 9, 4, 4, 8, 20, 20, torch.float32, False, 0, seed=1)
    x, grad, offset, gain = case.tensors()
    for layout in (torch.contiguous_format, torch.channels_last):
        x, grad = (tensor.contiguous(memory_format=layout) for tensor in (x, grad))
        found = []
        for order in ORDERS:
            operators = CudaOperators(host(order=order))
            mean = operators.fold_mean(x, case.fold)
            found.append([*operators.interlace_backward(grad, x, offset, gain, case.fold), mean])
        for other in found[1:]:
            assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.slow
def test_no_thread_touches_what_another_has_in_hand() -> None:
    kernels = host(WATCHED)
    draw = random.Random(0)
    for _ in range(60):
        case = random_case(draw)
        check(case, CudaOperators(kernels))
        check_steer(CudaOperators(kernels), draw.randint(1, 3), draw.randint(1, 9), draw.choice((4, 40, 300)))
        counts = kernels.counts()
        assert counts.races == counts.unaligned == 0, case


BARRIERS = [
    (file.name, number)
    for file in sorted(cuda_source().parent.glob("*.h"))
    if file.name not in ("device.h", "host.h")
    for number in range(file.read_text().count("SYNC();"))
]


@pytest.mark.slow
@pytest.mark.parametrize(("file", "number"), BARRIERS)
def test_the_watch_finds_every_missing_barrier(file: str, number: int, tmp_path: Path) -> None:
    """What a host build cannot show by its numbers: each barrier is taken away in turn, and the races are counted."""
    kernels = tmp_path / "kernels"
    shutil.copytree(cuda_source().parent.parent, kernels)
    damaged = kernels / "cuda" / file
    parts = damaged.read_text().split("SYNC();")
    damaged.write_text("SYNC();".join(parts[: number + 1]) + ";" + "SYNC();".join(parts[number + 1 :]))
    one = [f"-D{name}={value}" for name, value in Access(torch.float32, 1, False).definitions.items()]
    library = build(("-O0", "-DTINKIT_WATCH", *one), kernels / "cuda" / "kernels.cu")
    if library is None:
        pytest.skip("no C++ compiler on this machine")
    host_kernels = HostKernels(ctypes.CDLL(str(library)))
    operators = CudaOperators(host_kernels)
    for channels_last in (False, True):
        x, grad, offset, gain = Case(2, 5, 4, 1, 1, 9, 15, torch.float32, channels_last, 1, seed=0).tensors()
        operators.interlace(x, offset, gain, 4)
        operators.interlace_backward(grad, x, offset, gain, 4)
        operators.fold_mean(x, 4)
    check_steer(operators, 2, 5, 40, compare=False)
    assert host_kernels.counts().races > 0


@pytest.mark.slow
def test_sanitizers_find_nothing() -> None:
    """Under AddressSanitizer and UBSan, in a process of its own: they must be loaded before anything else."""
    library, runtime = build(SANITIZED), _asan_libraries()
    if library is None or runtime is None:
        pytest.skip("no C++ compiler with AddressSanitizer on this machine")
    environment = os.environ | {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0", "OMP_NUM_THREADS": "1"}
    script = "import sys; from tests.helpers.cuda_fuzz import run_cases; run_cases(sys.argv[1], int(sys.argv[2]))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(library), "150"],
        env=environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "150 cases" in done.stdout


def _asan_libraries() -> str | None:
    """What must be loaded first; the C++ library too, or AddressSanitizer does not see its exceptions pass."""
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    commands = ([compiler, f"-print-file-name={name}"] for name in ("libasan.so", "libstdc++.so"))
    found = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() for command in commands]
    return ":".join(found) if all(Path(path).is_file() for path in found) else None


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_golden(name: str, channels_last: bool) -> None:
    data = np.load(GOLDEN / "interlace.npz")
    sizes = json.loads(str(data["meta"]))[name]
    x, offset, weight, out = (torch.from_numpy(data[f"{name}.{key}"]) for key in ("x", "offset", "weight", "out"))
    fold = sizes["C"] // sizes["shift_div"]
    gain = weight.view(sizes["N"], sizes["T"], fold)[..., :: fold // 4].contiguous()
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    found = CudaOperators(host()).interlace(x, offset, gain, fold)
    assert float((found - out).abs().max() / out.abs().max()) <= 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_half_precision_number_is_read_and_rounded_as_pytorch_does(dtype: torch.dtype) -> None:
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    values = bits.view(dtype).view(1, -1, 1, 1)
    operators = CudaOperators(host())
    read = operators.fold_mean(values, values.shape[1]).flatten()
    torch.testing.assert_close(read, values.float().flatten(), rtol=0, atol=0, equal_nan=True)
    finite = values[:, values.flatten().isfinite()].contiguous()
    fold = finite.shape[1] // 2 * 2
    for gain in (1.0, 0.1, 1 / 3, 1e-3, 3.14159, 6e-5, 1e-7):
        gains = torch.full((1, 1, 2), gain)
        found = operators.interlace_fold(finite, torch.zeros(1, 2), gains, fold)
        assert torch.equal(found, (finite[:, :fold].float() * gains[0, 0, 0]).to(dtype)), gain


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_error_is_at_most_twice_that_of_plain_pytorch(dtype: torch.dtype, channels_last: bool) -> None:
    operators = CudaOperators(host())
    worst = [0.0] * 4
    plain_worst = [0.0] * 4
    for seed in range(8):
        x, grad, offset, gain = Case(2, 8, 4, 8, 8, 9, 7, dtype, channels_last, 0, seed).tensors()
        offset = offset.nan_to_num(0.5).clamp(-9, 9)
        exact = truth(x, grad, offset, gain, 32)
        out = operators.interlace(x, offset, gain, 32)
        ours = (out, *operators.interlace_backward(grad, x, offset, gain, 32))
        leaves = [tensor.to(dtype).requires_grad_() for tensor in (x, offset, gain)]
        rough = interlace_reference(*leaves, 32)
        plain = (rough, *torch.autograd.grad(rough, leaves, grad))
        for number, value in enumerate(exact):
            worst[number] = max(worst[number], float((ours[number].double() - value).abs().max()))
            plain_worst[number] = max(plain_worst[number], float((plain[number].detach() - value).abs().max()))
    print(dtype, worst, plain_worst)
    assert all(ours <= 2 * plain for ours, plain in zip(worst, plain_worst, strict=True))


@settings(max_examples=30)
@given(st.integers(0, 4), st.integers(1, 17), st.integers(1, 90))
def test_steering(clips: int, frames: int, fold: int) -> None:
    check_steer(CudaOperators(host()), clips, frames, fold)


def test_more_gains_than_a_block_keeps() -> None:
    check(Case(1, 300, 5, 1, 1, 2, 2, torch.float32, False, 0, seed=0), CudaOperators(host()))
    check(Case(1, 1100, 1, 2, 0, 1, 3, torch.float32, True, 0, seed=3), CudaOperators(host()))


def least_bytes(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> dict[str, int]:
    """Each byte that is needed once: frames of the fold that no output frame shows are not."""
    clips, frames, groups = gain.shape
    size, area = x.element_size(), x.shape[2] * x.shape[3]
    needed = 0
    for by in offset.flatten().tolist():
        whole = int(np.floor(by))
        shown = {frame for t in range(frames) for frame in (t - whole, t - whole - 1) if 0 <= frame < frames}
        needed += len(shown) * fold // groups * area * size
    moved = clips * frames * fold * area * size
    rest = clips * frames * (x.shape[1] - fold) * area * size
    return {
        "interlace": needed + moved + 2 * rest,
        "interlace_fold": needed + moved,
        "interlace_write_": 3 * moved,
        "fold_restore_": 2 * moved,
        "interlace_backward": 2 * needed + moved + 2 * rest,
        "interlace_fold_backward": 2 * needed + moved + rest,
        "fold_mean": moved + clips * frames * fold * 4,
    }


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("channels", "side"), RESNET50)
def test_bytes_moved(channels: int, side: int, dtype: torch.dtype, channels_last: bool) -> None:
    x = torch.zeros(8, channels, side, side, dtype=dtype)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    fold = channels // 4
    offset, gain = torch.tensor([[0.5, 1.6, -0.5, -1.6]]), torch.ones(1, 8, 4)
    kernels = host()
    operators = CudaOperators(kernels)
    calls = {
        "interlace": lambda: operators.interlace(x, offset, gain, fold),
        "interlace_fold": lambda: operators.interlace_fold(x, offset, gain, fold),
        "interlace_write_": lambda: operators.interlace_write_(x, offset, gain, fold, False),
        "fold_restore_": lambda: operators.fold_restore_(x, torch.empty_like(x[:, :fold])),
        "interlace_backward": lambda: operators.interlace_backward(x, x, offset, gain, fold),
        "interlace_fold_backward": lambda: operators.interlace_fold_backward(
            torch.empty_like(x[:, :fold]), x, offset, gain, fold
        ),
        "fold_mean": lambda: operators.fold_mean(x, fold),
    }
    for name, least in least_bytes(x, offset, gain, fold).items():
        kernels.counts()
        kernels.launched.clear()
        calls[name]()
        counts = kernels.counts()
        share = (counts.read + counts.written) / least
        print(f"{name} {channels}x{side} {dtype} channels_last={channels_last}: {share:.4f}, {kernels.launched}")
        assert 1 <= share <= 1.1, name
        # 16 bytes an access, where 49 pixels of a plane allow it.
        if channels_last or name != "fold_mean":
            assert all(f"_{16 // x.element_size()}_" in kernel for kernel in kernels.launched)


@pytest.mark.slow
def test_nvcc_compiles_without_spills(tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc on this machine; `tinkit kernels check` compiles all kernels where there is one")
    options = compile_options(cuda_source(), Access(torch.bfloat16, 8, False))
    for architecture in (75, 120):
        command = [nvcc, "-std=c++17", f"-arch=sm_{architecture}", "-Xptxas", "-v", "-Werror", "all-warnings", *options]
        done = subprocess.run(
            [*command, "-cubin", str(cuda_source()), "-o", str(tmp_path / "kernels.cubin")],
            capture_output=True,
            text=True,
            check=True,
        )
        spills = [line for line in done.stderr.splitlines() if "spill" in line]
        assert len(spills) == 8
        assert all("0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in line for line in spills)
    subprocess.run([*command, "-ptx", str(cuda_source()), "-o", str(tmp_path / "kernels.ptx")], check=True)
    accesses = [line.split()[0] for line in (tmp_path / "kernels.ptx").read_text().splitlines() if "global" in line]
    assert {access[:2] for access in accesses if ".v4." in access} == {"ld", "st"}
    assert not any(access.endswith("16") for access in accesses)
    assert ".local" not in (tmp_path / "kernels.ptx").read_text()
