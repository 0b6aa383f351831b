"""NumPy's arrays out of what a pickle describes: the array's own bytes, or a tensor's, checked against its shape.

Nothing is rebuilt by NumPy or PyTorch. A tensor in a plain pickle carries a file of ``torch.save`` of its numbers,
which is followed in the same way (stricter than ``weights_only=True``, and without PyTorch).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit.pickles.names import Name, StandIn
from tinkit.pickles.tensors import (
    ITEM_BYTES,
    OddTensor,
    PackedTensor,
    PickleError,
    StorageRef,
    TensorRef,
    checked_place,
)
from tinkit.pickles.torch_file import TorchFile, open_torch_bytes

_DEEPEST = 32  # levels of lists and dictionaries
_TYPES = re.compile(r"[<>=|]?([biufSU?]\d{0,9}|O\d?)")
_SIMPLE = (str, bytes, int, float, bool, type(None))
Array = NDArray[Any]


class Unknown:
    """In the place of an object that is neither a container, a number, text nor an array."""


UNKNOWN = Unknown()


@dataclass(frozen=True, eq=False)
class LazyArray:
    """A tensor of a plain pickle, which is followed when it is wanted: most are not."""

    tensor: PackedTensor

    def read(self) -> Array:
        """Its numbers. Raises :class:`~tinkit.pickles.tensors.PickleError`."""
        return _of_packed(self.tensor)


class Plain:
    """Turns the described content of ``file`` (None: of a plain pickle) into containers, numbers, text and arrays.

    Tensors of a plain pickle are :class:`LazyArray`. What is there twice is turned once, so that the work is bounded by
    the file's length.
    """

    def __init__(self, file: TorchFile | None = None) -> None:
        self._file = file
        self._done: dict[int, tuple[Any, Any]] = {}
        self._storages: dict[tuple[str, str], Array] = {}

    def of(self, value: Any, depth: int = 0) -> Any:
        """``value`` as plain content; :data:`UNKNOWN` for any other object.

        Raises :class:`~tinkit.pickles.tensors.PickleError` for arrays and tensors that are not what they say, and for
        what is nested more than a few levels deep.
        """
        if isinstance(value, _SIMPLE):
            return value
        if isinstance(value, bytearray):
            return bytes(value)
        known = self._done.get(id(value))
        if known is None:
            if depth > _DEEPEST:
                raise PickleError(f"it is nested more than {_DEEPEST} levels deep, or holds itself")
            known = self._done[id(value)] = (value, self._new(value, depth + 1))  # kept, so that its id stays its own
        return known[1]

    def _new(self, value: Any, depth: int) -> Any:
        match value:
            case StandIn():
                return self._of_stand_in(value, depth)
            case dict():
                return {key: self.of(item, depth) for key, item in value.items() if isinstance(key, _SIMPLE)}
            case list() | tuple():
                return [self.of(item, depth) for item in value]
            case TensorRef():
                return self._of_tensor(value)
            case PackedTensor():
                return LazyArray(value)
            case OddTensor():
                raise PickleError(f"it holds {value.what}")
        return UNKNOWN

    def _of_stand_in(self, value: StandIn, depth: int) -> Any:
        name = value.name.name if value.name is not None else ""
        match name, value.arguments, value.state:
            case "_reconstruct", _, (_, shape, dtype, fortran, data):
                return self._filled(data, dtype, shape, "F" if fortran is True else "C", depth)
            case "_frombuffer", (data, dtype, shape, order), _:
                return self._filled(data, dtype, shape, "F" if order == "F" else "C", depth)
            case "scalar", (dtype, data), _:
                made = self._filled(data, dtype, (), "C", depth)
                return made[()].item() if isinstance(made, np.ndarray) else UNKNOWN
        # a class of configurations, or of results, holds what a dictionary does
        return {key: self.of(item, depth) for key, item in value.items() if isinstance(key, _SIMPLE)} or UNKNOWN

    def _filled(self, data: Any, dtype: Any, shape: Any, order: str, depth: int) -> Any:
        """The array, or a list for one of objects."""
        kind = _dtype(dtype)
        count = _count(shape)
        if kind.kind == "O":
            if not isinstance(data, list | tuple) or len(data) != count or len(shape) > 1:
                raise PickleError("an array of objects that is not as long as it says, or has several dimensions")
            return [self.of(item, depth) for item in data]
        if isinstance(data, str):
            data = data.encode("latin-1", errors="replace")  # as Python 2 wrote bytes
        if not isinstance(data, bytes | bytearray) or len(data) != count * kind.itemsize:
            raise PickleError(f"an array of {kind} whose bytes are not as many as its shape has")
        if not count:
            return np.empty(shape, kind)
        return np.frombuffer(bytes(data), kind).reshape(shape, order="F" if order == "F" else "C")

    def _of_tensor(self, ref: TensorRef) -> Array:
        if self._file is None:
            raise PickleError("a tensor whose numbers are not in the file")
        key = (ref.storage.key, ref.storage.dtype)
        if key not in self._storages:
            self._storages[key] = self._file.numbers(ref.storage)
        return _view(ref, self._storages[key])


def _of_packed(tensor: PackedTensor) -> Array:
    inner = open_torch_bytes(tensor.data)
    if not isinstance(inner.content, StorageRef):
        raise PickleError("a tensor whose own pickle holds no storage")
    ref = TensorRef(inner.content, tensor.offset, tensor.shape, tensor.stride)
    return _view(ref, inner.numbers(inner.content))


def _view(ref: TensorRef, data: NDArray[np.uint8]) -> Array:
    """The tensor as an array; bfloat16, which NumPy has not, as float32."""
    dtype = ref.dtype or ref.storage.dtype
    itemsize = ITEM_BYTES.get(dtype)
    if itemsize is None:
        raise PickleError(f"a tensor of an unknown type: {dtype}"[:200])
    items = np.frombuffer(data[: len(data) // itemsize * itemsize], "<u2" if dtype == "bfloat16" else dtype)
    place = checked_place(ref, len(items), itemsize, "a tensor")
    if place is None:
        return np.empty(tuple(ref.shape), np.float32 if dtype == "bfloat16" else dtype)
    strides = [step * items.itemsize for step in ref.stride]
    found = np.lib.stride_tricks.as_strided(items[place:], tuple(ref.shape), strides, writeable=False)
    return (found.astype(np.uint32) << 16).view(np.float32) if dtype == "bfloat16" else found


def _dtype(described: Any) -> np.dtype[Any]:
    """The type of an array's items, of numbers, text, bytes or objects."""
    if isinstance(described, Name) and described.module == "numpy":
        text, state = described.name, None
    elif isinstance(described, StandIn) and described.arguments:
        text, state = described.arguments[0], described.state
    else:
        text, state = None, None
    if not isinstance(text, str) or not _TYPES.fullmatch(text):
        raise PickleError(f"an array of an unknown type: {text}"[:200])
    found = np.dtype(text)
    order = state[1] if isinstance(state, tuple) and len(state) > 4 else None
    if state is not None and (order not in ("<", ">", "=", "|") or state[2] is not None or state[3] is not None):
        raise PickleError("an array of records, which holds no scores")
    return found.newbyteorder(order) if order in ("<", ">") else found


def _count(shape: Any) -> int:
    if not isinstance(shape, tuple | list) or not all(type(size) is int and 0 <= size < 1 << 40 for size in shape):
        raise PickleError("an array without a shape")
    return math.prod(shape)
