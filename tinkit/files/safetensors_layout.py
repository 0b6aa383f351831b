"""The header of a safetensors file, held against the file before anything believes it. Needs no PyTorch.

The library checks much of this; what it does not (names that no terminal can show, two entries of one name, a header of
a hundred megabytes, metadata that is not text) is checked here, and every fault has its own message.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, BinaryIO

MOST_BYTES = 1 << 24  # of the header: a hundred thousand tensors
_MOST_DIMENSIONS = 64
_BITS = {
    "F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16, "U16": 16,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I8": 8, "U8": 8, "BOOL": 8, "C64": 64,
}  # fmt: skip


class LayoutError(ValueError):
    """A header that is damaged, or made to mislead."""


@dataclass(frozen=True)
class Layout:
    """``tensors``: {name: (dtype by the format's name, shape)}; ``order``: their names as they lie in the file."""

    metadata: dict[str, str]
    tensors: dict[str, tuple[str, tuple[int, ...]]]
    order: tuple[str, ...]


def read_layout(file: BinaryIO) -> Layout:
    """The header of an open file, which is left anywhere. Raises :class:`LayoutError`."""
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or not 0 < length <= size - 8:
        raise LayoutError(f"it ends after {size} bytes")
    if length > MOST_BYTES:
        raise LayoutError(f"its header claims {length:,} bytes, and at most {MOST_BYTES:,} are read")
    header = parse_json(file.read(length))
    if not isinstance(header, dict):
        raise LayoutError("its header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise LayoutError("its metadata is not text by name")
    return _layout(metadata, header, size - 8 - length)


def parse_json(data: bytes | str) -> Any:
    """JSON in which no name is there twice. Raises :class:`LayoutError`."""
    try:
        return json.loads(data, object_pairs_hook=_once)
    except LayoutError:
        raise
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, an integer of 4,300 digits; a deep nest
        raise LayoutError("its header cannot be read") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise LayoutError("its header has two entries of one name")
    return found


def _layout(metadata: dict[str, str], header: dict[str, Any], size: int) -> Layout:
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    places = []
    for name, entry in header.items():
        if not name.isprintable():  # control characters and halves of surrogate pairs
            raise LayoutError(f"it has an entry whose name is not text: {name[:80]!a}")
        dtype, shape, (start, end) = _entry(name, entry)
        if 8 * (end - start) != math.prod(shape) * _BITS[dtype]:
            raise LayoutError(f"{name} is not as long as its shape {list(shape)} of {dtype}")
        tensors[name] = (dtype, shape)
        places.append((start, end, name))
    at, places = 0, sorted(places)
    for start, end, name in places:
        if start != at:
            raise LayoutError(f"{name} does not begin where the tensor before it ends")
        at = end
    if at != size:
        raise LayoutError(f"its tensors are {at} bytes, and {size} follow the header")
    return Layout(metadata, tensors, tuple(name for _, _, name in places))


def _entry(name: str, entry: Any) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    """Type, shape and place of a tensor, each of the right kind; its place may still be anywhere."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise LayoutError(f"the entry of {name} is not dtype, shape and data_offsets")
    dtype, shape, place = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise LayoutError(f"{name} is of the type {str(dtype)[:40]!r}, which is not known here")
    if not _counts(shape) or len(shape) > _MOST_DIMENSIONS:
        raise LayoutError(f"{name} has no shape that a tensor can have")
    if not _counts(place) or len(place) != 2 or place[0] > place[1]:
        raise LayoutError(f"{name} has no place that a tensor can have")
    return dtype, tuple(shape), (place[0], place[1])


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 1 << 62 for one in value)
