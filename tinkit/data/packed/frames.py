"""The clips of a data set as they lie in shards: opened by id, read, and every byte of a frame checked."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from tinkit.data.decode.clip_reader import (
    BrokenClip,
    Choice,
    ClipFacts,
    ClipReader,
    Frame,
    NoFrames,
    describe,
    is_shortage,
)
from tinkit.data.decode.open_clip import ImageReader
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.packed.index import CLIP_SCHEMA, Entry, Shard, ShardIndex, SplitIndex
from tinkit.data.packed.storage import Span, Storage, open_storage
from tinkit.errors import UserError
from tinkit.files.arrow import DamagedFileError

_TOGETHER = 64  # frames that are asked for at a time
_BYTES_TOGETHER = 1 << 26  # of these frames, one larger frame apart: whatever an index says
_MOST_INDEXES = 256  # of shards that a process keeps open
_AGAIN = "run `tinkit data frames` again"


@dataclass(frozen=True)
class PackedFrames:
    """Where the frames of some splits are: at ``address``, under ``names``, such as ``train``.

    It is opened when it is first asked, in each process anew; a copy of it, pickled, holds nothing open.
    """

    address: str
    names: tuple[str, ...]

    def joined(self, other: PackedFrames) -> PackedFrames:
        """The splits of both."""
        return replace(self, names=(*self.names, *other.names))

    def open(self, clip_id: str, start: int, frames: int | None, decoding: DecodeSettings) -> ClipReader:
        """The open clip of that id: the window of ``frames`` frames from ``start`` on that the annotation says.

        Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip` for one that is not there, was broken when it was
        packed, or was packed with another window.
        """
        for split in self._opened.splits:
            if (row := split.index.find(clip_id)) is not None:
                return split.clip(row, clip_id, (start, -1 if frames is None else frames), decoding)
        raise BrokenClip(f"not among the packed clips: {_AGAIN}")

    def contains(self, clip_id: str) -> bool:
        """Whether the clip is packed, and was not broken."""
        rows = ((split.index, split.index.find(clip_id)) for split in self._opened.splits)
        return any(row is not None and index.entry(row).shard >= 0 for index, row in rows)

    def clips(self) -> pa.Table:
        """What the indexes say of every clip, by :data:`~tinkit.data.packed.index.CLIP_SCHEMA`."""
        for split in self._opened.splits:
            split.index.require_whole()
        return pa.concat_tables(split.index.table.select(CLIP_SCHEMA.names) for split in self._opened.splits)

    def require(self) -> None:
        """Raise :class:`~tinkit.errors.UserError` where an index is missing or damaged."""
        _ = self._opened

    @cached_property
    def _opened(self) -> _Opened:
        storage = open_storage(self.address)
        return _Opened(tuple(_Split(storage, self.address, name) for name in self.names))

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self.address, "names": self.names}


@dataclass(frozen=True)
class _Opened:
    splits: tuple[_Split, ...]


class _Split:
    """The open index of one split, and those of its shards that were asked for."""

    def __init__(self, storage: Storage, address: str, name: str) -> None:
        self._storage = storage
        self._shards: dict[int, ShardIndex] = {}
        try:
            self.index = SplitIndex(storage.open_index(f"{name}.arrow"))
        except OSError as problem:
            raise UserError(
                f"no packed clips of {name!r} at {address}: {describe(problem)}",
                expected=f"{name}.arrow and its shards, which `tinkit data frames` writes",
                fix="write them, or name their place with data.packed",
            ) from None

    def clip(self, row: int, clip_id: str, window: tuple[int, int], decoding: DecodeSettings) -> PackedClip:
        """The open clip of a row of the index."""
        entry = self.index.entry(row)
        if entry.shard < 0:
            raise BrokenClip(f"{self.index.reason(row)} (when it was packed)")
        if (entry.start, entry.asked) != window:
            raise BrokenClip(f"packed with another first frame or number of frames than the annotation has: {_AGAIN}")
        shard = self.index.about.shards[entry.shard]
        try:
            index = self._shard(entry.shard, shard)
            known = index.holds(entry.row, clip_id)
        except DamagedFileError as problem:
            raise BrokenClip(f"{shard.index}: {problem.problem}") from problem
        except OSError as problem:
            if is_shortage(problem):
                raise
            raise BrokenClip(describe(problem)) from problem
        if not known:
            raise BrokenClip(f"{shard.index} is of other clips: {_AGAIN}")
        reader = PackedClip(self._storage, shard, index, entry, decoding)
        reader.notes.update(self.index.notes(row))
        return reader

    def _shard(self, number: int, shard: Shard) -> ShardIndex:
        found = self._shards.get(number)
        if found is None:
            if len(self._shards) >= _MOST_INDEXES:
                del self._shards[next(iter(self._shards))]
            found = self._shards[number] = ShardIndex(self._storage.open_index(shard.index), shard)
        return found


class PackedClip(ImageReader):
    """A clip in a shard. A frame whose bytes do not have their checksum makes it a broken clip."""

    def __init__(
        self, storage: Storage, shard: Shard, index: ShardIndex, entry: Entry, decoding: DecodeSettings
    ) -> None:
        super().__init__(index.place, decoding)
        self._storage, self._shard, self._rate = storage, shard, entry.rate
        self._offsets, self._lengths, self._checksums = index.members(entry.row)
        self.num_frames = len(self._offsets)
        if self.num_frames < 1:
            raise NoFrames("no frame found")

    def facts(self) -> ClipFacts:
        """The rate of the video that the frames were taken from; 0 where it was not known."""
        return ClipFacts(rate=self._rate, seconds=self.num_frames / self._rate if self._rate > 0 else 0.0)

    def _decode(self, wanted: list[int]) -> Iterator[tuple[int, Frame]]:
        for indices in self._portions(wanted):
            for index, data in zip(indices, self._files(indices), strict=True):
                yield index, self.decode_image(f"frame {index}", data)

    def _portions(self, wanted: list[int]) -> Iterator[list[int]]:
        """Frames that are asked for together."""
        portion: list[int] = []
        size = 0
        for index, length in zip(wanted, self._lengths[wanted].tolist(), strict=True):
            if portion and (len(portion) == _TOGETHER or size + length > _BYTES_TOGETHER):
                yield portion
                portion, size = [], 0
            portion.append(index)
            size += length
        if portion:
            yield portion

    def _decode_parts(self, wanted: list[int], choose: Choice) -> Iterator[tuple[int, Frame]]:
        for indices in self._portions(wanted):
            for index, data in zip(indices, self._files(indices), strict=True):
                yield index, self.decode_part(f"frame {index}", data, choose)

    def _files_together(self, wanted: list[int]) -> list[memoryview]:
        return self.encoded(next(self._portions(wanted), []))

    def encoded(self, indices: list[int]) -> list[memoryview]:
        """The JPEGs of some frames, checked. Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip`."""
        return list(self._files(indices))

    def _files(self, indices: list[int]) -> Iterator[memoryview]:
        """As :meth:`encoded`, one by one: the disk fetches the next while one is decoded."""
        found = self._storage.read(self._shard, self.places(indices))
        for index, data, checksum in zip(indices, found, self._checksums[indices].tolist(), strict=True):
            if zlib.crc32(data) != checksum:
                raise BrokenClip(f"frame {index} in {self._shard.name} does not have the checksum that it was given")
            yield data

    def places(self, indices: list[int]) -> list[Span]:
        """Where in the shard the JPEGs of some frames begin, and how long they are."""
        return list(zip(self._offsets[indices].tolist(), self._lengths[indices].tolist(), strict=True))
