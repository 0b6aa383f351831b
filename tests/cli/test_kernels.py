"""`tinkit kernels build` and `check`: what is kept where, what is read of the assembler's log, no spill goes unseen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.native_children import Workshop
from tinkit.cli import doctor
from tinkit.cli.app import main
from tinkit.native.cache import KernelError
from tinkit.ops import cuda, cuda_check, cuda_kernels, native
from tinkit.ops.cuda_check import ARCHITECTURES, KernelUse, find_nvcc, read_log
from tinkit.ops.nvrtc import find_nvrtc

NO_COMPILER = os.name != "posix" or not any(map(shutil.which, ("c++", "g++", "clang++")))

# Two kernels as ptxas 13.0 tells of them; the second calls a function that spills.
LOG = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'two' for 'sm_80'
ptxas info    : Function properties for two
    16 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 10 registers, used 1 barriers, 256 bytes smem, 360 bytes cmem[0]
ptxas info    : Compile time = 5.359 ms
ptxas info    : Compiling entry function 'one' for 'sm_80'
ptxas info    : Function properties for one
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 29 registers, used 0 barriers, 360 bytes cmem[0]
ptxas info    : Function properties for _Z4leafPfi
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
"""
# The second keeps more values than 32 registers hold.
KERNELS = """
extern "C" __global__ void light(float* a) { a[threadIdx.x] *= 2; }
#ifdef HEAVY
extern "C" __global__ void __launch_bounds__(1024, 2) heavy(float* a) {
  float kept[40];
#pragma unroll
  for (int i = 0; i < 40; ++i) kept[i] = a[i * 1024 + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 40; ++i) a[i * 1024 + threadIdx.x] = kept[i] * kept[39 - i] + kept[(7 * i) % 40];
}
#endif
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    shop = Workshop(tmp_path)
    shop.compiler()
    return shop


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "kernels" / "cuda"
    folder.mkdir(parents=True)
    (folder / "kernels.cu").write_text(KERNELS)
    monkeypatch.setattr(cuda_check, "cuda_source", lambda: folder / "kernels.cu")
    return folder / "kernels.cu"


def check(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    return run(monkeypatch, "check", *words)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tinkit", "kernels", *words])
    monkeypatch.setenv("TINKIT_KEEP_BUFFERS", "0")
    try:
        main()
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return 0


def pretend_nvcc(folder: Path, script: str) -> str:
    file = folder / "nvcc"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(folder)


def test_the_log_gives_each_kernel_its_own_numbers() -> None:
    assert read_log(LOG) == [
        KernelUse("two", 80, registers=10, stack=16, spill_stores=0, spill_loads=0, shared=256),
        KernelUse("one", 80, registers=29, stack=8, spill_stores=4, spill_loads=12, shared=0),
    ]
    assert [use.spills for use in read_log(LOG)] == [False, True]


@pytest.mark.parametrize("left_out", ["Used", "spill", "Compiling"])
def test_a_log_of_another_kind_is_no_clean_bill(left_out: str) -> None:
    lines = [line for line in LOG.splitlines() if left_out not in line]
    with pytest.raises(KernelError, match="ptxas"):
        read_log("\n".join(lines))


def test_a_spill_fails_the_check_and_is_named(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    log.write_text(LOG.replace("'sm_80'", "'ARCH'"))
    script = f"""for word in "$@"; do case "$word" in -arch=*) arch=${{word#-arch=}};; esac; done
sed "s/ARCH/$arch/" {log} >&2"""
    monkeypatch.setenv("PATH", pretend_nvcc(tmp_path, script) + os.pathsep + os.environ["PATH"])
    assert check(monkeypatch) == 1
    shown = capsys.readouterr()
    assert "spilled to memory by one (sm_75), one (sm_80), one (sm_90), one (sm_100), one (sm_120)" in shown.err
    assert "two (" not in shown.err
    assert "sm_120" in shown.out
    assert check(monkeypatch, "--json") == 1
    rows = json.loads(capsys.readouterr().out)
    assert {(row["kernel"], row["architecture"]) for row in rows} == {
        (name, architecture) for name in ("one", "two") for architecture in ARCHITECTURES
    }


def test_what_does_not_compile_fails_with_the_compilers_words(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = "echo 'kernels.cu(3): error: of the test' >&2; exit 2"
    monkeypatch.setenv("PATH", pretend_nvcc(tmp_path, script) + os.pathsep + os.environ["PATH"])
    assert check(monkeypatch) == 1
    shown = capsys.readouterr().err
    assert "kernels.cu(3): error: of the test" in shown
    assert "cannot compile" in shown


def test_where_nothing_can_compile_that_is_said(
    sources: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cuda_check, "find_nvcc", lambda: None)
    monkeypatch.setattr(cuda_check, "find_nvrtc", lambda: None)
    assert check(monkeypatch) == 0
    assert "no CUDA kernel was checked" in capsys.readouterr().err


@pytest.mark.thorough
@pytest.mark.parametrize("compiler", ["nvcc", "NVRTC"])
def test_a_compiler_tells_of_a_real_spill(
    sources: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], compiler: str
) -> None:
    if compiler == "NVRTC":
        monkeypatch.setattr(cuda_check, "find_nvcc", lambda: None)
    if cuda_check.find_nvcc() is None and (compiler == "nvcc" or find_nvrtc() is None):
        pytest.skip(f"no {compiler} here")
    assert check(monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "light" in shown
    assert compiler in shown
    sources.write_text("#define HEAVY\n" + KERNELS)
    assert check(monkeypatch) == 1
    shown = capsys.readouterr()
    assert "heavy (sm_80)" in shown.err
    assert "light (" not in shown.err


def test_nvcc_is_found_where_cuda_home_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    place = pretend_nvcc(tmp_path / "bin", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert find_nvcc() == f"{place}/nvcc"


def test_build_compiles_every_way_of_access_for_every_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = []

    class Pretended:
        def function(self, device: int, name: str, access: cuda_kernels.Access) -> None:
            asked.append((device, access))

    monkeypatch.setattr(
        native, "open_library", lambda kernels: native.Native(file=tmp_path / "library.so", level="any")
    )
    monkeypatch.setattr(cuda_kernels, "open_kernels", Pretended)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda index: f"card {index}")
    monkeypatch.setenv("TINKIT_CACHE", str(tmp_path))
    assert run(monkeypatch, "build", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["for"] for row in rows] == ["CPU, any", "card 0", "card 1"]
    assert rows[1]["where"] == str(tmp_path / "kernels")
    assert asked == [(device, access) for device in (0, 1) for access in cuda_kernels.all_accesses()]


@pytest.mark.parametrize("problem", ["there is no CUDA device", "NVRTC was not found"])
def test_doctor_says_why_no_cuda_kernels_run(monkeypatch: pytest.MonkeyPatch, problem: str) -> None:
    monkeypatch.setattr(cuda, "state", lambda: cuda.Cuda(problem=problem))
    assert doctor._cuda() == f"not used: {problem}"


def test_doctor_runs_cuda_kernels_that_are_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran_on = []
    monkeypatch.setenv("TINKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(cuda, "state", lambda: cuda.Cuda(compiler="NVRTC 13.0"))
    monkeypatch.setattr(doctor, "_operator", lambda device: ran_on.append(device) or "ran")
    assert doctor._cuda() == f"ran; NVRTC 13.0 compiles for the card at first use, into {tmp_path / 'kernels'}"
    assert ran_on == ["cuda"]


def tinkit(shop: Workshop, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line as an own process that finds the workshop's sources shipped."""
    code = (
        "import sys; from pathlib import Path; import tinkit.files.atomic as files\n"
        f"files.shipped = lambda kind: Path({str(shop.kernels)!r})\n"
        "from tinkit.cli.app import main; main()"
    )
    environment = {"PATH": str(shop.bin), "TINKIT_CACHE": str(shop.cache), "CXX": ""} | environment
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


@pytest.mark.thorough
@pytest.mark.skipif(NO_COMPILER, reason="no C++ compiler here")
def test_build_says_what_where_and_how_long(shop: Workshop) -> None:
    (first,) = json.loads(tinkit(shop, "kernels", "build", "--json").stdout)
    assert first["how"] == "compiled by c++ test 1"
    assert first["seconds"] > 0
    assert [first["where"]] == [str(path) for path in shop.kept()]
    (second,) = json.loads(tinkit(shop, "kernels", "build", "--json").stdout)
    assert second == first | {"how": "found", "seconds": 0.0}
    assert shop.compiled() == 1


@pytest.mark.thorough
@pytest.mark.skipif(NO_COMPILER, reason="no C++ compiler here")
def test_build_fails_where_nothing_comes_of_it(shop: Workshop) -> None:
    stands = shop.folder / "stands"
    stands.touch()
    unkept = tinkit(shop, "kernels", "build", TINKIT_CACHE=str(stands))
    assert unkept.returncode == 1
    assert "TINKIT_CACHE" in unkept.stderr
    shop.compiler("echo 'first line'; echo 'x.cpp:2: error: second'; exit 1")
    failed = tinkit(shop, "kernels", "build")
    assert failed.returncode == 1
    assert "first line" in failed.stderr
    assert "error: c++ failed: x.cpp:2: error: second" in failed.stderr
    assert "Traceback" not in unkept.stderr + failed.stderr
