"""The indexes of packed clips: Arrow files beside the shards, and what of them is believed.

Beside each shard ``train-000000.tar`` lies ``train-000000.arrow`` with a row a clip, by :data:`SHARD_SCHEMA`: where in
the tar each frame's bytes lie, how many they are, and their CRC-32. ``train.arrow`` has a row for every clip of the
split, by :data:`SPLIT_SCHEMA`: in which shard it is, or why it is in none. Its rows are sorted by a hash of the id, so
that a clip is found in the mapped file, without a table in each worker's memory.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator

from tinkit.files.arrow import ArrowFile, DamagedFileError
from tinkit.table import Table

VERSION = 1
METADATA = b"tinkit.packed"
BLOCK = 512
"""Bytes of a tar's blocks."""
MOST_MEMBER = 256 * 1024 * 1024
"""Bytes of an image at most."""

_CLIP = [
    pa.field("id", pa.string(), nullable=False),
    pa.field("key", pa.string(), nullable=False),
    pa.field("path", pa.string(), nullable=False),
    pa.field("start", pa.int32(), nullable=False),
    pa.field("asked", pa.int32(), nullable=False),  # frames of the window; -1: to the end
    pa.field("frames", pa.int32(), nullable=False),
    pa.field("width", pa.int32(), nullable=False),
    pa.field("height", pa.int32(), nullable=False),
    pa.field("rate", pa.float64(), nullable=False),
    pa.field("notes", pa.list_(pa.string()), nullable=False),
    pa.field("source_size", pa.int64(), nullable=False),
    pa.field("source_changed", pa.int64(), nullable=False),
    pa.field("source_digest", pa.string(), nullable=False),
    pa.field("reason", pa.string(), nullable=False),  # why it is broken; empty if it is not
]
CLIP_SCHEMA = pa.schema(_CLIP)
SHARD_SCHEMA = pa.schema(
    [
        *_CLIP,
        pa.field("offsets", pa.list_(pa.int64()), nullable=False),
        pa.field("lengths", pa.list_(pa.int32()), nullable=False),
        pa.field("checksums", pa.list_(pa.uint32()), nullable=False),
    ]
)
SPLIT_SCHEMA = pa.schema(
    [
        pa.field("hash", pa.uint64(), nullable=False),
        *_CLIP,
        pa.field("shard", pa.int32(), nullable=False),  # -1: broken
        pa.field("row", pa.int32(), nullable=False),  # of the shard's index
    ]
)


class ScaleSettings(Table):
    """How frames are scaled: ``side`` becomes ``pixels`` long."""

    side: Literal["short", "height"] = "short"
    """Which side is scaled to `pixels`: the shorter one, or the height, as the scripts of the TIN repository do."""
    pixels: int = Field(256, ge=16, le=8192)
    """The length of that side."""
    enlarge: bool = False
    """Whether smaller frames are enlarged to it."""


class PackSettings(ScaleSettings):
    """How frames are scaled, and encoded as JPEGs."""

    quality: int = Field(90, ge=1, le=100)
    """JPEG's quality."""


class Shard(Table):
    """A tar file of a split, and its bytes."""

    name: str
    size: int = Field(ge=0)

    @field_validator("name")
    @classmethod
    def _is_a_plain_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,200}\.tar", name):
            raise ValueError("not the name of a shard")
        return name

    @property
    def index(self) -> str:
        """The name of its index."""
        return self.name.removesuffix(".tar") + ".arrow"


class SplitAbout(Table):
    """What a split's index says of itself, in its metadata."""

    version: Literal[1]
    dataset: str
    dataset_version: str
    settings: PackSettings
    shards: tuple[Shard, ...]


def hash_of(clip_id: bytes) -> int:
    """64 bits of an id in UTF-8, by which the rows of a split's index are sorted."""
    return int.from_bytes(blake2b(clip_id, digest_size=8).digest(), "little")


def read_table(found: ArrowFile, schema: pa.Schema) -> pa.Table:
    """The table of an open index, checked against its checksum, and against what no index of ours can hold.

    Raises :class:`~tinkit.files.arrow.DamagedFileError`.
    """
    if found.checksum is None:
        raise DamagedFileError("not an index of packed clips: it has no checksum", file=found.path)
    found.verify()
    try:
        table = found.reader().read_all()
        if not table.schema.remove_metadata().equals(schema):
            raise DamagedFileError("not an index of packed clips: its columns are others", file=found.path)
        table.validate(full=True)
    except (pa.ArrowException, UnicodeDecodeError) as problem:
        raise DamagedFileError(f"not an index of packed clips: {problem}", file=found.path) from problem
    if any(_empty_places(column) for column in table.columns) or any(column.num_chunks > 1 for column in table.columns):
        raise DamagedFileError("not an index of packed clips: it has empty places or several chunks", file=found.path)
    return table


def _empty_places(column: pa.ChunkedArray) -> int:
    """How many values a column lacks, those in its lists included."""
    inner = sum(chunk.values.null_count for chunk in column.chunks) if pa.types.is_list(column.type) else 0
    return int(column.null_count + inner)


def about_split(found: ArrowFile) -> SplitAbout:
    """What a split's index says of itself. Raises :class:`~tinkit.files.arrow.DamagedFileError`."""
    try:
        return SplitAbout.model_validate_json((found.reader().schema.metadata or {}).get(METADATA, b""))
    except (pa.ArrowException, ValidationError) as problem:
        raise DamagedFileError(f"not an index of packed clips: {problem}", file=found.path) from problem


