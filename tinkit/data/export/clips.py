"""Which clips of a manifest go into a list, with how many frames, and which are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tinkit.data.manifest.manifest import Manifest
from tinkit.data.probe.clip import state_of


@dataclass(frozen=True)
class ListedClip:
    """A clip of a list: its path relative to the data set, first frame (from 0), frames (None: unknown), labels.

    ``segment``: whether it is a part of its file, or may be one.
    """

    path: str
    start: int
    frames: int | None
    segment: bool
    labels: tuple[int, ...] | None


@dataclass(frozen=True)
class ClipsToList:
    """The clips of one split, in the manifest's order. ``left_out`` counts the others by what is wrong with them.

    ``example`` is the first that is left out; ``unopened`` counts the listed clips of which only the file was looked
    for.
    """

    split: str
    clips: tuple[ListedClip, ...]
    left_out: Counter[str]
    example: str
    unopened: int


def clips_to_list(manifest: Manifest, probes: pa.Table) -> ClipsToList:
    """The clips that can be read, as far as ``probes`` (of :func:`~tinkit.data.probe.survey.read_probes`) tell.

    A probe counts only if the file is still the one that was probed.
    """
    known = {row["path"]: row for row in _rows(probes)}
    listed: list[ListedClip] = []
    left_out: Counter[str] = Counter()
    example, unopened = "", 0
    for row in _rows(manifest.table.select(["path", "start", "frames", "labels"])):
        probe = _still_true(known.get(row["path"]), state_of(Path(manifest.root, row["path"])), manifest.media)
        frames, problem = _window(row["start"], row["frames"], probe)
        if problem:
            example = example or row["path"]
            left_out[problem] += 1
            continue
        unopened += probe["status"] != "good"
        labels = None if row["labels"] is None else tuple(row["labels"])
        segment = row["start"] > 0 or (row["frames"] is not None and frames != probe["frames"])
        listed.append(ListedClip(row["path"], row["start"], frames, segment, labels))
    return ClipsToList(manifest.split, tuple(listed), left_out, example, unopened)


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows of a table, some at a time: a million of them at once take a gigabyte."""
    for batch in table.to_batches(max_chunksize=10_000):
        yield from batch.to_pylist()


def _still_true(probe: dict[str, Any] | None, state: tuple[int, int], media: str) -> dict[str, Any]:
    """Status and frames of a clip whose file has ``state`` (bytes, time) now; the status is empty where unknown."""
    size, changed = state
    if size < 0:
        return {"status": "missing", "frames": None}
    if probe is not None and (probe["size"], probe["changed"]) == (size, changed):
        return probe
    return {"status": "empty" if size == 0 and media == "video" else "", "frames": None}


def _window(start: int, frames: int | None, probe: dict[str, Any]) -> tuple[int | None, str]:
    """The frames of a clip, or of the segment that the manifest says it is, and what is wrong with it if anything."""
    if probe["status"] not in ("good", ""):
        return None, probe["status"]
    whole = probe["frames"] if probe["status"] else None
    if whole is None:
        return frames, ""
    left = whole - start
    if left < 1:
        return None, "begins after its video ends"
    return (left if frames is None else min(frames, left)), ""
