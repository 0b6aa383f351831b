"""The manifest: one split of a data set as one Arrow table, memory-mapped, whatever the form of its annotation.

It is built from the official files the first time, kept beside the data (``ROOT/.tinkit/``) or, where that cannot be
written, in the cache, and built again when those files or the configuration change, or when the file is damaged.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.data.annotations.annotation import files_read
from tinkit.data.config.dataset import DataConfig, packed_address, packed_name, resolve_root
from tinkit.data.layouts.layout import SPLITS, Media, Split
from tinkit.data.manifest.quick import bytes_of
from tinkit.data.manifest.table import SCHEMA, VERSION, build_manifest_table, read_manifest_table, write_manifest_table
from tinkit.data.packed.frames import PackedFrames
from tinkit.data.paths.clip_path import clip_path
from tinkit.data.paths.missing import why_missing
from tinkit.errors import UsageError, UserError, did_you_mean
from tinkit.files.arrow import DamagedFileError
from tinkit.files.cache import cache_folder
from tinkit.files.group import sweep
from tinkit.files.locks import InUseError, in_turn, lock_file, writing
from tinkit.files.system_errors import cannot_be_written, is_full
from tinkit.metrics import Task

logger = logging.getLogger(__name__)


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
    left out of training. ``packed`` says where the frames are read from instead, if so. Where several are joined (see
    :func:`~tinkit.data.manifest.join.join`), ``split`` is such as ``"train+val"``, the table has a chunk for
    each, ``file`` is the first's and ``others`` are those of the others.
    """

    dataset: str
    version: str
    split: str
    task: Task
    root: Path
    media: Media
    frame_template: str
    min_frames: int
    classes: tuple[str, ...]
    skipped: tuple[str, ...]
    table: pa.Table
    file: Path
    packed: PackedFrames | None = None
    others: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def ids(self) -> list[str]:
        """The ids of the clips, in the order of the annotation."""
        return self.table.column("id").to_pylist()

    @property
    def paths(self) -> list[str]:
        """The distinct files, or folders of images, in that order: rows that cut windows out of one video share it."""
        return pc.unique(self.table.column("path")).to_pylist()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the ids and their order, as hexadecimal digits; a million take a tenth of a second.

        Of the ids' lengths in bytes (int64, little-endian), followed by the SHA-256 of all their UTF-8 bytes: equal for
        equal sequences of ids, however either is cut into chunks or out of a longer one, and for no others.
        """
        lengths, text = hashlib.sha256(), hashlib.sha256()
        for chunk in self.table.column("id").chunks:
            offsets, data = bytes_of(chunk)
            lengths.update(np.diff(offsets).astype("<i8").data)
            text.update(data[offsets[0] : offsets[-1]].data)
        lengths.update(text.digest())
        return lengths.hexdigest()

    @property
    def labelled(self) -> bool:
        """Whether the labels of every clip are known."""
        return len(self) > 0 and self.table.column("labels").null_count == 0

    def row(self, index: int) -> ManifestRow:
        """The clip at ``index`` (from 0). Raises IndexError outside 0..N-1."""
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        values = {name: column[index].as_py() for name, column in self._columns}
        labels = values.pop("labels")
        return ManifestRow(**values, labels=None if labels is None else tuple(labels))

    @cached_property
    def _columns(self) -> list[tuple[str, pa.ChunkedArray]]:
        """The table's columns by name: to look one up takes longer than to read a value."""
        return [(name, self.table.column(name)) for name in SCHEMA.names]

    def __getstate__(self) -> dict[str, Any]:
        """What goes to a worker that is not forked: the columns would go with their table and once more."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

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
        sample = [self.row(int(index)) for index in np.unique(np.linspace(0, len(self) - 1, 16, dtype=int))]
        if self.packed is not None:
            if not any(self.packed.contains(row.id) for row in sample):
                raise UserError(
                    f"none of {len(sample)} sampled clips of {self.split!r} is packed, such as {sample[0].id!r}",
                    file=Path(self.packed.address),
                    fix="pack them with `tinkit data frames`, or name other shards with data.packed",
                )
            return
        tried = [row.path for row in sample]
        if not any(os.path.exists(clip_path(self.root, path)) for path in tried):  # noqa: PTH110 - False, whatever it is
            cause = why_missing(self.root, tried)
            raise UserError(
                f"none of {len(tried)} sampled clips of {self.split!r} exists, such as "
                f"{self.root / tried[0]}" + (f": {cause[0]}" if cause else ""),
                fix=cause[1]
                if cause
                else "move or link the clips there, or name their folder with data.media_folder (relative to the root)",
            )


def open_manifest(config: DataConfig, split: str, *, rebuild: bool = False) -> Manifest:
    """The manifest of ``split`` (train, val or test), built first if it is missing, stale or ``rebuild`` is True.

    Raises :class:`~tinkit.errors.UserError` naming file and line for what an annotation file has wrong, and
    :class:`~tinkit.errors.UsageError` for an unknown split.
    """
    name = _known_split(split)
    root = resolve_root(config)
    found = _open_or_build(config, root, name, rebuild=rebuild)
    address = packed_address(config, root)
    return found if address is None else replace(found, packed=PackedFrames(address, (packed_name(config, name),)))


def _open_or_build(config: DataConfig, root: Path, name: Split, *, rebuild: bool) -> Manifest:
    key = _key(config, root, name)
    file_name = f"{name}-{_config_hash(config)}.arrow"
    places = [folder / file_name for folder in _folders(root)]
    if not rebuild:
        for place in places:
            manifest = _open_if_fresh(place, root, key)
            if manifest is not None:
                return manifest
    built = _open(_write(build_manifest_table(config, root, name, key), places), root)
    assert built is not None  # it has just been written, and sealed
    return built


def _known_split(split: str) -> Split:
    if split not in SPLITS:
        raise UsageError(f"no split is called {split!r}{did_you_mean(split, SPLITS)}", expected=", ".join(SPLITS))
    return split


def _config_hash(config: DataConfig) -> str:
    """Names the file: two configurations of one data set do not overwrite each other's manifests."""
    text = json.dumps(config.model_dump(mode="json", exclude={"root", "packed"}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _key(config: DataConfig, root: Path, split: Split) -> str:
    """Changes when the configuration, the annotation files or the format of manifests do."""
    parts: list[Any] = [VERSION, _config_hash(config), split]
    for file in files_read(config, root, split):
        for part in sorted(file.iterdir()) if file.is_dir() else (file,):
            status = part.stat()
            parts.append([str(part), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _folders(root: Path) -> list[Path]:
    """Where a manifest may be kept: beside the data, or in tinkit's cache under a name made from the root."""
    folders = [root / ".tinkit"]
    with suppress(UserError):  # a user without a home
        folders.append(cache_folder() / "manifests" / hashlib.sha256(str(root).encode()).hexdigest()[:16])
    return folders


def _write(table: pa.Table, places: list[Path]) -> Path:
    """Write to the first place that can be written. A full disk is an error and not a reason to go elsewhere."""
    for place in places:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with in_turn(lambda: writing(place)):  # noqa: B023 - called at once
                sweep(place)
                write_manifest_table(table, place)
            return place
        except OSError as problem:
            if is_full(problem):
                raise cannot_be_written(place, problem, "set TINKIT_CACHE to a folder of another disk") from None
            failure = problem
    raise UserError(
        f"the manifest can be written neither beside the data nor in the cache: {failure}",
        fix="make one of these folders writable: " + ", ".join(str(place.parent) for place in places),
    )


def _open_if_fresh(file: Path, root: Path, key: str) -> Manifest | None:
    """The manifest in ``file`` if it exists, is intact and was built under ``key``."""
    if lock_file(file).exists():  # its writer is at work, or was killed when all but this was done
        with suppress(InUseError, OSError), writing(file):
            sweep(file)
    try:
        return _open(file, root, key)
    except DamagedFileError as problem:
        logger.warning("%s: %s; this manifest is built again", file, problem.problem)
    except OSError:  # it does not exist, or may not be read
        pass
    return None


def _open(file: Path, root: Path, key: str | None = None) -> Manifest | None:
    found = read_manifest_table(file, key)
    if found is None:
        return None
    table, about = found
    facts = about.model_dump(exclude={"version", "key", "dataset_version"})
    return Manifest(**facts, version=about.dataset_version, root=root, table=table, file=file)