class Entry(NamedTuple):
    """What a split's index says of a clip that is opened: its shard (-1: broken), row in that, window, frame rate."""

    shard: int
    row: int
    start: int
    asked: int
    rate: float


class SplitIndex:
    """The clips of one split: found by id, without a table of ids in memory.

    Values are taken from the columns' buffers: Arrow's scalars would take a tenth of what decoding a clip does.
    Raises :class:`~tinkit.files.arrow.DamagedFileError` for a file that was cut off since it was opened.
    """

    def __init__(self, found: ArrowFile) -> None:
        self.about, self._file = about_split(found), found
        self.table = read_table(found, SPLIT_SCHEMA)
        self._hashes = _numbers(self.table, "hash")
        self._ids = _Strings(self.table, "id")
        self._values = [_numbers(self.table, name) for name in Entry._fields]
        self._noted = _ends(self.table, "notes")
        if len(self._hashes) > 1 and not bool((self._hashes[1:] >= self._hashes[:-1]).all()):
            raise DamagedFileError("not an index of packed clips: its rows are not sorted", file=found.path)
        shards = self._values[0]
        if len(shards) and not -1 <= int(shards.min()) <= int(shards.max()) < len(self.about.shards):
            raise DamagedFileError("not an index of packed clips: a shard that it does not name", file=found.path)

    def require_whole(self) -> None:
        """Raise :class:`~tinkit.files.arrow.DamagedFileError` if the file was cut off since it was opened."""
        self._file.require_whole()

    def find(self, clip_id: str) -> int | None:
        """The row of a clip; None for one that is not there."""
        self._file.require_whole()
        name = clip_id.encode()
        wanted = np.uint64(hash_of(name))
        at = int(self._hashes.searchsorted(wanted))
        while at < len(self._hashes) and self._hashes[at] == wanted:
            if self._ids[at] == name:
                return at
            at += 1
        return None

    def entry(self, row: int) -> Entry:
        """What is known of the clip in ``row``."""
        return Entry(*(values[row].item() for values in self._values))

    def reason(self, row: int) -> str:
        """Why the clip in ``row`` is broken; empty if it is not."""
        return str(self.table.column("reason")[row].as_py())

    def notes(self, row: int) -> list[Any]:
        """What users should know about the clip in ``row``."""
        if self._noted[row] == self._noted[row + 1]:
            return []
        found: list[Any] = self.table.column("notes")[row].as_py()
        return found


class ShardIndex:
    """Where the frames of a shard's clips lie in its tar. Raises as :class:`SplitIndex` does."""

    def __init__(self, found: ArrowFile, shard: Shard) -> None:
        self.table = read_table(found, SHARD_SCHEMA)
        self.place, self._file = Path(shard.name), found
        self._ids = _Strings(self.table, "id")
        self._lists = [_lists(self.table, name) for name in ("offsets", "lengths", "checksums")]
        (ends, offsets), (other, lengths), (third, _) = self._lists
        if not (np.array_equal(ends, other) and np.array_equal(ends, third)):
            raise DamagedFileError("not an index of packed clips: lists of different lengths", file=found.path)
        if len(offsets) and (
            int(offsets.min()) < BLOCK
            or int(lengths.min()) < 1
            or int(lengths.max()) > MOST_MEMBER
            or int(offsets.max()) > shard.size
            or int((offsets + lengths).max()) > shard.size
        ):
            raise DamagedFileError("not an index of packed clips: frames outside of the shard", file=found.path)

    def holds(self, row: int, clip_id: str) -> bool:
        """Whether the clip in ``row`` is that of the id."""
        self._file.require_whole()
        return 0 <= row < len(self._ids) and self._ids[row] == clip_id.encode()

    def members(self, row: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Offset, length and CRC-32 of each frame of the clip in ``row``, copied. Raises IndexError."""
        if not 0 <= row < len(self._ids):
            raise IndexError(f"row {row} of {len(self._ids)}")
        ends = self._lists[0][0]
        begin, end = int(ends[row]), int(ends[row + 1])
        first, second, third = (values[begin:end].copy() for _, values in self._lists)
        return first, second, third


def _numbers(table: pa.Table, name: str) -> NDArray[Any]:
    column = table.column(name)
    return column.chunk(0).to_numpy() if column.num_chunks else np.zeros(0, column.type.to_pandas_dtype())


def _lists(table: pa.Table, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """A column of lists: ``_ends``, and the values of all; not copied."""
    column = table.column(name)
    if not column.num_chunks:
        return _ends(table, name), np.zeros(0, column.type.value_type.to_pandas_dtype())
    return _ends(table, name), column.chunk(0).values.to_numpy()


def _ends(table: pa.Table, name: str) -> NDArray[Any]:
    """Where each list of a column begins, and the last ends."""
    column = table.column(name)
    return column.chunk(0).offsets.to_numpy() if column.num_chunks else np.zeros(1, np.int32)


class _Strings:
    """A column of texts, in UTF-8, by row; not copied."""

    def __init__(self, table: pa.Table, name: str) -> None:
        column = table.column(name)
        self._ends, self._text = np.zeros(1, np.int32), memoryview(b"")
        if column.num_chunks and len(column):
            array = column.chunk(0)
            _, ends, text = array.buffers()
            self._ends = np.frombuffer(ends, np.int32, len(array) + 1, 4 * array.offset)
            self._text = memoryview(text or b"")

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row: int) -> bytes:
        return bytes(self._text[self._ends[row] : self._ends[row + 1]])
