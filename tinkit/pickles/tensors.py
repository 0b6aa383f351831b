"""Tensors as a pickle describes them: which numbers of the file, in which shape; :func:`checked_place` checks that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tinkit.pickles.names import Name, StandIn

_MOST_DIMENSIONS = 64


class PickleError(Exception):
    """The stream is damaged, or not of weights or scores."""


class RefusedError(PickleError):
    """The stream names something that has no business in weights or scores."""


@dataclass(frozen=True, eq=False)
class StorageRef:
    """The numbers of tensors: ``dtype`` by PyTorch's name, ``key`` in the file, ``start`` in ``numel`` items."""

    dtype: str
    key: str
    numel: int
    start: int = 0


@dataclass(frozen=True, eq=False)
class TensorRef:
    """A tensor of these numbers; nothing here is checked yet."""

    storage: StorageRef
    offset: Any
    shape: Any
    stride: Any
    dtype: str | None = None
    """Where the storage is of bytes."""


@dataclass(frozen=True, eq=False)
class OddTensor:
    """A tensor that is not plain: ``what`` it is, in words."""

    what: str


@dataclass(frozen=True, eq=False)
class PackedTensor(OddTensor):
    """A tensor of a plain pickle: ``data`` is a file of ``torch.save`` of its storage; nothing here is checked yet."""

    data: bytes
    offset: Any
    shape: Any
    stride: Any


_ODD = {
    "_rebuild_sparse_tensor": "a sparse tensor",
    "_rebuild_sparse_csr_tensor": "a sparse tensor",
    "_rebuild_qtensor": "a quantised tensor",
    "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_meta_tensor_no_storage": "a tensor without data (of the device 'meta')",
    "_rebuild_device_tensor_from_numpy": "a tensor of another device",
    "_rebuild_wrapper_subclass": "a tensor of another class",
}
_STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128", "UntypedStorage": "uint8", "QInt8Storage": "int8", "QUInt8Storage": "uint8",
    "QInt32Storage": "int32", "QUInt4x2Storage": "uint8", "QUInt2x4Storage": "uint8",
}  # fmt: skip
ITEM_BYTES = {
    "float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1,
    "bool": 1, "complex64": 8, "complex128": 16,
}  # fmt: skip
REBUILDERS = ("torch._utils", "torch._tensor")


def described_tensor(name: Name, arguments: tuple[Any, ...]) -> Any:
    """What PyTorch's function ``name``, of one of :data:`REBUILDERS`, would make.

    Raises :class:`RefusedError` for a function that makes no tensor, :class:`PickleError` and what a wrong number of
    arguments leads to.
    """
    if name.name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"):
        storage, offset, shape, stride, *more = arguments
        if isinstance(storage, StandIn) and len(storage.arguments) == 1 and isinstance(storage.arguments[0], bytes):
            return PackedTensor("a tensor of a plain pickle", storage.arguments[0], offset, shape, stride)
        if not isinstance(storage, StorageRef):
            raise PickleError("a tensor without a storage")
        dtype = more[2] if name.name.endswith("3") else None
        return TensorRef(storage, offset, shape, stride, dtype.name if isinstance(dtype, Name) else None)
    if name.name in (
        "_rebuild_parameter",
        "_rebuild_parameter_with_state",
        "_rebuild_device_tensor_from_cpu_tensor",
    ):
        return arguments[0]
    if name.name == "_rebuild_from_type_v2":
        function, kind, inner, _ = arguments
        made = described_tensor(function, inner)  # a subclass of plain numbers is these numbers
        return OddTensor(f"a tensor of the class {kind}") if isinstance(made, OddTensor) else made
    if name.name in _ODD:
        return OddTensor(_ODD[name.name])
    raise RefusedError(str(name))


def described_storage(kind: Any, key: Any, _location: Any, numel: Any, view: Any = None) -> StorageRef:
    """The storage of a persistent id, whose numbers the file has somewhere."""
    dtype = _STORAGES.get(kind.name) if isinstance(kind, Name) else None
    start = 0
    if view is not None:  # of the format before PyTorch 1.6: a part of another
        _, start, numel = view
    if dtype is None or not isinstance(numel, int) or not isinstance(start, int) or not isinstance(key, str | int):
        raise PickleError(f"a storage of an unknown kind: {kind}"[:200])
    return StorageRef(dtype, str(key), numel, start)


def checked_place(ref: TensorRef, items: int, itemsize: int, name: str) -> int | None:
    """Where in a storage of ``items`` items, of ``itemsize`` bytes, the tensor ``name`` begins; None for an empty one.

    Raises :class:`PickleError` unless its shape is one that a tensor can have, and lies within the storage.
    """
    start, end = ref.storage.start, ref.storage.start + ref.storage.numel
    if ref.dtype:
        end = start + ref.storage.numel // itemsize
    shape, stride, offset = ref.shape, ref.stride, ref.offset
    whole = isinstance(shape, tuple | list) and isinstance(stride, tuple | list) and len(shape) == len(stride)
    counts = [offset, *shape, *stride] if whole else [-1]
    if not all(type(count) is int and 0 <= count < 1 << 62 for count in counts) or len(shape) > _MOST_DIMENSIONS:
        raise PickleError(f"{name} has no shape that a tensor can have")
    empty = 0 in shape
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if not 0 <= start <= end <= items or (not empty and start + last >= end) or math.prod(shape) >= 1 << 62:
        raise PickleError(f"{name} lies outside of the numbers that the file has for it")
    return None if empty else start + int(offset)
