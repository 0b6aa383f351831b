"""What a survey found, to act on: a table for people, and a csv with a line a clip."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.data.manifest.manifest import Manifest
from tinkit.data.probe.clip import STATUSES
from tinkit.files.atomic import atomic_path
from tinkit.files.cells import plain_row

_NOT_TOLD = ("changed", "first", "times", "packets", "keyframes")
_NOTED = ("turned", "to be turned, but read as stored", "cut off", "scaled to the first size")


@dataclass(frozen=True)
class Report:
    """A split's clips by what is wrong with them: how many, and an example of each.

    ``duplicates`` are clips beyond the first of each content; ``conflicting`` those of them whose labels differ from
    the first one's. ``short`` have fewer frames than ``data.min_frames``.
    """

    split: str
    clips: int
    counts: dict[str, int]
    examples: dict[str, str]
    duplicates: tuple[tuple[str, str], ...]
    conflicting: int

    @property
    def bad(self) -> int:
        """Clips that cannot be read."""
        return sum(self.counts[status] for status in STATUSES if status != "good")

    def rows(self) -> list[dict[str, Any]]:
        """The table: what, how many, percent, such as."""
        return [
            {
                "split": self.split,
                "what": what,
                "clips": count,
                "percent": 100 * count / max(1, self.clips),
                "such as": self.examples.get(what, ""),
            }
            for what, count in self.counts.items()
            if count or what == "good"
        ]


def report_of(manifest: Manifest, probes: pa.Table) -> Report:
    """What ``probes``, the survey of ``manifest``, says of it."""
    paths, status = probes.column("path"), probes.column("status")
    counts: dict[str, int] = dict.fromkeys(STATUSES, 0)
    counts |= {word: count for word, count in Counter(status.to_pylist()).items() if word in counts}
    examples: dict[str, str] = {word: path for word in STATUSES[1:] if (path := _first(paths, pc.equal(status, word)))}
    good = pc.equal(status, "good")
    short = pc.and_(good, pc.less(probes.column("frames"), manifest.min_frames))
    silent = pc.and_(good, pc.invert(probes.column("sound")))
    for word, mask in (("short", short), ("without sound", silent)):
        if word == "short" or manifest.media == "video":
            counts[word], examples[word] = _count(mask), _first(paths, mask)
    notes = Counter(note for row in probes.column("notes").to_pylist() for note in row)
    counts |= {note: notes[note] for note in _NOTED if notes[note]}
    duplicates = _duplicates(probes)
    counts["duplicate by content"] = len(duplicates)
    examples["duplicate by content"] = " = ".join(duplicates[0]) if duplicates else ""
    return Report(manifest.split, len(paths), counts, examples, duplicates, _conflicting(manifest, duplicates))


def write_report(file: Path, tables: dict[str, pa.Table]) -> None:
    """A csv with a line for every clip of every split that was surveyed."""
    names = [name for name in next(iter(tables.values())).schema.names if name not in _NOT_TOLD]
    with atomic_path(file) as temporary, temporary.open("w", newline="", encoding="utf-8", errors="replace") as target:
        writer = csv.writer(target)
        writer.writerow(["split", *names, "keyframes"])
        for split, table in tables.items():
            for row in table.to_pylist():
                row["notes"] = "; ".join(row["notes"])
                writer.writerow(plain_row([split, *(row[name] for name in names), len(row["keyframes"])]))


def limit_of(text: str, clips: int) -> int:
    """How many of ``clips`` may be bad: ``12``, or ``0.5%``. Raises ValueError for other texts."""
    if text.endswith("%"):
        share = float(text[:-1])
        if not 0 <= share <= 100:
            raise ValueError(f"{text} is not a share")
        return int(share / 100 * clips)
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a number of clips")
    return int(text)


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _first(paths: pa.ChunkedArray, mask: pa.ChunkedArray) -> str:
    at = pc.index(mask, pa.scalar(True)).as_py()
    return "" if at < 0 else str(paths[at].as_py())


def _duplicates(probes: pa.Table) -> tuple[tuple[str, str], ...]:
    """(first path, later path) of files of one content."""
    digests = np.array(probes.column("digest").to_pylist(), object)
    seen: dict[str, int] = {}
    pairs = []
    paths = probes.column("path")
    for row, digest in enumerate(digests):
        if digest:
            first = seen.setdefault(digest, row)
            if first != row:
                pairs.append((str(paths[first].as_py()), str(paths[row].as_py())))
    return tuple(pairs)


def _conflicting(manifest: Manifest, duplicates: tuple[tuple[str, str], ...]) -> int:
    """Of the duplicates those whose labels are not those of the first."""
    wanted = {path for pair in duplicates for path in pair}
    if not wanted:
        return 0
    mask = pc.is_in(manifest.table.column("path"), pa.array(sorted(wanted), pa.string()))
    rows = manifest.table.filter(mask).select(["path", "labels"]).to_pylist()
    labels = {row["path"]: frozenset(row["labels"] or ()) for row in rows}
    return sum(labels[first] != labels[later] for first, later in duplicates)
