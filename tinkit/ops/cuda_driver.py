"""The CUDA driver, as far as a kernel needs it: load machine code, launch on a stream. Nothing here waits for a device.

The driver's library comes with the driver and is called through ctypes. Contexts are PyTorch's: the primary one of each
device.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_char_p, c_int, c_uint, c_void_p

from tinkit.native.cache import KernelError

_RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


class Driver:
    """The driver's library. Raises :class:`~tinkit.native.cache.KernelError` where it reports a fault."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._contexts: dict[int, c_void_p] = {}
        self._call("cuInit", c_uint(0))

    def capability(self, device: int) -> int:
        """The compute capability of a device, times ten."""
        handle, major, minor = self._device(device), c_int(), c_int()
        self._call("cuDeviceGetAttribute", byref(major), c_int(_MAJOR), handle)
        self._call("cuDeviceGetAttribute", byref(minor), c_int(_MINOR), handle)
        return 10 * major.value + minor.value

    def load(self, device: int, code: bytes) -> c_void_p:
        """A module of machine code or PTX on a device; it stays for the life of the process."""
        module = c_void_p()
        with self._on(device), self._uncaptured():
            self._call("cuModuleLoadData", byref(module), c_char_p(code))
        return module

    def function(self, device: int, module: c_void_p, name: str) -> c_void_p:
        """A kernel of a module by its name."""
        function = c_void_p()
        with self._on(device), self._uncaptured():
            self._call("cuModuleGetFunction", byref(function), module, c_char_p(name.encode()))
        return function

    def launch(
        self, device: int, function: c_void_p, blocks: int, threads: int, argument: ctypes.Structure, stream: int
    ) -> None:
        """Launch ``blocks`` blocks of ``threads`` threads on a stream of the device, with one structure to read."""
        arguments = (c_void_p * 1)(ctypes.addressof(argument))
        one = c_uint(1)
        with self._on(device):
            self._call(
                "cuLaunchKernel",
                function,
                *(c_uint(blocks), one, one),
                *(c_uint(threads), one, one),
                c_uint(0),
                c_void_p(stream),
                arguments,
                None,
            )

    def _device(self, device: int) -> c_int:
        handle = c_int()
        self._call("cuDeviceGet", byref(handle), c_int(device))
        return handle

    def _context(self, device: int) -> c_void_p:
        if device not in self._contexts:
            context = c_void_p()
            self._call("cuDevicePrimaryCtxRetain", byref(context), self._device(device))
            self._contexts[device] = context
        return self._contexts[device]

    @contextmanager
    def _on(self, device: int) -> Iterator[None]:
        """The device's context is current: a thread of autograd may have none, or another device's."""
        wanted, current = self._context(device), c_void_p()
        self._call("cuCtxGetCurrent", byref(current))
        if current.value == wanted.value:
            yield
            return
        self._call("cuCtxPushCurrent_v2", wanted)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent_v2", byref(c_void_p()))

    @contextmanager
    def _uncaptured(self) -> Iterator[None]:
        """What is loaded meanwhile neither joins nor breaks a CUDA graph that this thread may be capturing."""
        mode = c_int(_RELAXED)
        self._call("cuThreadExchangeStreamCaptureMode", byref(mode))
        try:
            yield
        finally:
            self._call("cuThreadExchangeStreamCaptureMode", byref(mode))

    def _call(self, name: str, *arguments: object) -> None:
        if code := getattr(self._library, name)(*arguments):
            said = c_char_p()
            self._library.cuGetErrorString(c_int(code), byref(said))
            raise KernelError(f"{name}: {(said.value or b'unknown error').decode()} ({code})")


def find_driver() -> Driver | None:
    """The driver of this machine; None where there is none, or no device."""
    try:
        return Driver(ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"))
    except (OSError, KernelError):
        return None
