"""`tinkit doctor`: what is installed and what will run."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from tinkit.cli.options import JsonOption
from tinkit.cli.parser import examples
from tinkit.errors import UserError
from tinkit.terminal import note, print_table

EPILOG = examples("tinkit doctor", "tinkit doctor --json", "tinkit doctor --bench --seconds 60")

_PACKAGES = ("torch", "timm", "torchvision", "av", "simplejpeg", "pyarrow", "scikit-learn", "tensorboard")


def doctor(
    *,
    bench: Annotated[
        bool, typer.Option("--bench", help="Time what tinkit chooses on this machine, one choice after the other.")
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=0, help="With --bench: about how long to time, once everything is warm.")
    ] = 20,
    as_json: JsonOption = False,
) -> None:
    """Look at this machine and the installed packages; exits with 1 when something that tinkit needs does not work.

    With --bench: a TIN of ResNet-50 tests a clip of 8 frames of 224 px, first as PyTorch would by itself, then with one
    more of tinkit's choices at a time.
    """
    if bench:
        from tinkit.engine.measure.machine import choice_rows, measure_choices

        print_table("", choice_rows(measure_choices(seconds)), as_json=as_json)
        return
    checks: list[tuple[str, Callable[[], str]]] = [
        ("python", platform.python_version),
        *((name, _version_of(name)) for name in _PACKAGES),
        ("import timm", _timm),
        ("device", _device),
        ("operator", _operator),
        ("native kernels", _native),
        ("fused convolutions", _fused),
        ("CUDA kernels", _cuda),
        ("large buffers", _buffers),
        ("video decoding", _video),
        ("shipped files", _shipped),
        ("TINKIT_DATA", _data),
        ("shared memory", _shared_memory),
        ("disk", lambda: _free(".")),
    ]
    _say_what_takes_long()
    rows: list[dict[str, Any]] = []
    for name, check in checks:
        try:
            rows.append({"what": name, "works": "yes", "found": check()})
        except UserError as error:
            rows.append(
                {"what": name, "works": "no", "found": "; ".join(line.strip() for line in str(error).splitlines())}
            )
        except Exception as error:  # whatever a broken installation raises is what a doctor is asked for
            rows.append({"what": name, "works": "no", "found": f"{type(error).__name__}: {error}"})
    print_table("", rows, as_json=as_json)
    if any(row["works"] == "no" for row in rows):
        raise typer.Exit(1)


def _say_what_takes_long() -> None:
    """On a machine without kernels, that they are compiled now: half a minute of silence looks like a fault."""
    from tinkit.native.cache import KernelError, kernel_folder

    with suppress(KernelError):  # the row of the kernels shows it
        if os.environ.get("TINKIT_NATIVE") != "0" and not any(kernel_folder().glob("cpu-*")):
            note("compiling the CPU kernels, once for this machine: usually 15 to 90 seconds")


def _version_of(name: str) -> Callable[[], str]:
    def version() -> str:
        from importlib.metadata import version as installed_version

        return installed_version(name)

    return version


def _timm() -> str:
    from tinkit.timm_import import import_timm

    return f"{len(import_timm().list_models())} models"


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return f"CUDA {torch.version.cuda}: {', '.join(names)}"
    return f"CPU, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


def _operator(device: str = "cpu") -> str:
    """Run the operator on numbers whose answer is known: an offset of one frame shows the frame before."""
    import torch

    from tinkit.ops import interlace

    x = torch.arange(4.0, device=device).view(4, 1, 1, 1)
    y = interlace(x, torch.ones(1, 1, device=device), torch.ones(1, 4, 1, device=device), 1)
    if y.flatten().tolist() != [0.0, 0.0, 1.0, 2.0]:
        raise UserError(f"interlace gave {y.flatten().tolist()}", expected="[0, 0, 1, 2]")
    return "interlace gives what it should"


def _native() -> str:
    from tinkit.ops.native import state

    native = state()
    if not native.loaded:
        return f"plain PyTorch runs: {native.problem}"
    made = "" if native.seconds is None else f", compiled in {native.seconds:.1f} s by {native.compiler}"
    return f"CPU, {native.level}: {native.file or 'kept nowhere'}{made}"


def _fused() -> str:
    import torch

    from tinkit.ops.native import state
    from tinkit.ops.post_ops import why_not

    if not state().loaded:
        return f"not used: they need the native kernels ({state().problem})"
    reasons = {"float32": why_not(torch.float32), "bfloat16": why_not(torch.bfloat16)}
    parts = [name if reason is None else f"{name} not used: {reason}" for name, reason in reasons.items()]
    return f"{'; '.join(parts)}: in tests on a CPU, by PyTorch's operators mkldnn::_convolution_pointwise"


def _cuda() -> str:
    from tinkit.native.cache import kernel_folder
    from tinkit.ops import cuda

    kernels = cuda.state()
    if not kernels.loaded:
        return f"not used: {kernels.problem}"
    return f"{_operator('cuda')}; {kernels.compiler} compiles for the card at first use, into {kernel_folder()}"


def _buffers() -> str:
    from tinkit.pages import asks_for_huge_pages, count_faults

    faults = count_faults()
    if faults.kept is None:
        return "not known on this system"
    counts = f"{faults.main} page faults to fill 64 MiB again, {faults.worker} in a worker thread"
    if faults.kept:
        huge = ", in huge pages" if asks_for_huge_pages() else ""
        return f"kept{huge}: {counts} (TINKIT_KEEP_BUFFERS=0 turns it off)"
    off = os.environ.get("TINKIT_KEEP_BUFFERS") == "0"
    return f"given back, {'by TINKIT_KEEP_BUFFERS=0' if off else 'as this C library has it'}: {counts}"


def _video() -> str:
    import av

    missing = [name for name in ("h264", "vp9", "mpeg4") if name not in av.codecs_available]
    if missing:
        raise UserError(f"PyAV lacks the codecs {', '.join(missing)}", fix="pip install --force-reinstall av")
    return "h264, vp9, mpeg4"


def _shipped() -> str:
    from tinkit.files.shipped import shipped, shipped_names

    counts = [f"{len(shipped_names(kind))} {kind}" for kind in ("recipes", "ensembles", "submissions")]
    return f"{', '.join(counts)}, kernels at {shipped('kernels')}"


def _data() -> str:
    folder = os.environ.get("TINKIT_DATA")
    if folder is None:
        return "not set: give --data DIR to commands"
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such folder", fix="make it, or unset TINKIT_DATA")
    return folder


def _free(folder: str) -> str:
    return f"{shutil.disk_usage(folder).free / 2**30:.1f} GiB free"


def _shared_memory() -> str:
    """What is free, and whether that is enough for a training on all GPUs."""
    import torch

    from tinkit.engine.distributed.shared_memory import SEGMENTS, shared_memory_warning

    if not SEGMENTS.is_dir():
        return "none here"
    return shared_memory_warning(torch.cuda.device_count()) or _free(str(SEGMENTS))
