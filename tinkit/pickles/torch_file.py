"""Files of ``torch.save``, new and old, and bare pickles: what they describe, and the tensors that are asked for.

A file may come from anywhere. Its pickle is interpreted, never executed
(:mod:`tinkit.pickles.machine`); nothing is extracted by name; every size that it claims is checked
against the file before memory is allocated for it.
"""

from __future__ import annotations

import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tinkit.pickles.machine import MOST_STEPS, follow
from tinkit.pickles.tensors import ITEM_BYTES, PickleError, StorageRef

Bytes = NDArray[np.uint8]

_MAGIC = 0x1950A86A20F9469CFC6C  # that PyTorch's format before version 1.6 begins with


@dataclass(frozen=True)
class TorchFile:
    """What a file holds: ``content`` has descriptions where tensors are; ``numbers`` reads the bytes of a storage."""

    content: Any
    numbers: Callable[[StorageRef], Bytes]


class BarePickleError(PickleError):
    """The file is a pickle that ``torch.save`` did not write; ``content`` is what it describes."""

    def __init__(self, content: Any) -> None:
        super().__init__("it is a pickle that torch.save did not write")
        self.content = content


def open_torch_file(path: Path, *, most_steps: int = MOST_STEPS) -> TorchFile:
    """What the file describes, in at most ``most_steps`` instructions of its pickle; no tensor is read yet.

    Raises :class:`~tinkit.pickles.tensors.PickleError` for a damaged file and for one of something
    else, OSError for one that cannot be read.
    """
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    return _open_zip(path, most_steps) if zipped else _open_old(lambda: path.open("rb"), most_steps)


def open_torch_bytes(data: bytes) -> TorchFile:
    """The same of a file in memory, in the format before PyTorch 1.6."""
    return _open_old(lambda: io.BytesIO(data), MOST_STEPS)


def _open_zip(path: Path, most_steps: int) -> TorchFile:
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path.stat().st_size)
    # what the standard library raises for damaged directories, sizes that overflow among it
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError, struct.error, EOFError) as error:
        raise PickleError(f"{type(error).__name__}: {error}") from error
    roots = [name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(roots) != 1:
        raise PickleError("a zip archive that torch.save did not write")
    root = roots[0]
    order = members.get(f"{root}byteorder")
    if order is not None and _read(path, order).tobytes() != sys.byteorder.encode():
        raise PickleError(f"its numbers are in another byte order than this machine's ({sys.byteorder} endian)")
    content = follow(_read(path, members[f"{root}data.pkl"]).tobytes(), most_steps=most_steps)

    def numbers(storage: StorageRef) -> Bytes:
        member = members.get(f"{root}data/{storage.key}")
        if member is None or member.file_size != storage.numel * ITEM_BYTES[storage.dtype]:
            raise PickleError(f"its member data/{storage.key} is not as long as the file says elsewhere")
        return _read(path, member)

    return TorchFile(content, numbers)


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The members by name, if together they are no larger than the file: nothing compressed, doubled or overlapping."""
    _refuse_programs(archive.namelist())
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise PickleError("its members are compressed, and torch.save compresses nothing")
        if member.flag_bits & 1:
            raise PickleError("its members are encrypted")
        if member.filename in members:
            raise PickleError(f"it has two members of one name: {member.filename[:100]!r}")
        members[member.filename] = member
    if sum(member.file_size for member in members.values()) > size:
        raise PickleError("its members claim to be larger than the file")
    return members


def _refuse_programs(names: list[str]) -> None:
    if any(name.endswith("/constants.pkl") and name.count("/") == 1 for name in names):
        raise PickleError("it is a program of TorchScript (torch.jit.save): save its state_dict() with torch.save")
    if any(name.endswith("archive_format") for name in names):
        raise PickleError("it is a program of torch.export: save the state_dict() of its module with torch.save")


def _read(path: Path, member: zipfile.ZipInfo) -> Bytes:
    """The bytes of a member that is stored as it is."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        head = file.read(30)
        if len(head) < 30 or head[:4] != b"PK\x03\x04":
            raise PickleError(f"its member {member.filename[:100]!r} is not where its directory says")
        name, extra = struct.unpack("<HH", head[26:])
        file.seek(name + extra, 1)
        data = _exactly(file, member.file_size)
    # PyTorch writes zeros for sums where a setting asks for that
    if member.CRC and zlib.crc32(data.data) != member.CRC:
        raise PickleError(f"the checksum of its member {member.filename[:100]!r} is wrong")
    return data


def _exactly(file: BinaryIO, size: int) -> Bytes:
    """The next ``size`` bytes; the file's length is asked before memory is taken for them."""
    here = file.tell()
    left = file.seek(0, 2) - here
    file.seek(here)
    if not 0 <= size <= left:
        raise PickleError(f"it ends {size - left} bytes early")
    data = np.empty(size, np.uint8)  # which writes no zeros first
    if size and file.readinto(data.data) != size:  # type: ignore[attr-defined]  # every file that open() gives has it
        raise PickleError("it ended while it was read")
    return data


def _open_old(again: Callable[[], BinaryIO], most_steps: int) -> TorchFile:
    """The format before PyTorch 1.6: pickles one after the other, and then the storages. ``again`` opens it."""
    with again() as file:
        begins = follow(file, most_steps=most_steps)
        if begins != _MAGIC:
            raise BarePickleError(begins)
        _, about = follow(file), follow(file)
        sizes: dict[str, int] = {}
        content, keys = follow(file, sizes, most_steps=most_steps), follow(file)
        start = file.tell()
        size = file.seek(0, 2)
    if isinstance(about, dict) and about.get("little_endian") is False:
        raise PickleError("its numbers are in another byte order than this machine's")
    if not isinstance(keys, list):
        raise PickleError("it has no list of its storages")
    order = [str(key) for key in keys]
    places: dict[str, int] = {}

    def numbers(storage: StorageRef) -> Bytes:
        itemsize = ITEM_BYTES[storage.dtype]
        with again() as file:
            if not places:
                places.update(_places(file, order, start, size, sizes))
            if storage.key not in places:
                raise PickleError(f"it lacks the data of the storage {storage.key[:100]}")
            file.seek(places[storage.key])
            count = int.from_bytes(_exactly(file, 8).tobytes(), "little")
            return _exactly(file, count * itemsize)

    return TorchFile(content, numbers)


def _places(file: BinaryIO, order: list[str], start: int, end: int, sizes: dict[str, int]) -> dict[str, int]:
    """Where each storage begins: a count of items of eight bytes, and the items."""
    places = {}
    for key in order:
        if key not in sizes:
            raise PickleError(f"nothing in it tells what its storage {key[:100]} is")
        file.seek(start)
        count = int.from_bytes(_exactly(file, 8).tobytes(), "little")
        places[key] = start
        start += 8 + count * sizes[key]
        if start > end:
            raise PickleError(f"it ends {start - end} bytes early")
    return places
