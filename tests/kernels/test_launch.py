"""How CUDA kernels are compiled, kept, loaded and launched: over a driver that has no device."""

from __future__ import annotations

import ctypes
import inspect
import logging
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tinkit.ops
from tests.helpers.cuda_cases import Case, check, random_case
from tests.helpers.host_cuda import FAST, build
from tests.helpers.places import ROOT
from tinkit.native import cache
from tinkit.native.cache import KernelError
from tinkit.ops import cuda
from tinkit.ops.cuda_driver import Driver
from tinkit.ops.cuda_kernels import (
    Access,
    Arguments,
    DeviceKernels,
    access_for,
    all_accesses,
    cuda_source,
    open_kernels,
)
from tinkit.ops.cuda_operators import OPERATORS, CudaOperators
from tinkit.ops.nvrtc import Compiled

STREAM = 4242
FLOAT = Access(torch.float32, 4, False)


class FakeNvrtc:
    """Compiles nothing: gives ``data`` and counts."""

    version = "13.0"

    def __init__(self, data: bytes = b"GOOD") -> None:
        self.data, self.compiled = data, 0

    def target(self, capability: int) -> str:
        return f"sm_{capability}"

    def compile(self, source: Path, target: str, options: list[str]) -> Compiled:
        self.compiled += 1
        return Compiled(self.data + target.encode() + b"\0", "")


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ctypes.CDLL:
    compiler, kernels = shutil.which("gcc") or shutil.which("g++"), build(FAST)
    if compiler is None or kernels is None:
        pytest.skip("no C compiler on this machine")
    monkeypatch.setenv("TINKIT_CACHE", str(tmp_path / "cache"))
    os.environ["STUB_KERNELS"] = str(kernels)
    source, target = Path(__file__).with_name("stub_driver.c"), tmp_path / "stub.so"
    subprocess.run([compiler, "-x", "c", "-shared", "-fPIC", str(source), "-o", str(target), "-ldl"], check=True)
    library = ctypes.CDLL(str(target))
    library.stub_log.restype = ctypes.c_char_p
    library.stub_current.restype = ctypes.c_void_p
    library.stub_make_current.argtypes = [ctypes.c_void_p]
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda index: type("Stream", (), {"cuda_stream": STREAM}))
    return library


def kernels_over(stub: ctypes.CDLL, nvrtc: FakeNvrtc) -> DeviceKernels:
    return DeviceKernels(Driver(stub), nvrtc, cuda_source())  # type: ignore[arg-type]


def log_of(stub: ctypes.CDLL) -> list[str]:
    lines = stub.stub_log().decode().splitlines()
    stub.stub_clear()
    return lines


@pytest.mark.slow
def test_operators_over_the_driver_give_the_numbers(stub: ctypes.CDLL) -> None:
    operators = CudaOperators(kernels_over(stub, FakeNvrtc()))
    draw = random.Random(3)
    for _ in range(30):
        check(random_case(draw), operators)
    lines = log_of(stub)
    assert {line for line in lines if line.startswith("launch")} == {f"launch in 1100 on {STREAM}"}
    assert stub.stub_capture_mode() == 0


def test_an_access_is_compiled_once_and_found_by_the_next_process(stub: ctypes.CDLL) -> None:
    first, second = FakeNvrtc(), FakeNvrtc()
    kernels = kernels_over(stub, first)
    for name in ("move", "finish", "move"):
        kernels.function(0, name, FLOAT)
    kernels.function(0, "move", FLOAT._replace(lanes=1))
    assert first.compiled == 2
    assert log_of(stub).count("load GOODsm_90") == 2
    kernels_over(stub, second).function(0, "move", FLOAT)
    assert second.compiled == 0
    kernels_over(stub, second).function(1, "move", FLOAT)  # another card, another architecture
    assert second.compiled == 1
    assert "load GOODsm_91" in log_of(stub)


def test_another_source_is_another_key(stub: ctypes.CDLL, tmp_path: Path) -> None:
    shutil.copytree(cuda_source().parent.parent, tmp_path / "kernels")
    source = tmp_path / "kernels" / "cuda" / "kernels.cu"
    compiled = []
    header = tmp_path / "kernels" / "interlace.h"
    for change in ("", "// another\n"):
        header.write_text(header.read_text() + change)
        nvrtc = FakeNvrtc()
        DeviceKernels(Driver(stub), nvrtc, source).function(0, "move", FLOAT)  # type: ignore[arg-type]
        compiled.append(nvrtc.compiled)
    assert compiled == [1, 1]


def test_a_kept_file_that_the_driver_refuses_is_made_again(stub: ctypes.CDLL) -> None:
    with pytest.raises(KernelError, match=r"cuModuleLoadData: device kernel image is invalid \(200\)"):
        kernels_over(stub, FakeNvrtc(b"BAD")).function(0, "move", FLOAT)
    good = FakeNvrtc()
    kernels_over(stub, good).function(0, "move", FLOAT)
    assert good.compiled == 1
    again = FakeNvrtc()
    kernels_over(stub, again).function(0, "move", FLOAT)
    assert again.compiled == 0


def test_the_context_is_the_devices_and_is_given_back(stub: ctypes.CDLL) -> None:
    kernels = kernels_over(stub, FakeNvrtc())
    x = torch.ones(4, 8, 2, 2)
    stub.stub_make_current(1100)
    CudaOperators(kernels).fold_mean(x, 8)
    assert not [line for line in log_of(stub) if line in ("push", "pop")]
    stub.stub_make_current(7)  # of another device
    CudaOperators(kernels).fold_mean(x, 8)
    assert log_of(stub) == ["push", f"launch in 1100 on {STREAM}", "pop"]
    assert stub.stub_current() == 7
    with pytest.raises(KernelError, match="named symbol not found"):
        kernels.function(0, "no_such_kernel", FLOAT)
    assert stub.stub_current() == 7
    assert stub.stub_capture_mode() == 0


