"""The table of a manifest, out of an annotation: its columns, and what is noted in its metadata."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.data.annotations import read_annotation
from tinkit.data.config import DataConfig, Split

VERSION = 1
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


def build_table(config: DataConfig, root: Path, split: Split, key: str) -> pa.Table:
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
    skipped: list[str] = []
    if split == "train" and rows.stated is not None:
        table, skipped = _without_short(table, rows.stated, layout.min_frames, rows.file)
    about = {
        "version": VERSION,
        "key": key,
        "dataset": config.name or config.dataset,
        "dataset_version": config.version,
        "split": split,
        "task": layout.task,
        "media": layout.media,
        "frame_template": layout.frame_template,
        "min_frames": layout.min_frames,
        "classes": annotation.classes,
        "skipped": skipped,
    }
    return table.replace_schema_metadata({METADATA: json.dumps(about)})


def _without_short(table: pa.Table, stated: pa.Array, least: int, file: Path) -> tuple[pa.Table, list[str]]:
    """Training leaves out the clips that a list states to be too short, as the published ones did."""
    kept = pc.fill_null(pc.greater_equal(stated, least), True)
    short = len(table) - (pc.sum(kept).as_py() or 0)
    if not short:
        return table, []
    return table.filter(kept), [f"{short} clips of {file.name} have fewer than {least} frames, as the list states"]
