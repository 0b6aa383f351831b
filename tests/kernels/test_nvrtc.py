"""NVRTC: found beside PyTorch as its wheels lie there, over a stand-in; and what it compiles, where there is one."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from tinkit.native.cache import KernelError
from tinkit.ops.cuda_kernels import Access, compile_options, cuda_source
from tinkit.ops.nvrtc import Nvrtc, find_nvrtc

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-in is built on POSIX systems")

FLOAT = Access(torch.float32, 4, False)

# Like NVRTC it has no path to its builtins, and asks for them by name when it first compiles.
STAND_IN = """
#include <dlfcn.h>
#include <string.h>
const char* nvrtcGetErrorString(int code) { return "of the stand-in"; }
int nvrtcVersion(int* major, int* minor) { *major = 13; *minor = 7; return 0; }
int nvrtcGetNumSupportedArchs(int* count) { *count = 1; return 0; }
int nvrtcGetSupportedArchs(int* known) { *known = 90; return 0; }
int nvrtcCreateProgram(void** program, ...) { *program = 0; return 0; }
int nvrtcDestroyProgram(void** program) { return 0; }
static const char* builtins(void) {
  void* library = dlopen("libnvrtc-builtins.so.13.7", RTLD_NOW);
  return library ? (const char*)dlsym(library, "text") : 0;
}
int nvrtcCompileProgram(void* program, int count, const char** options) { return builtins() == 0; }
int nvrtcGetProgramLogSize(void* program, size_t* size) { *size = 8; return 0; }
int nvrtcGetProgramLog(void* program, char* log) { strcpy(log, "the log"); return 0; }
int nvrtcGetCUBINSize(void* program, size_t* size) { *size = strlen(builtins()); return 0; }
int nvrtcGetCUBIN(void* program, char* code) { memcpy(code, builtins(), strlen(builtins())); return 0; }
"""


def make_library(target: Path, source: str) -> Path:
    compiler = shutil.which("gcc") or shutil.which("g++")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-x", "c", "-shared", "-fPIC", f"-Wl,-soname,{target.name}", "-", "-o", str(target), "-ldl"]
    subprocess.run(command, input=source, text=True, check=True)
    return target


def found_by_child(torch_file: Path, **environment: str) -> str:
    """What a process finds and compiles whose PyTorch, a CUDA build, lies at ``torch_file``: libraries stay with it."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(find_and_compile, (torch_file, environment))


def find_and_compile(torch_file: Path, environment: dict[str, str]) -> str:
    torch.__file__, torch.version.cuda = str(torch_file), "13.0"
    os.environ.pop("TINKIT_NVRTC", None)
    os.environ.update(environment)
    found = find_nvrtc()
    if found is None:
        return "nothing"
    try:
        return f"{found.version} {found.compile(Path(__file__), 'sm_90').data.decode()}"
    except KernelError as error:
        return error.problem


@pytest.mark.parametrize("folder", ["nvidia/cuda_nvrtc/lib", "nvidia/cu13/lib", "torch/lib"])
def test_the_wheels_library_compiles_with_builtins_that_the_system_would_not_find(folder: str, tmp_path: Path) -> None:
    make_library(tmp_path / folder / "libnvrtc.so.13", STAND_IN)
    assert "NVRTC 13.7 cannot compile" in found_by_child(tmp_path / "torch" / "__init__.py")
    make_library(tmp_path / folder / "libnvrtc-builtins.so.13.7", 'const char text[] = "machine code";')
    assert found_by_child(tmp_path / "torch" / "__init__.py") == "13.7 machine code"


def test_a_library_that_is_named_comes_first_and_a_broken_one_gives_way(tmp_path: Path) -> None:
    wheel, named = tmp_path / "nvidia" / "cu13" / "lib", tmp_path / "named"
    for folder in (wheel, named):
        make_library(folder / "libnvrtc.so.13", STAND_IN)
        make_library(folder / "libnvrtc-builtins.so.13.7", f'const char text[] = "{folder.name}";')
    torch_file = tmp_path / "torch" / "__init__.py"
    chosen = str(named / "libnvrtc.so.13")
    assert found_by_child(torch_file, TINKIT_NVRTC=chosen) == "13.7 named"
    for damaged in ("libnvrtc-builtins.so.13.7", "libnvrtc.so.13"):
        (named / damaged).write_text("no library")
        assert found_by_child(torch_file, TINKIT_NVRTC=chosen) == "13.7 lib"


def nvrtc() -> Nvrtc:
    found = find_nvrtc()
    if found is None:
        pytest.skip("no NVRTC on this machine (it comes with a CUDA build of PyTorch, or TINKIT_NVRTC names it)")
    return found


def test_nvrtc_compiles_the_source_for_a_card() -> None:
    compiler = nvrtc()
    options = [*compile_options(cuda_source(), Access(torch.bfloat16, 8, True)), "--ptxas-options=-v"]
    compiled = compiler.compile(cuda_source(), compiler.target(90), options)
    assert compiled.data.startswith(b"\x7fELF")
    assert b"backward_Bfloat16_8_Wide64" in compiled.data
    assert compiled.log.count("0 bytes spill stores") == 8


def test_a_card_that_nvrtc_does_not_know_gets_ptx_or_is_refused() -> None:
    compiler = nvrtc()
    newest = compiler.architectures[-1]
    assert compiler.target(newest + 10) == f"compute_{newest}"
    options = compile_options(cuda_source(), FLOAT)
    compiled = compiler.compile(cuda_source(), compiler.target(newest + 10), options)
    assert b".entry move_Float_4_Narrow32" in compiled.data
    assert compiled.data.endswith(b"\0")
    with pytest.raises(KernelError, match=f"compiles for sm_{compiler.architectures[0]} and later, not sm_35"):
        compiler.target(35)


def test_what_nvrtc_cannot_compile_is_shown(tmp_path: Path) -> None:
    (tmp_path / "broken.cu").write_text("__global__ void f() { undeclared(); }")
    with pytest.raises(KernelError, match=r"cannot compile broken\.cu for sm_90") as raised:
        nvrtc().compile(tmp_path / "broken.cu", "sm_90")
    assert "undeclared" in raised.value.output
