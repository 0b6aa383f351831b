"""The ground truth of ActivityNet and Kinetics, a JSON of videos by their YouTube ids, as its evaluation reads it.

``{"version": ..., "database": {ID: {"subset": "validation", "annotations": [{"label": NAME, ...}, ...]}}}``; Kinetics'
own files are the database alone, with one annotation a video in the place of a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinkit.errors import UserError
from tinkit.files.json import read_json

_MAX_JSON = 512 << 20
_EXPECTED = '{"database": {ID: {"subset": "validation", "annotations": [{"label": NAME}, ...]}, ...}}'
_SUBSETS = {
    "train": ("training", "train"),
    "val": ("validation", "validate", "val"),
    "test": ("testing", "test"),
}
"""What the subsets of a split are called, in the files of their owners."""


@dataclass(frozen=True)
class Truth:
    """The videos of ``subset`` in the file's order: ``ids``, and the class names of each, none twice."""

    subset: str
    ids: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]


def read_truth(path: Path, split: str | None = None, *, labelled: bool = False) -> Truth:
    """The videos of ``split`` (``val``, or as the file calls it), or of the only subset that there is.

    With ``labelled``, videos without a label are left out, as the evaluation does, and with them a subset that has no
    other. Raises :class:`~tinkit.errors.UserError` for a file that is not of this form, a doubled id, and where it is
    not known which subset is meant.
    """
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    seen: set[str] = set()
    for name, video in _database(path):
        if name in seen:
            raise UserError(f"{name!r} is there twice", file=path, fix="take one of the two out")
        seen.add(name)
        subset, labels = _video(name, video, path)
        if labels or not labelled:
            found.setdefault(subset, {})[name] = labels
    wanted = found if split is None else [name for name in _SUBSETS.get(split, (split,)) if name in found]
    if len(wanted) != 1:
        have = ", ".join(f"{name} ({len(videos)})" for name, videos in found.items()) or "none"
        which = "with labels" if labelled else "of videos"
        raise UserError(
            f"holds no subset {split!r} {which}" if split else f"holds {len(found)} subsets {which}",
            file=path,
            expected=f"one of its subsets: {have}",
            fix="say which with --split: train, val, test, or a subset's name",
        )
    (subset,) = wanted
    return Truth(subset, tuple(found[subset]), tuple(found[subset].values()))


def is_truth(content: Any) -> bool:
    """Whether a value of JSON looks like a ground truth, whole or not."""
    if not isinstance(content, dict):
        return False
    return "database" in content or any(isinstance(video, dict) and "subset" in video for video in content.values())


def _database(path: Path) -> list[tuple[str, Any]]:
    """Each video's id, and what is said of it."""
    content = read_json(path, "a ground truth", limit=_MAX_JSON, pairs=True)
    if _is_object(content):
        bases = [value for name, value in content if name == "database"]
        content = content if not bases else bases[0] if len(bases) == 1 else None
    if not _is_object(content) or not content:
        raise UserError("holds no videos", file=path, expected=_EXPECTED)
    return list(content)


def _video(name: str, video: Any, path: Path) -> tuple[str, tuple[str, ...]]:
    """The subset of a video and its labels, each once."""
    said = dict(video) if _is_object(video) else {}
    rows = said.get("annotations") or []
    if not isinstance(rows, list) or _is_object(rows):
        rows = [rows] if rows else []
    named = [dict(row).get("label") if _is_object(row) else None for row in rows]
    labels = [label for label in named if isinstance(label, str)]
    subset = said.get("subset")
    if not isinstance(subset, str) or not name or len(labels) < len(named):
        raise UserError(
            f"the video {name!r} has no subset, or a label that is not a text", file=path, expected=_EXPECTED
        )
    return subset, tuple(dict.fromkeys(labels))


def _is_object(value: Any) -> bool:
    """Whether it is what an object of JSON is read as: pairs."""
    return isinstance(value, list) and all(isinstance(item, tuple) for item in value)
