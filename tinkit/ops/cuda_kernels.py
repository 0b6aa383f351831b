"""The kernels of ``kernels/cuda``: compiled for the card at hand when first needed, kept, loaded and launched."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import suppress
from ctypes import c_int, c_longlong, c_void_p
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from tinkit.files.shipped import shipped
from tinkit.native.cache import KernelError, digest, keep
from tinkit.ops.cuda_driver import Driver, find_driver
from tinkit.ops.nvrtc import Nvrtc, find_nvrtc

BLOCK = 256
"""Threads a block, as kernels/cuda/device.h has it."""

_VALUES = {torch.float32: "Float", torch.float64: "Double", torch.float16: "Half", torch.bfloat16: "Bfloat16"}
_LANES = {torch.float32: (4,), torch.float64: (2,), torch.float16: (8, 4), torch.bfloat16: (8, 4)}
_NARROW = 2**30  # elements that 32 bits count, with room for what lies past the end of the last block
_MOST_BLOCKS = 2**31 - 1


class Arguments(ctypes.Structure):
    """``tinkit::Arguments`` of kernels/cuda/arguments.h, field by field; what is not set is zero."""

    _fields_ = (
        *((name, c_void_p) for name in ("source", "features", "offset", "gain", "target", "saved", "partial")),
        *((name, c_void_p) for name in ("grad_offset", "grad_gain")),
        ("weights", c_void_p * 8),
        *((name, c_longlong) for name in ("rows", "moving", "run", "rest")),
        *((name, c_longlong) for name in ("source_pitch", "features_pitch", "target_pitch", "saved_pitch")),
        *((name, c_longlong) for name in ("blocks", "slices", "area", "fold")),
        *((name, c_int) for name in ("clips", "frames", "groups", "transposed", "rest_mode", "team")),
    )


class Access(NamedTuple):
    """How kernels touch features: what they are stored in, how many an access moves, and 64-bit indices or 32-bit ones.

    Kernels are compiled for one such way; its name is a part of theirs.
    """

    dtype: torch.dtype
    lanes: int
    wide: bool

    @property
    def definitions(self) -> dict[str, str]:
        """The macros that ask kernels/cuda/kernels.cu for this way."""
        index = "Wide64" if self.wide else "Narrow32"
        return {"TINKIT_VALUE": _VALUES[self.dtype], "TINKIT_LANES": str(self.lanes), "TINKIT_INDEX": index}

    def kernel(self, name: str) -> str:
        """What the kernel ``name`` is called for this way."""
        return "_".join((name, *self.definitions.values()))


def access_for(tensors: tuple[Tensor, ...], lengths: tuple[int, ...]) -> Access:
    """The widest access that the addresses of ``tensors`` and all ``lengths`` allow: 16 bytes, 8, or one value.

    All ``tensors`` are of one dtype; lengths count elements.
    """
    dtype, size = tensors[0].dtype, tensors[0].element_size()
    fitting = (
        lanes
        for lanes in _LANES[dtype]
        if all(length % lanes == 0 for length in lengths)
        and all(tensor.data_ptr() % (lanes * size) == 0 for tensor in tensors)
    )
    return Access(dtype, next(fitting, 1), max(tensor.numel() for tensor in tensors) >= _NARROW)


def all_accesses() -> Iterator[Access]:
    """Every way that there are kernels for."""
    for dtype, lanes in _LANES.items():
        for count in (*lanes, 1):
            yield from (Access(dtype, count, wide) for wide in (False, True))


class Launcher(Protocol):
    """What runs kernels: a device, or in the tests a host build of the same source."""

    def launch(self, name: str, access: Access, blocks: int, arguments: Arguments, device: torch.device) -> None:
        """Run ``blocks`` blocks of a kernel on the device's current stream."""


