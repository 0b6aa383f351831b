"""A small score table, its file, and files of it that were changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tinkit.scores import (
    ScoreInfo,
    ScoreTable,
    verified_scores,
    write_scores,
)

INFO = ScoreInfo(
    kind="logits",
    task="multi-label",
    classes=("push/pull", "up", "déjà+vu"),
    dataset="mmit",
    dataset_version="1",
    split="val",
    views="2x1",
    average="logits",
    weights="best",
    trained_on=("train",),
    run="r",
    hashes={"checkpoint": "abc"},
)


def table(**changes: Any) -> ScoreTable:
    values: dict[str, Any] = {
        "info": INFO,
        "ids": ["a/1.mp4", "b,2", "c"],
        "scores": np.array([[1, -2, 3], [9, 9, 9], [0, 0.5, -80]], np.float32),
        "valid": np.array([True, False, True]),
        "labels": [(0, 2), None, ()],
        "source": ["s", "s", "t"],
    }
    return ScoreTable(**values | changes)


def written(path: Path, **changes: Any) -> Path:
    write_scores(path, table(**changes))
    return path


def digest_of(path: str | Path) -> str:
    """What names the content of a score file."""
    return verified_scores(path)[1]


def rewritten(path: Path, change: Any, metadata: Any = None) -> Path:
    """A score file whose Arrow table went through ``change`` and whose metadata through ``metadata``."""
    data = pa.ipc.open_file(written(path)).read_all()
    kept = json.loads(data.schema.metadata[b"tinkit"])
    data = change(data)
    kept = metadata(kept) if metadata else kept
    data = data.replace_schema_metadata({} if kept is None else {"tinkit": json.dumps(kept)})
    with pa.ipc.new_file(path, data.schema) as writer:
        writer.write_table(data)
    return path


def keep(value: Any) -> Any:
    return value
