"""The table of a manifest, out of an annotation: its columns, and what is noted in its metadata."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, ValidationError

from tinkit.data.annotations.annotation import read_annotation
from tinkit.data.annotations.checks import too_long
from tinkit.data.config.dataset import DataConfig
from tinkit.data.layouts.layout import Media, Split
from tinkit.data.manifest.quick import has_two_dots, is_plain
from tinkit.data.paths.clip_path import ESCAPE
from tinkit.files.arrow import ArrowFile, DamagedFileError, open_arrow, sealed_writer
from tinkit.files.atomic import atomic_path
from tinkit.metrics import Task

VERSION = 2
"""Raised when what the file holds changes, so that files of an earlier release are built again."""

METADATA = b"tinkit"
"""The key of the schema's metadata under which a JSON object says of what split of what data set the table is."""

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("frames", pa.int32()),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("labels", pa.list_(pa.int32())),
        pa.field("source", pa.string(), nullable=False),
    ]
)


class ManifestAbout(BaseModel):
    """What a manifest's file says of itself: the JSON in its metadata."""

    model_config = ConfigDict(frozen=True, strict=True)

    version: int
    key: str
    dataset: str
    dataset_version: str
    split: str
    task: Task
    media: Media
    frame_template: str
    min_frames: int
    classes: tuple[str, ...]
    skipped: tuple[str, ...]


def write_manifest_table(table: pa.Table, file: Path) -> None:
    """Write a manifest's table to ``file``, atomically and sealed, in one record batch. Raises OSError."""
    with atomic_path(file) as temporary, sealed_writer(temporary, table.schema) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=max(len(table), 1))


def read_manifest_table(file: Path, key: str | None = None) -> tuple[pa.Table, ManifestAbout] | None:
    """The table in ``file``, mapped into memory, and what it says of itself; None if it was built under another key.

    Raises :class:`~tinkit.files.arrow.DamagedFileError` for a file that is damaged or holds what no manifest can, and
    OSError where it is missing or cannot be read. A million clips take some 0.02 s.
    """
    found = open_arrow(file)
    if found.checksum is None:  # of an earlier release
        return None
    about = _about(found)
    if key is not None and about.key != key:
        return None
    found.verify()
    try:
        table = found.reader().read_all()
    except (pa.ArrowException, OSError) as error:  # a checksum that is right, over what is not a table
        raise DamagedFileError(f"not a manifest: {error}", file=file) from error
    if problem := _wrong(table, about):
        raise DamagedFileError(f"not a manifest: {problem}", file=file)
    return table, about


def _about(found: ArrowFile) -> ManifestAbout:
    try:
        return ManifestAbout.model_validate_json((found.reader().schema.metadata or {}).get(METADATA, b""))
    except (pa.ArrowException, ValidationError) as problem:
        raise DamagedFileError(f"not a manifest: {problem}", file=found.path) from problem


def _wrong(table: pa.Table, about: ManifestAbout) -> str | None:
    """What a table has that no manifest can have, though its checksum is right; None if there is nothing."""
    if not table.schema.equals(SCHEMA):
        return "its columns are others"
    try:
        _validate(table)
    except (pa.ArrowException, UnicodeDecodeError) as problem:
        return str(problem)
    if any(table.column(field.name).null_count for field in SCHEMA if not field.nullable):
        return "a column has empty places"
    flat = pc.list_flatten(table.column("labels"))
    if flat.null_count:
        return "an empty place among the labels of a clip"
    labels = pc.min_max(flat).as_py()
    if labels["min"] is not None and not 0 <= labels["min"] <= labels["max"] < len(about.classes):
        return f"labels from {labels['min']} to {labels['max']}, and {len(about.classes)} classes"
    paths = table.column("path")
    if pc.any(pc.starts_with(paths, "/")).as_py():
        return "an absolute path"
    # two dots in names are rare: the slower question is asked where there are any
    if any(map(has_two_dots, paths.chunks)) and pc.any(pc.match_substring_regex(paths, ESCAPE)).as_py():
        return "a path that leads out of the data set"
    if too_long(paths) is not None:
        return "a path that is longer than a file's can be"
    return None


def _validate(table: pa.Table) -> None:
    """Arrow's own full validation, which columns of plain strings do not need. Raises as it does."""
    table.validate()
    plain = [
        name
        for name in ("id", "path", "source")
        if all(chunk.null_count == 0 and is_plain(chunk) for chunk in table.column(name).chunks)
    ]
    table.drop_columns(plain).validate(full=True)


def build_manifest_table(config: DataConfig, root: Path, split: Split, key: str) -> pa.Table:
    """The table of ``split``, read from the annotation below ``root``; ``key`` is noted in its metadata.

    Raises :class:`~tinkit.errors.UserError` naming file and line for what an annotation file has wrong.
    """
    layout = config.layout
    annotation = read_annotation(config, root, split)
    rows = annotation.rows
    folder = layout.media_folder.strip("/")
    count = len(rows.ids)
    table = pa.table(
        {
            "id": rows.ids,
            "path": pc.binary_join_element_wise(folder, rows.paths, "/") if folder else rows.paths,
            "frames": pa.nulls(count, pa.int32()) if rows.start is None else rows.stated,
            "start": pa.array(np.zeros(count, np.int32)) if rows.start is None else pc.fill_null(rows.start, 0),
            "labels": annotation.labels,
            "source": rows.ids if rows.source is None else rows.source,
        },
        schema=SCHEMA,
    )
    skipped = list(rows.notes)
    if split == "train" and rows.stated is not None:
        table, short = _without_short(table, rows.stated, layout.min_frames, rows.file)
        skipped += short
    about = ManifestAbout(
        version=VERSION,
        key=key,
        dataset=config.name or config.dataset,
        dataset_version=config.version,
        split=split,
        task=layout.task,
        media=layout.media,
        frame_template=layout.frame_template,
        min_frames=layout.min_frames,
        classes=tuple(annotation.classes),
        skipped=tuple(skipped),
    )
    return table.replace_schema_metadata({METADATA: json.dumps(about.model_dump())})


def _without_short(table: pa.Table, stated: pa.Array, least: int, file: Path) -> tuple[pa.Table, list[str]]:
    """Training leaves out the clips that a list states to be too short, as the published ones did."""
    kept = pc.fill_null(pc.greater_equal(stated, least), True)
    short = len(table) - (pc.sum(kept).as_py() or 0)
    if not short:
        return table, []
    return table.filter(kept), [f"{short} clips of {file.name} have fewer than {least} frames, as the list states"]
