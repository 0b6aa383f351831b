"""Tensors and a JSON header in one safetensors file that ends in a checksum of itself.

Any reader of safetensors opens it. The checksum is the last tensor, 32 bytes: the SHA-256 of every byte before it, so
that no byte of the file can change unnoticed. Importing this needs no PyTorch: completion reads headers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tinkit.errors import UserError
from tinkit.files.atomic import atomic_path
from tinkit.files.hashes import sha256_text
from tinkit.files.safetensors_layout import LayoutError, parse_json, read_layout

if TYPE_CHECKING:
    from torch import Tensor

_CHECKSUM = "tinkit.checksum"
_BYTES = hashlib.sha256().digest_size
_KEY = "tinkit"
_BEGINNING = f'{{"__metadata__":{{"{_KEY}":'.encode()  # of the layout, behind its length
# safetensors' names of the types that a model or an optimiser holds
_DTYPES = {
    "float64": "F64",
    "int64": "I64",
    "float32": "F32",
    "int32": "I32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int16": "I16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}


def write_tensor_file(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write ``tensors`` (on the CPU) and ``header`` (JSON) atomically and flushed to the disk.

    Raises OSError with the system's number when the disk is full or failing; ``path`` then holds what it held.
    """
    # Written here and not by the library, which would need a second pass for the checksum, holds Python's lock while
    # it writes (before version 0.8: training would wait) and hides the number of the system's error in a text.
    import torch

    # Tensors must lie at multiples of their items' size: the widest first.
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    text = json.dumps(header)
    layout: dict[str, Any] = {"__metadata__": {_KEY: text, "sha256": sha256_text(text)}}
    end = 0
    for name in order:
        tensor = tensors[name]
        start, end = end, end + tensor.numel() * tensor.element_size()
        dtype = _DTYPES[str(tensor.dtype).removeprefix("torch.")]
        layout[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
    layout[_CHECKSUM] = {"dtype": "U8", "shape": [_BYTES], "data_offsets": [end, end + _BYTES]}
    encoded = json.dumps(layout, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    hashed = hashlib.sha256()
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            for piece in (len(encoded).to_bytes(8, "little"), encoded):
                file.write(piece)
                hashed.update(piece)
            for name in order:
                data = tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data
                file.write(data)
                hashed.update(data)
            file.write(hashed.digest())
    except OSError as error:
        error.filename = error.filename or str(path)  # a write knows no name, and people need one
        raise


def read_tensor_file(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the header, after the checksum is found right.

    Raises :class:`~tinkit.errors.UserError` when the file is missing, damaged or not written by this module.
    """
    from safetensors.torch import load

    with _open(path) as file:
        header = _read_header(path, file)
        file.seek(0)
        data = file.read()
    if hashlib.sha256(memoryview(data)[:-_BYTES]).digest() != data[-_BYTES:]:
        raise _damaged(path, "its checksum is wrong")
    tensors = load(data)
    del tensors[_CHECKSUM]
    return tensors, header


def check_tensor_file(path: Path) -> dict[str, Any]:
    """The header, after the checksum of the whole file is found right; little memory. Raises as reading does."""
    with _open(path) as file:
        header = _read_header(path, file)
        left = file.seek(0, 2) - _BYTES
        file.seek(0)
        hashed = hashlib.sha256()
        while piece := file.read(min(left, 1 << 24)):
            hashed.update(piece)
            left -= len(piece)
        if hashed.digest() != file.read():
            raise _damaged(path, "its checksum is wrong")
    return header


def read_tensor_header(path: Path) -> dict[str, Any]:
    """The header alone, which has a checksum of its own. Raises as reading does."""
    with _open(path) as file:
        return _read_header(path, file)


def checksum_of(path: Path) -> str:
    """The checksum that the file ends in, as hexadecimal digits, without a look at the rest."""
    with _open(path) as file:
        file.seek(-min(_BYTES, file.seek(0, 2)), 2)
        return file.read().hex()


def is_tensor_file(path: Path) -> bool:
    """Whether the file begins as this module's do; the rest of it may be damaged."""
    try:
        with path.open("rb") as file:
            return file.read(8 + len(_BEGINNING))[8:] == _BEGINNING
    except OSError:
        return False


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise UserError("is missing", file=path, expected="a tinkit checkpoint") from None
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", file=path, expected="a tinkit checkpoint") from error


def _read_header(path: Path, file: BinaryIO) -> dict[str, Any]:
    """The header of an open file, checked against the header's checksum, and every tensor's place against the file."""
    try:
        layout = read_layout(file)
    except LayoutError as error:
        raise _damaged(path, str(error)) from None
    text, checksum = layout.metadata.get(_KEY), layout.metadata.get("sha256")
    # a changed byte can make one of these names another, not both
    if _CHECKSUM not in layout.tensors and checksum is None:
        if text is not None:
            raise UserError("is a checkpoint of an older tinkit", file=path, fix="train again with this version")
        raise UserError("is not a tinkit checkpoint", file=path, fix="load foreign weights with --tune-from")
    if text is None or sha256_text(text) != checksum:
        raise _damaged(path, "its header's checksum is wrong")
    if layout.tensors.get(_CHECKSUM) != ("U8", (_BYTES,)) or layout.order[-1] != _CHECKSUM:
        raise _damaged(path, "it does not end in a checksum")
    strange = next((name for name, (dtype, _) in layout.tensors.items() if dtype not in _DTYPES.values()), None)
    if strange is not None:
        raise _damaged(path, f"{strange} is of the type {layout.tensors[strange][0]}, which no checkpoint has")
    return _parsed(path, text)


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        header = parse_json(text)
    except LayoutError as error:
        raise _damaged(path, str(error)) from None
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not a JSON object")
    return header


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"is damaged: {why}", file=path, fix="use another checkpoint of the run")
