"""NVRTC, the compiler in every CUDA build of PyTorch: CUDA source to machine code, without nvcc and without a GPU.

Its library is called through ctypes, so nothing has to match PyTorch's CUDA version but the library that came with it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from ctypes import byref, c_char_p, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from pathlib import Path

import torch

from tinkit.native.cache import KernelError


@dataclass(frozen=True)
class Compiled:
    """What a compilation gave: a cubin or, for a card that NVRTC does not know, PTX; and what the compiler said."""

    data: bytes
    log: str


class Nvrtc:
    """One NVRTC library. Raises :class:`~tinkit.native.cache.KernelError` where the library reports a fault."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.nvrtcGetErrorString.restype = c_char_p
        major, minor, count = c_int(), c_int(), c_int()
        self._call("nvrtcVersion", byref(major), byref(minor))
        self._call("nvrtcGetNumSupportedArchs", byref(count))
        known = (c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", known)
        self.version = f"{major.value}.{minor.value}"
        self.architectures = sorted(known)
        """Compute capabilities times ten that it compiles for."""

    def target(self, capability: int) -> str:
        """What to compile for so that a card of ``capability`` (times ten) runs it: the card's own code if it is known.

        A newer card gets PTX, which its driver compiles. Raises if the card is older than all that are known.
        """
        if capability in self.architectures:
            return f"sm_{capability}"
        older = [known for known in self.architectures if known < capability]
        if not older:
            raise KernelError(
                f"NVRTC {self.version} compiles for sm_{self.architectures[0]} and later, not sm_{capability}"
            )
        return f"compute_{older[-1]}"

    def compile(self, source: Path, target: str, options: Sequence[str] = ()) -> Compiled:
        """Compile the file ``source`` for ``target`` (``sm_90`` to machine code, ``compute_90`` to PTX).

        Its own folder is searched for what it includes. Raises with the compiler's words in ``output``.
        """
        program = c_void_p()
        text, name = source.read_bytes(), os.fsencode(source.name)
        self._call("nvrtcCreateProgram", byref(program), c_char_p(text), c_char_p(name), 0, None, None)
        try:
            words = [f"--gpu-architecture={target}", "--std=c++17", f"--include-path={source.parent}", *options]
            array = (c_char_p * len(words))(*map(os.fsencode, words))
            failed = self._library.nvrtcCompileProgram(program, len(words), array)
            log = self._read(program, "nvrtcGetProgramLog").rstrip(b"\0").decode(errors="replace")
            if failed:
                raise KernelError(f"NVRTC {self.version} cannot compile {source.name} for {target}", output=log)
            kind = "nvrtcGetCUBIN" if target.startswith("sm_") else "nvrtcGetPTX"
            return Compiled(self._read(program, kind), log)
        finally:
            self._library.nvrtcDestroyProgram(byref(program))

    def _read(self, program: c_void_p, what: str) -> bytes:
        size = c_size_t()
        self._call(f"{what}Size", program, byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._call(what, program, buffer)
        return buffer.raw

    def _call(self, name: str, *arguments: object) -> None:
        if code := getattr(self._library, name)(*arguments):
            raise KernelError(f"{name}: {self._library.nvrtcGetErrorString(code).decode()}")


def find_nvrtc() -> Nvrtc | None:
    """The NVRTC that came with PyTorch, else the system's; None where there is none.

    ``TINKIT_NVRTC`` names another library.
    """
    for name in _candidates():
        try:
            _load_builtins(name)
            return Nvrtc(ctypes.CDLL(name))
        except (OSError, AttributeError):
            continue
    return None


def _load_builtins(name: str) -> None:
    """Load the second library that NVRTC needs, which lies beside it.

    When it first compiles, NVRTC looks for it by name alone. The folders of PyTorch's wheels are not searched then, but
    a library that the process has is found.
    """
    folder, file = os.path.split(name)
    if folder:
        pattern = "nvrtc-builtins64_*.dll" if file.endswith(".dll") else "libnvrtc-builtins.so.*"
        for builtins in sorted(Path(folder).glob(pattern)):
            ctypes.CDLL(str(builtins))


def _candidates() -> Iterator[str]:
    if chosen := os.environ.get("TINKIT_NVRTC"):
        yield chosen
    cuda = torch.version.cuda
    plain = f"libnvrtc.so.{cuda.split('.')[0]}" if cuda else "libnvrtc.so"
    pattern = "nvrtc64_*_0.dll" if sys.platform == "win32" else "libnvrtc.so*" if cuda is None else f"{plain}*"
    package = Path(torch.__file__).parent
    # Wheels of CUDA's libraries lie beside torch, under nvidia/; other builds keep them in torch's own folder.
    folders = [
        package / "lib",
        *sorted(package.parent.glob("nvidia/*/lib")),
        *sorted(package.parent.glob("nvidia/*/bin")),
    ]
    if home := os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH"):
        folders += [Path(home, "lib64"), Path(home, "bin")]
    for folder in folders:
        yield from map(str, sorted(folder.glob(pattern)))
    if sys.platform != "win32":
        yield plain  # where the system looks
