"""`tinkit kernels`: the operators' native kernels, built ahead of time or checked for every GPU."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from tinkit.cli.options import JsonOption
from tinkit.cli.parser import examples
from tinkit.errors import UserError
from tinkit.terminal import note, note_lines, print_table

if TYPE_CHECKING:
    from tinkit.ops.cuda_check import KernelUse

app = typer.Typer(no_args_is_help=True, help="Build the operators' native kernels ahead of time, or check them.")


@app.command("build", epilog=examples("tinkit kernels build", "CXX=clang++ tinkit kernels build"))
def build(*, as_json: JsonOption = False) -> None:
    """Compile the native kernels for this machine, its processor and its GPUs, into the cache, and load them.

    The same happens automatically when an operator first runs. The cache is $TINKIT_CACHE/kernels, else tinkit/kernels
    in the user's cache; what it holds already is left as it is, and used even where no compiler is found.
    """
    from tinkit.files.shipped import shipped
    from tinkit.ops.native import open_library

    native = open_library(shipped("kernels"))
    if native.output:
        note_lines(native.output)
    if native.problem is not None:
        raise UserError(native.problem, fix="install a C++20 compiler (g++ or clang++), or name one in CXX")
    if native.file is None:
        raise UserError(
            "the kernels compile, but cannot be kept", fix="set TINKIT_CACHE to a folder that can be written"
        )
    row = {
        "for": f"CPU, {native.level}",
        "how": "found" if native.compiler is None else f"compiled by {native.compiler}",
        "seconds": native.seconds or 0.0,
        "where": str(native.file),
    }
    print_table("", [row, *_build_cuda()], as_json=as_json)


def _build_cuda() -> list[dict[str, Any]]:
    """The same for each GPU: a row each. Its kernels are many small files, of which some may exist already."""
    import torch

    from tinkit.native.cache import kernel_folder
    from tinkit.ops.cuda_kernels import all_accesses, open_kernels

    kernels = open_kernels()
    rows = []
    for index in range(0 if kernels is None else torch.cuda.device_count()):
        assert kernels is not None
        started = time.monotonic()
        for access in all_accesses():
            kernels.function(index, "move", access)
        row = {"for": torch.cuda.get_device_name(index), "how": "NVRTC", "seconds": time.monotonic() - started}
        rows.append(row | {"where": str(kernel_folder())})
    return rows


@app.command("check", epilog=examples("tinkit kernels check", "tinkit kernels check --json"))
def check(*, as_json: JsonOption = False) -> None:
    """Compile every CUDA kernel for sm_75, 80, 90, 100 and 120 and print its registers and spills; no GPU is needed.

    Exits with 1 if one does not compile or spills registers to memory. nvcc compiles, or else NVRTC, which every CUDA
    build of PyTorch brings; where neither is found, the command says so and checks nothing.
    """
    from dataclasses import asdict

    from tinkit.native.cache import KernelError
    from tinkit.ops.cuda_check import check_kernels

    try:
        found = check_kernels()
    except KernelError as error:
        if error.output:
            note_lines(error.output)
        raise
    if found is None:
        note("neither nvcc nor NVRTC was found: no CUDA kernel was checked")
        return
    if as_json:
        print_table("", [asdict(use) for use in found.kernels], as_json=True)
    else:
        print_table(f"Registers a thread, compiled by {found.compiler}", _by_kernel(found.kernels))
    spilling = [f"{use.kernel} (sm_{use.architecture})" for use in found.kernels if use.spills]
    if spilling:
        raise UserError(f"registers are spilled to memory by {', '.join(spilling)}")


def _by_kernel(kernels: Sequence[KernelUse]) -> list[dict[str, Any]]:
    """A row a kernel, its registers by architecture, and all bytes that it spills."""
    rows: dict[str, dict[str, Any]] = {}
    for use in kernels:
        row = rows.setdefault(use.kernel, {"kernel": use.kernel, "spilled bytes": 0})
        row[f"sm_{use.architecture}"] = use.registers
        row["spilled bytes"] += use.spill_stores + use.spill_loads
    return list(rows.values())