class DeviceKernels:
    """Kernels on CUDA devices. Each way of access is compiled and loaded for a device when first asked for."""

    def __init__(self, driver: Driver, nvrtc: Nvrtc, source: Path) -> None:
        self._driver, self._nvrtc, self._source = driver, nvrtc, source
        self._functions: dict[tuple[int, str], c_void_p] = {}
        self._modules: dict[tuple[int, Access], c_void_p] = {}
        self._one_at_a_time = threading.Lock()
        self._key = digest(nvrtc.version, *_source_texts(source))
        self.compiler = f"NVRTC {nvrtc.version}"
        """Who compiles them."""

    def launch(self, name: str, access: Access, blocks: int, arguments: Arguments, device: torch.device) -> None:
        """Launch on PyTorch's current stream of ``device``; compiles first where that has not been done, in a second.

        Raises :class:`~tinkit.native.cache.KernelError` if the compiler or the driver refuses.
        """
        if blocks > _MOST_BLOCKS:
            raise KernelError(f"{name}: {blocks} blocks are more than a launch can have")
        index = torch.cuda.current_device() if device.index is None else device.index
        function = self.function(index, name, access)
        stream = torch.cuda.current_stream(index).cuda_stream
        self._driver.launch(index, function, blocks, BLOCK, arguments, stream)

    def function(self, device: int, name: str, access: Access) -> c_void_p:
        """A kernel, ready on a device."""
        kernel = access.kernel(name)
        found = self._functions.get((device, kernel))
        if found is None:
            with self._one_at_a_time:
                module = self._module(device, access)
                found = self._functions[device, kernel] = self._driver.function(device, module, kernel)
        return found

    def _module(self, device: int, access: Access) -> c_void_p:
        if (device, access) not in self._modules:
            self._modules[device, access] = self._load(device, access)
        return self._modules[device, access]

    def _load(self, device: int, access: Access) -> c_void_p:
        """The module from the cache or compiled; a kept one that the driver refuses is made again, once."""
        target = self._nvrtc.target(self._driver.capability(device))
        key = f"cuda-{access.kernel(target)}-{self._key}".lower()

        def build() -> bytes:
            return self._nvrtc.compile(self._source, target, compile_options(self._source, access)).data

        kept = keep(key, ".bin", build)
        try:
            return self._driver.load(device, kept.data)
        except KernelError:
            if kept.made or kept.file is None:
                raise
            with suppress(OSError):
                kept.file.unlink()
            return self._driver.load(device, keep(key, ".bin", build).data)


def open_kernels() -> DeviceKernels | None:
    """The kernels for this machine's CUDA devices, tried on the current one; None where there is no device.

    Raises :class:`~tinkit.native.cache.KernelError` if there is a device and they cannot be compiled or loaded for it.
    """
    if torch.version.cuda is None or not torch.cuda.is_available():
        return None
    driver, nvrtc = find_driver(), find_nvrtc()
    if driver is None:
        raise KernelError("the CUDA driver's library (libcuda) was not found")
    if nvrtc is None:
        raise KernelError("NVRTC was not found, which CUDA builds of PyTorch bring (TINKIT_NVRTC names its library)")
    kernels = DeviceKernels(driver, nvrtc, cuda_source())
    kernels.function(torch.cuda.current_device(), "move", Access(torch.float32, 4, False))
    return kernels


def cuda_source() -> Path:
    """The file that all kernels are compiled from."""
    return shipped("kernels") / "cuda" / "kernels.cu"


def compile_options(source: Path, access: Access | None) -> list[str]:
    """Options of nvcc and NVRTC besides the architecture: where headers are, and which kernels (None: all)."""
    chosen = {} if access is None else access.definitions
    return [f"-I{source.parent.parent}", *(f"-D{name}={value}" for name, value in chosen.items())]


def _source_texts(source: Path) -> Iterator[str | bytes]:
    for file in (*sorted(source.parent.parent.glob("*.h")), *sorted(source.parent.iterdir())):
        if file.is_file():
            yield from (file.name, file.read_bytes())
