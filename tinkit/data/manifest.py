"""The manifest: one split of a data set as one Arrow table, memory-mapped, whatever its annotation looked like.

It is built from the official files the first time, kept beside the data (``ROOT/.tinkit/``) or, where that cannot be
written, in the cache, and built again when those files or the configuration change.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.data.annotations import annotation_files, read_annotation
from tinkit.data.config import SPLITS, DataConfig, Media, Split, resolve_root
from tinkit.errors import UsageError, UserError, did_you_mean
from tinkit.files import atomic_path
from tinkit.metrics import Task

# Raised when what the file holds changes, so that files of an earlier release are built again.
_VERSION = 1
_METADATA = b"tinkit"

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


@dataclass(frozen=True)
class ManifestRow:
    """One clip. ``path`` is relative to the root; ``frames`` None until counted; ``labels`` None where unknown."""

    id: str
    path: str
    frames: int | None
    start: int
    labels: tuple[int, ...] | None
    source: str


@dataclass(frozen=True)
class Manifest:
    """One split of a data set; N clips.

    ``table`` has the columns ``id``, ``path`` (relative to ``root``), ``frames`` (int32, null: not counted yet),
    ``start`` (int32, the first frame, from 0), ``labels`` (list<int32>, null: unknown) and ``source``, in one chunk.
    ``skipped`` reports, a line each, what was left out and why. Clips with fewer than ``min_frames`` frames are
    left out of training.
    """

    dataset: str
    version: str
    split: Split
    task: Task
    root: Path
    media: Media
    frame_template: str
    min_frames: int
    classes: tuple[str, ...]
    skipped: tuple[str, ...]
    table: pa.Table
    file: Path

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def ids(self) -> list[str]:
        """The ids of the clips, in the order of the annotation."""
        return self.table.column("id").to_pylist()

    @property
    def labelled(self) -> bool:
        """Whether the labels of every clip are known."""
        return len(self) > 0 and self.table.column("labels").null_count == 0

    def row(self, index: int) -> ManifestRow:
        """The clip at ``index`` (from 0). Raises IndexError outside 0..N-1."""
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        values = {name: self.table.column(name)[index].as_py() for name in SCHEMA.names}
        labels = values.pop("labels")
        return ManifestRow(**values, labels=None if labels is None else tuple(labels))

    def head(self, count: int) -> Manifest:
        """The first ``count`` clips, or all if there are fewer."""
        return replace(self, table=self.table.slice(0, max(count, 0)))

    def label_counts(self) -> np.ndarray:
        """(C,) int64: how many clips have each class; zeros where labels are unknown."""
        flat = pc.list_flatten(self.table.column("labels")).to_numpy()
        return np.bincount(flat, minlength=len(self.classes)).astype(np.int64)

    def labels_a_clip(self) -> np.ndarray:
        """(K+1,) int64: how many clips have 0, 1, ... K labels; clips of unknown labels are not counted."""
        lengths = pc.list_value_length(self.table.column("labels")).drop_null().to_numpy()
        return np.bincount(lengths).astype(np.int64)

    def require_media(self) -> None:
        """Raise :class:`~tinkit.errors.UserError` if of a few clips, from all over the split, not one is on disk.

        The media lie elsewhere, then; a clip missing among others is a broken clip, and met when it is read.
        """
        if len(self) == 0:
            return
        tried = [self.row(int(index)).path for index in np.unique(np.linspace(0, len(self) - 1, 16, dtype=int))]
        if not any((self.root / path).exists() for path in tried):
            raise UserError(
                f"none of {len(tried)} clips of {self.split!r} that were looked for is there, such as "
                f"{self.root / tried[0]}",
                fix="move or link the clips there, or name their folder with data.media_folder (relative to the root)",
            )


def open_manifest(config: DataConfig, split: str, *, rebuild: bool = False) -> Manifest:
    """The manifest of ``split`` (train, val or test), built first if it is missing, stale or ``rebuild`` is True.

    Raises :class:`~tinkit.errors.UserError` naming file and line for what an annotation file has wrong, and
    :class:`~tinkit.errors.UsageError` for an unknown split.
    """
    name = _known_split(split)
    root = resolve_root(config)
    key = _key(config, root, name)
    file_name = f"{name}-{_config_hash(config)}.arrow"
    places = [folder / file_name for folder in _folders(root)]
    if not rebuild:
        for place in places:
            manifest = _open_if_fresh(place, root, key)
            if manifest is not None:
                return manifest
    table = _build(config, root, name, key)
    return _open(_write(table, places), root)


def _known_split(split: str) -> Split:
    if split not in SPLITS:
        raise UsageError(f"no split is called {split!r}{did_you_mean(split, SPLITS)}", expected=", ".join(SPLITS))
    return split


def _config_hash(config: DataConfig) -> str:
    """Names the file: two configurations of one data set do not overwrite each other's manifests."""
    text = json.dumps(config.model_dump(mode="json", exclude={"root"}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _key(config: DataConfig, root: Path, split: Split) -> str:
    """Changes when the configuration, the annotation files or the format of manifests do."""
    parts: list[Any] = [_VERSION, _config_hash(config), split]
    for file in annotation_files(config, root, split):
        status = file.stat()
        parts.append([str(file), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _folders(root: Path) -> tuple[Path, Path]:
    """Where a manifest may be kept: beside the data, or in the user's cache under a name made from the root."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinkit" / "manifests"
    return root / ".tinkit", cache / hashlib.sha256(str(root).encode()).hexdigest()[:16]


def _build(config: DataConfig, root: Path, split: Split, key: str) -> pa.Table:
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
        "version": _VERSION,
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
    return table.replace_schema_metadata({_METADATA: json.dumps(about)})


def _without_short(table: pa.Table, stated: pa.Array, least: int, file: Path) -> tuple[pa.Table, list[str]]:
    """Training leaves out the clips that a list states to be too short, as the published ones did."""
    kept = pc.fill_null(pc.greater_equal(stated, least), True)
    short = len(table) - (pc.sum(kept).as_py() or 0)
    if not short:
        return table, []
    return table.filter(kept), [f"{short} clips of {file.name} have fewer than {least} frames, as the list states"]


def _write(table: pa.Table, places: list[Path]) -> Path:
    """Write to the first place that can be written. A full disk is an error and not a reason to go elsewhere."""
    for place in places:
        try:
            with (
                atomic_path(place) as temporary,
                pa.OSFile(str(temporary), "wb") as sink,
                pa.ipc.new_file(sink, table.schema) as writer,
            ):
                writer.write_table(table.combine_chunks(), max_chunksize=max(len(table), 1))
            return place
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UserError(
                    f"cannot write the manifest: {problem.strerror}", file=place, fix="free space"
                ) from None
            failure = problem
    raise UserError(
        f"the manifest can be written neither beside the data nor in the cache: {failure}",
        fix="make one of these folders writable: " + ", ".join(str(place.parent) for place in places),
    )


def _open_if_fresh(file: Path, root: Path, key: str) -> Manifest | None:
    """The manifest in ``file`` if it is there, whole and was built under ``key``."""
    try:
        table = _map(file)
        about = json.loads((table.schema.metadata or {}).get(_METADATA, b"{}"))
    except (OSError, pa.ArrowInvalid, ValueError):
        return None
    return _open(file, root) if about.get("key") == key else None


def _open(file: Path, root: Path) -> Manifest:
    table = _map(file)
    about = json.loads(table.schema.metadata[_METADATA])
    return Manifest(
        dataset=about["dataset"],
        version=about["dataset_version"],
        split=about["split"],
        task=about["task"],
        root=root,
        media=about["media"],
        frame_template=about["frame_template"],
        min_frames=about["min_frames"],
        classes=tuple(about["classes"]),
        skipped=tuple(about["skipped"]),
        table=table,
        file=file,
    )


def _map(file: Path) -> pa.Table:
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_file(source).read_all()