def test_a_launch_that_is_too_large_says_so(stub: ctypes.CDLL) -> None:
    with pytest.raises(KernelError, match="move: 2147483648 blocks"):
        kernels_over(stub, FakeNvrtc()).launch("move", FLOAT, 2**31, Arguments(), torch.device("cuda", 0))


@pytest.mark.parametrize(
    ("skew", "length", "dtype", "lanes"),
    [
        (0, 16, torch.float32, 4),
        (0, 18, torch.float32, 1),
        (1, 16, torch.float32, 1),
        (4, 16, torch.float32, 4),
        (0, 16, torch.bfloat16, 8),
        (4, 16, torch.bfloat16, 4),
        (0, 12, torch.float16, 4),
        (2, 16, torch.float16, 1),
        (0, 6, torch.float64, 2),
        (0, 7, torch.float64, 1),
    ],
)
def test_accesses_are_as_wide_as_addresses_and_lengths_allow(
    skew: int, length: int, dtype: torch.dtype, lanes: int
) -> None:
    tensor = torch.zeros(64, dtype=dtype)[skew:]
    assert access_for((tensor,), (16, length)) == Access(dtype, lanes, False)


def test_large_tensors_are_counted_with_64_bits() -> None:
    small = torch.zeros(1).expand(2**30 - 1)
    assert not access_for((small,), (4,)).wide
    assert access_for((torch.zeros(1).expand(2**30), small), (4,)).wide


def test_every_access_has_kernels_in_the_source() -> None:
    text = cuda_source().read_text()
    assert len(set(all_accesses())) == 20
    for access in all_accesses():
        names = access.definitions
        assert f"TINKIT_BOTH({names['TINKIT_VALUE']}, {names['TINKIT_LANES']})" in text


def test_every_operator_has_the_arguments_of_its_schema() -> None:
    assert tinkit.ops
    for name in OPERATORS:
        schema = getattr(torch.ops.tinkit, name).default._schema
        method = inspect.signature(getattr(CudaOperators, name))
        takes_any = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in method.parameters.values())
        if not takes_any:
            assert list(method.parameters)[1:] == [argument.name for argument in schema.arguments]


def test_arguments_are_the_sources(stub: ctypes.CDLL) -> None:
    text = (cuda_source().parent / "arguments.h").read_text()
    body = re.sub(r"//.*", "", text[text.index("struct Arguments {") + 18 : text.index("};", text.index("struct Arg"))])
    names = re.findall(r"(\w+)(?:\[8\])?\s*[,;]", body)
    assert names == [field[0] for field in Arguments._fields_]


def test_without_a_device_nothing_is_registered_or_said(caplog: pytest.LogCaptureFixture) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with caplog.at_level(logging.WARNING):
        assert open_kernels() is None
        assert cuda._decided.__wrapped__() == cuda.Cuda(problem="there is no CUDA device")
    assert not caplog.records


def test_what_keeps_kernels_from_a_device_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise KernelError("NVRTC was not found")

    cache.say_once.cache_clear()
    monkeypatch.setattr(cuda, "open_kernels", fail)
    with caplog.at_level(logging.WARNING):
        assert cuda._decided.__wrapped__() == cuda._decided.__wrapped__() == cuda.Cuda(problem="NVRTC was not found")
    assert [record.getMessage() for record in caplog.records] == [
        "the operators run as plain PyTorch on the GPU, several times slower: NVRTC was not found"
    ]
    monkeypatch.setenv("TINKIT_NATIVE", "0")
    monkeypatch.setattr(cuda, "open_kernels", lambda: pytest.fail("asked for although turned off"))
    assert cuda._decided.__wrapped__() == cuda.Cuda(problem="turned off by TINKIT_NATIVE=0")


def test_driver_that_fails_says_what() -> None:
    class Broken:
        def __getattr__(self, name: str):
            def call(*arguments: object) -> int:
                return 0 if name == "cuGetErrorString" else 100

            return call

    with pytest.raises(KernelError, match=r"cuInit: unknown error \(100\)"):
        Driver(Broken())  # type: ignore[arg-type]


@pytest.mark.thorough
def test_everything_that_operators_and_models_promise_holds_over_these_kernels() -> None:
    """The operators' and models' own tests, every operator on a CPU tensor being the CUDA kernels' host build."""
    if build(FAST) is None:
        pytest.skip("no C++ compiler on this machine")
    files = [
        *sorted(ROOT.glob("tests/ops/test_*.py")),
        ROOT / "tests/models/test_golden.py",
        ROOT / "tests/models/temporal/test_interlace.py",
    ]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.helpers.host_cuda_plugin",
            "-p",
            "no:cacheprovider",
            *map(str, files),
        ],
        env=os.environ | {"TINKIT_NATIVE": "0", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout[-2000:])
    assert done.returncode == 0, done.stdout[-4000:]
    ran = re.search(r"host kernels ran (\d+) times: (.*)", done.stdout)
    assert ran is not None
    assert set(ran[2].split(", ")) >= {"move", "backward", "finish", "mean_pixels", "mean_planes", "restore", "steer"}


def test_a_case_is_drawn_at_its_alignment() -> None:
    case = Case(1, 2, 1, 4, 4, 2, 2, torch.bfloat16, True, 1, seed=0)
    x = case.tensors()[0]
    assert x.data_ptr() % 4 == 2
    assert x.is_contiguous(memory_format=torch.channels_last)
