"""An annotation file as read: columns of equal length whose words are not checked yet, and the text they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.errors import UserError
from tinkit.files.text import check_lines, read_text


@dataclass(frozen=True)
class Rows:
    """The rows of one annotation file, N of them. Label words are still text: numbers or names.

    ``lines`` (N,) int64: the line each row stands on, from 1 (for Parquet and JSON: ``unit`` from 1). ``labels`` is
    a list of strings a row, or None where the file has none. ``frames`` is what a list states; ``start`` and ``end``
    of a range are kept only where the list gives an offset. ``notes`` is what users should know of the set, a line
    each.
    """

    file: Path
    lines: np.ndarray
    ids: pa.Array
    paths: pa.Array
    labels: pa.Array | None
    stated: pa.Array | None = None
    start: pa.Array | None = None
    source: pa.Array | None = None
    unit: str = "line"
    notes: tuple[str, ...] = ()

    def fail(self, index: int, problem: str, *, expected: str | None = None, fix: str | None = None) -> UserError:
        """The error for row ``index``, which names the file and the line (or the row of a file without lines)."""
        number = int(self.lines[index])
        if self.unit == "line":
            return UserError(problem, file=self.file, line=number, expected=expected, fix=fix)
        return UserError(f"{self.unit} {number}: {problem}", file=self.file, expected=expected, fix=fix)


def text_lines(file: Path) -> tuple[np.ndarray, pa.Array]:
    """The lines of a file that hold something, stripped, and their numbers (int64, from 1)."""
    lines = pc.utf8_trim_whitespace(
        pc.split_pattern(pa.array([check_lines(read_text(file), file)], pa.large_string()), "\n").flatten()
    )
    kept = pc.not_equal(lines, "")
    numbers = np.flatnonzero(kept.to_numpy(zero_copy_only=False)) + 1
    lines = lines.filter(kept)
    if not len(lines):
        raise UserError("the file is empty", file=file, expected="one clip a line")
    return numbers.astype(np.int64), lines


def split_words(text: pa.Array, pattern: str) -> pa.Array:
    """Every string cut at the regular expression ``pattern`` into a list of its words, empty ones left out."""
    words = pc.split_pattern_regex(text, pattern)
    flat, parents = words.flatten(), pc.list_parent_indices(words)
    filled = pc.fill_null(pc.not_equal(flat, ""), False)
    return regroup(flat.filter(filled), parents.filter(filled).to_numpy(), len(text))


def regroup(values: pa.Array, parents: np.ndarray, count: int) -> pa.Array:
    """A list array of ``count`` rows from flat ``values`` whose rows are ``parents``, which rise."""
    offsets = np.searchsorted(parents, np.arange(count + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def last_part_without_number(ids: pa.Array) -> pa.Array:
    """The video that a clip was cut from, where the id tells: ``a/yt-zxQfALnTdfc_56.mp4`` -> ``yt-zxQfALnTdfc``.

    An id of another form is its own source.
    """
    return pc.replace_substring_regex(ids, pattern=r"^(?:.*/)?([^/]+)_\d+\.\w+$", replacement=r"\1")
