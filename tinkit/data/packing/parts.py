"""A few clips packed by one process: a small tar and its index, in the folder where the work lies until it is whole."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from tinkit.data.decode.clip_reader import BrokenClip, ClipReader, NoFrames, window_of
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.packed.index import SHARD_SCHEMA, PackSettings, read_table
from tinkit.data.packed.keys import key_of, member_name
from tinkit.data.packing.encode import encoded_frames
from tinkit.data.packing.sources import Fingerprint, Source, SourceClip, SourceFiles
from tinkit.data.packing.tar import END, write_member
from tinkit.data.paths.clip_path import clip_path
from tinkit.data.probe.clip import require_folder
from tinkit.files.arrow import DamagedFileError, open_arrow, sealed_writer
from tinkit.files.atomic import atomic_path

Row = dict[str, Any]
CRASHED = "its reader crashed"


@dataclass(frozen=True)
class HowToPack:
    """How a process packs: what it reads, how it encodes, and in which folder, under which beginning, it writes."""

    files: SourceFiles
    settings: PackSettings
    work: str
    stem: str


@dataclass(frozen=True)
class PackedSource:
    """What a process says of a source: how many clips it looked at. ``crashed``: none, for it ended the process."""

    source: Source
    crashed: bool = False


def pack_sources(how: HowToPack, sources: tuple[Source, ...]) -> list[PackedSource]:
    """Pack several sources into one part: what is sent to another process at a time.

    Raises :class:`~tinkit.errors.UserError` on a machine that does not see the data set.
    """
    require_folder(Path(how.files.root))
    place = _new_part(how)
    with atomic_path(place.with_suffix(".tar")) as temporary, temporary.open("wb") as file:
        rows = [row for source in sources for row in _pack_source(how, source, file)]
        file.write(END)
    write_index(place.with_suffix(".arrow"), rows)
    return [PackedSource(source) for source in sources]


def note_crash(how: HowToPack, source: Source) -> None:
    """Write a part that says that no clip of ``source`` can be read."""
    state = how.files.fingerprint(source.path)
    place = _new_part(how)
    place.with_suffix(".tar").write_bytes(END)
    rows = [source_row(source, clip, state, CRASHED) for clip in source.clips]
    write_index(place.with_suffix(".arrow"), rows)


def read_parts(work: Path) -> Iterator[tuple[Path, pa.Table]]:
    """The parts that are whole, the oldest first, each by its tar and its index; a damaged one is packed again."""
    for index in sorted(work.glob("*.arrow"), key=lambda file: (file.stat().st_mtime_ns, file.name)):
        try:
            yield index.with_suffix(".tar"), read_table(open_arrow(index), SHARD_SCHEMA)
        except (DamagedFileError, OSError):
            continue


def write_index(path: Path, rows: Sequence[Row] | pa.Table, metadata: dict[bytes, bytes] | None = None) -> None:
    """Write an index of the columns of a shard's, whole and sealed, in one chunk."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema=SHARD_SCHEMA)
    schema = table.schema.with_metadata(metadata)
    with atomic_path(path) as temporary, sealed_writer(temporary, schema) as writer:
        writer.write_table(table.replace_schema_metadata(metadata).combine_chunks(), max_chunksize=max(len(table), 1))


def _new_part(how: HowToPack) -> Path:
    return Path(how.work, f"{how.stem}.{secrets.token_hex(8)}.arrow")


def _pack_source(how: HowToPack, source: Source, file: BinaryIO) -> Iterator[Row]:
    """Pack every clip of a source behind what ``file`` holds; a row for each."""
    state = how.files.fingerprint(source.path)
    try:
        if state[0] < 0:
            raise BrokenClip("no such file or folder")
        place = clip_path(Path(how.files.root), source.path)
        reader = open_clip(place, how.files.media, how.files.frame_template, decoding=how.files.decoding)
    except BrokenClip as error:
        yield from (source_row(source, clip, state, error.reason) for clip in source.clips)
        return
    with reader:
        for clip in source.clips:
            begin = file.tell()
            try:
                yield source_row(source, clip, state) | _pack_clip(how, clip, reader, file)
            except BrokenClip as error:
                file.seek(begin)
                file.truncate()
                yield source_row(source, clip, state, error.reason)


def _pack_clip(how: HowToPack, clip: SourceClip, reader: ClipReader, file: BinaryIO) -> Row:
    """Write the frames of a clip; what its row has of them."""
    asked = None if clip.asked < 0 else clip.asked
    count = window_of(reader.num_frames, clip.start, asked)
    if count < 1:
        raise NoFrames("no frame found")
    key, members = key_of(clip.id), []
    width = height = 0
    frames = encoded_frames(reader, range(clip.start, clip.start + count), how.settings)
    for number, (data, wide, high) in enumerate(frames, 1):
        if number == 1:
            width, height = wide, high
        members.append((write_member(file, member_name(key, number), data), len(data), zlib.crc32(data)))
    notes = set(reader.notes) | ({"fewer frames than listed"} if asked is not None and count < asked else set())
    offsets, lengths, checksums = zip(*members, strict=True)
    return {
        "frames": count,
        "width": width,
        "height": height,
        "rate": reader.facts().rate,
        "notes": sorted(notes),
        "offsets": offsets,
        "lengths": lengths,
        "checksums": checksums,
    }


def source_row(source: Source, clip: SourceClip, state: Fingerprint, reason: str = "") -> Row:
    """The row of a clip without frames; ``reason`` says why, if it is broken."""
    return {
        "id": clip.id,
        "key": key_of(clip.id),
        "path": source.path,
        "start": clip.start,
        "asked": clip.asked,
        "frames": 0,
        "width": 0,
        "height": 0,
        "rate": 0.0,
        "notes": [],
        "source_size": state[0],
        "source_changed": state[1],
        "source_digest": state[2],
        "reason": reason,
        "offsets": [],
        "lengths": [],
        "checksums": [],
    }
