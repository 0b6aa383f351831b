"""What a network has computed of clips so far, on disk block by block, so that an interrupted command can be resumed.

A block holds the scores, or features, of consecutive rows: ``START.npz`` with the clips' values and why some have none
and, where the views are kept, ``START.views.npy`` with theirs. Blocks follow each other without a gap, so their own
sizes show how far the command is, whatever number of processes made them. A block begins with the SHA-256 of what
follows, and holds that of its views: one that is damaged ends those that can be used.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinkit.files.atomic import atomic_path, write_atomic
from tinkit.files.hashes import sha256_file

_DIGEST = 32  # bytes of a SHA-256


@dataclass(frozen=True)
class Block:
    """Scores, or features, of the rows from ``start`` on."""

    start: int
    values: NDArray[np.float32]
    """(n, C); NaN where ``reasons`` has the row."""
    reasons: dict[int, str]
    """Row of the manifest to what was wrong with its clip."""
    views: NDArray[np.float32] | None = None
    """(V, n, C) those of each view; None where they are not kept."""
    notes: dict[str, int] = field(default_factory=dict)
    """Notes on the clips that could be read, and how many have each."""


class Blocks:
    """The blocks of one command in ``folder``. ``key`` stands for what it makes: blocks of another key are removed.

    With ``keep_views`` every block must bring the values of its views.
    """

    def __init__(self, folder: Path, key: str, *, keep_views: bool = False) -> None:
        self._folder = folder
        self._key = json.dumps([key, keep_views])
        self.keep_views = keep_views

    def restore(self) -> Iterator[Block]:
        """The existing blocks of this key, without their views; a damaged one ends them."""
        key_file = self._folder / "key"
        if not key_file.is_file() or key_file.read_bytes() != self._key.encode():
            self.remove()
            write_atomic(key_file, self._key)
            return
        start = 0
        while (block := self._read(start)) is not None:
            yield block
            start += len(block.values)

    def save(self, block: Block) -> None:
        """Add the block that follows the existing ones."""
        views = ""
        if self.keep_views:
            assert block.views is not None
            with atomic_path(self._views_path(block.start)) as temporary:
                with temporary.open("wb") as handle:
                    np.save(handle, block.views)
                views = sha256_file(temporary)
        about = {"reasons": block.reasons, "notes": block.notes, "views": views}
        content = io.BytesIO()
        np.savez(content, values=block.values, about=np.array(json.dumps(about)))
        data = content.getvalue()
        write_atomic(self._path(block.start), hashlib.sha256(data).digest() + data)

    def view(self, number: int, rows: int) -> NDArray[np.float32]:
        """The values (``rows``, C) of one view of all clips, once all of them exist."""
        parts: list[NDArray[np.float32]] = []
        done = 0
        while done < rows:
            # mapped, so that the other views' are not read
            part = np.load(self._views_path(done), mmap_mode="r")[number]
            parts.append(np.array(part))
            done += len(part)
        return np.concatenate(parts)

    def exist(self) -> bool:
        """Whether there is anything to resume from, or to remove."""
        return self._folder.is_dir()

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self, start: int) -> Block | None:
        try:
            content = self._path(start).read_bytes()
        except FileNotFoundError:
            return None
        digest, data = content[:_DIGEST], content[_DIGEST:]
        if hashlib.sha256(data).digest() != digest:
            return None
        with np.load(io.BytesIO(data)) as file:
            values, about = file["values"], json.loads(str(file["about"]))
        if self.keep_views and not self._has_views(start, about["views"]):
            return None
        reasons = {int(row): reason for row, reason in about["reasons"].items()}
        return Block(start, values, reasons, notes=about["notes"]) if len(values) else None

    def _has_views(self, start: int, sha256: str) -> bool:
        path = self._views_path(start)
        return path.is_file() and sha256_file(path) == sha256

    def _path(self, start: int) -> Path:
        return self._folder / f"{start:010d}.npz"

    def _views_path(self, start: int) -> Path:
        return self._folder / f"{start:010d}.views.npy"
