"""Where shards and their indexes lie: a folder, or any file system of fsspec."""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tinkit.data.packed.index import Shard
from tinkit.errors import UserError
from tinkit.files.arrow import ArrowFile, open_arrow

Span = tuple[int, int]
"""Where bytes begin in a file, and how many they are."""

_MOST_OPEN = 128  # shards that a process keeps open
_NEIGHBOURS = 2048  # bytes between frames that are read by one call: a tar's header, and what fills up a block
_STRETCH = 1 << 20  # bytes that are read by one call, but of a larger frame: the first frame waits for all of them


class TornError(OSError):
    """A file that does not have the bytes that it should have."""


class Storage(ABC):
    """A place with shards. What cannot be read raises OSError."""

    @abstractmethod
    def open_index(self, name: str) -> ArrowFile:
        """The Arrow file called ``name``."""

    @abstractmethod
    def read(self, shard: Shard, spans: Sequence[Span]) -> Iterator[memoryview]:
        """The bytes of ``spans``, in turn. Raises :class:`TornError` where the file does not have them."""


class Folder(Storage):
    """Shards on disk. Each is opened when it is first read.

    Shards are read, not mapped: of a mapped file that is cut off meanwhile, or whose disk fails, the next look at the
    bytes ends the process (SIGBUS). A copy of a JPEG takes a hundredth of what decoding it does.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, _OpenFile] = {}

    def open_index(self, name: str) -> ArrowFile:
        """As of any storage, mapped."""
        return open_arrow(self._folder / name)

    def read(self, shard: Shard, spans: Sequence[Span]) -> Iterator[memoryview]:
        """As of any storage; the disk is asked for all of them at once, and the first waits for no other.

        Neighbours in the shard are read by one call.
        """
        file = self._open.get(shard.name) or self._opened(shard)
        stretches = list(_stretches(spans))
        for begin, length, _ in stretches:
            os.posix_fadvise(file.number, begin, length, os.POSIX_FADV_WILLNEED)
        for begin, length, inside in stretches:
            data = memoryview(_read(file.number, begin, length, shard.name))
            if len(inside) == 1:
                yield data
            else:
                yield from (data[first - begin : first - begin + size] for first, size in inside)

    def _opened(self, shard: Shard) -> _OpenFile:
        """Open a shard. One that does not have the size that it had is not read."""
        file = _OpenFile(self._folder / shard.name)
        size = os.fstat(file.number).st_size
        if size != shard.size:
            raise TornError(f"{shard.name} has {size:,} bytes, not {shard.size:,}")
        while len(self._open) >= _MOST_OPEN:
            del self._open[next(iter(self._open))]
        self._open[shard.name] = file
        return file


class _OpenFile:
    """A file that is open for reading until nobody has this any more; ``number`` is its descriptor."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


def _stretches(spans: Sequence[Span]) -> Iterator[tuple[int, int, list[Span]]]:
    """Where neighbours among ``spans`` begin, how many bytes they have in all, and which they are."""
    inside: list[Span] = []
    begin = end = 0
    for first, size in spans:
        if inside and not (0 <= first - end <= _NEIGHBOURS and first + size - begin <= _STRETCH):
            yield begin, end - begin, inside
            inside = []
        if not inside:
            begin = first
        inside.append((first, size))
        end = first + size
    if inside:
        yield begin, end - begin, inside


def _read(number: int, begin: int, length: int, name: str) -> bytes:
    """Bytes of an open file; those of a large span may come in pieces."""
    data = os.pread(number, length, begin)
    while 0 < len(data) < length and (more := os.pread(number, length - len(data), begin + len(data))):
        data += more
    if len(data) < length:
        raise TornError(f"{name}: {len(data):,} bytes of {length:,} at {begin:,}")
    return data


class Remote(Storage):
    """Shards on a file system of fsspec. A connection belongs to the process that made it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._process = 0
        self._system: Any = None
        self._path = ""

    def open_index(self, name: str) -> ArrowFile:
        """As of any storage: fetched into a file that goes with its mapping."""
        system, path = self._connected()
        with tempfile.NamedTemporaryFile(suffix=".arrow") as file:
            try:
                system.get_file(f"{path}/{name}", file.name)
            except Exception as problem:  # whatever the library of that file system raises
                raise _unreachable(problem, name) from problem
            return open_arrow(Path(file.name))

    def read(self, shard: Shard, spans: Sequence[Span]) -> Iterator[memoryview]:
        """As of any storage, in one call."""
        system, path = self._connected()
        place = f"{path}/{shard.name}"
        begins, ends = [begin for begin, _ in spans], [begin + length for begin, length in spans]
        try:
            found = system.cat_ranges([place] * len(spans), begins, ends, on_error="raise")
        except Exception as problem:  # as above
            raise _unreachable(problem, shard.name) from problem
        for data, (begin, length) in zip(found, spans, strict=True):
            if len(data) != length:
                raise TornError(f"{shard.name}: {len(data):,} bytes of {length:,} at {begin:,}")
            yield memoryview(data)

    def _connected(self) -> tuple[Any, str]:
        if self._process != os.getpid():
            from fsspec.core import url_to_fs

            self._system, self._path = url_to_fs(self._address)
            self._process = os.getpid()
        return self._system, self._path


def open_storage(address: str) -> Storage:
    """The storage at ``address``: an absolute folder, or a URL that fsspec knows.

    Raises :class:`~tinkit.errors.UserError` for a protocol that it does not know.
    """
    if "://" not in address:
        return Folder(Path(address))
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    try:
        system, path = url_to_fs(address)
    except (ImportError, ValueError) as problem:
        raise UserError(
            f"data.packed = {address!r} cannot be opened: {problem}",
            expected="a folder, or an address of fsspec, such as s3://bucket/folder",
            fix="install the package that fsspec needs for it, such as s3fs",
        ) from None
    return Folder(Path(path)) if isinstance(system, LocalFileSystem) else Remote(address)


def _unreachable(problem: Exception, name: str) -> OSError:
    if isinstance(problem, OSError):
        return problem
    return OSError(f"{name}: {type(problem).__name__}: {problem}")
