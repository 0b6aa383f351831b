"""Files of a data set in miniature, and what is opened of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinkit.data.config.dataset import DataConfig
from tinkit.data.manifest.manifest import Manifest, open_manifest


def put(root: Path, files: dict[str, str]) -> Path:
    """Text files below ``root``."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def clips(root: Path, *names: str) -> None:
    """Files of a clip's name; only their names are asked for."""
    put(root, dict.fromkeys(names, "x"))


def opened(dataset: str, root: Path, split: str = "train", **keys: Any) -> Manifest:
    return open_manifest(DataConfig.model_validate({"dataset": dataset, "root": root} | keys), split)


def rows(manifest: Manifest) -> list[tuple[str, str, list[str]]]:
    """(id, path, names of the labels) of every clip."""
    table = manifest.table.to_pylist()
    return [(row["id"], row["path"], [manifest.classes[label] for label in row["labels"] or []]) for row in table]
