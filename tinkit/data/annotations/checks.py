"""What every annotation must hold, whatever its layout: ids once, and paths below the root.

A million rows are checked by columns; only an error looks at a single row.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.data.config.dataset import DataConfig
from tinkit.data.layouts.rows import Rows
from tinkit.data.paths.clip_path import ESCAPE
from tinkit.data.paths.image_names import NAME_MOST

PATH_MOST = 3500
"""Bytes of a path below the data set's folder: a whole one has 4,095 on Linux."""

_CONTROL = r"[\x00-\x1f\x7f]"


def check_ids(rows: Rows) -> None:
    """Refuse an empty id, one with control characters, and one that occurs twice (both lines are named)."""
    empty = first_true(pc.or_kleene(pc.is_null(rows.ids), pc.equal(rows.ids, "")))
    if empty is not None:
        raise rows.fail(empty, "the row has no id", expected="the name of a clip")
    odd = None if rows.ids is rows.paths else first_true(pc.match_substring_regex(rows.ids, _CONTROL))
    if odd is not None:
        raise rows.fail(
            odd,
            f"the id {rows.ids[odd].as_py()!r} holds a control character",
            expected="a name that fits on one line of text",
        )
    codes = rows.ids.dictionary_encode().indices.to_numpy()
    if len(codes) and int(codes.max()) + 1 == len(codes):
        return
    # A dictionary numbers values as they first appear, so the first row that does not bring a new one is a double.
    second = int(np.flatnonzero(codes != np.arange(len(codes)))[0])
    first = int(np.flatnonzero(codes == codes[second])[0])
    raise rows.fail(
        second,
        f"the id {rows.ids[second].as_py()!r} occurs on {rows.unit} {int(rows.lines[first])} already",
        expected="every clip once",
        fix="delete one of the two, or give each an id of its own",
    )


def check_paths(rows: Rows) -> None:
    """Refuse a path that is empty or leads out of the data set's folder."""
    paths = rows.paths
    bad = first_true(
        pc.or_kleene(pc.fill_null(pc.match_substring_regex(paths, ESCAPE), True), pc.equal(pc.fill_null(paths, ""), ""))
    )
    if bad is not None:
        raise rows.fail(
            bad,
            f"the path {paths[bad].as_py()!r} is not below the data set's folder",
            expected="a relative path without '..' and without control characters",
        )
    long = too_long(paths)
    if long is not None:
        raise rows.fail(
            long,
            f"the path begins with {paths[long].as_py()[:40]!r} and is longer than a file's can be",
            expected=f"names of at most {NAME_MOST} bytes, {PATH_MOST} in all",
        )


def too_long(paths: pa.Array) -> int | None:
    """The index of a path that no file system takes, or None. Most are short: these are not looked into."""
    lengths = pc.binary_length(paths)
    if len(paths) == 0 or (pc.max(lengths).as_py() or 0) <= NAME_MOST:
        return None
    named = pc.match_substring_regex(paths.cast(pa.binary()), f"[^/]{{{NAME_MOST + 1}}}")
    return first_true(pc.fill_null(pc.or_(named, pc.greater(lengths, PATH_MOST)), False))


def below_root(rows: Rows, config: DataConfig, root: Path) -> Rows:
    """``rows`` with absolute paths below the clips' folder made relative to it, and so are ids that are such paths.

    Raises :class:`~tinkit.errors.UserError` for those that lie elsewhere.
    """
    absolute = pc.fill_null(pc.starts_with(rows.paths, "/"), False)
    if first_true(absolute) is None:
        return rows
    roots = {root.as_posix()} | ({config.root.expanduser().absolute().as_posix()} if config.root else set())
    media = config.layout.media_folder.strip("/")
    paths, ids = rows.paths, rows.ids
    for folder in sorted(roots):
        prefix = f"^{re.escape(folder.rstrip('/'))}/+" + (f"{re.escape(media)}/+" if media else "")
        paths = pc.replace_substring_regex(paths, pattern=prefix, replacement="")
        ids = pc.replace_substring_regex(ids, pattern=prefix, replacement="")
    outside = first_true(pc.fill_null(pc.starts_with(paths, "/"), False))
    if outside is not None:
        path = paths[outside].as_py()
        inside = media and any(path.startswith(f"{folder.rstrip('/')}/") for folder in roots)
        raise rows.fail(
            outside,
            f"the path {path!r} is not below the {'clips' if inside else 'data set'}' folder".replace("set'", "set's"),
            expected=f"a path relative to {root / media}, or an absolute one below it",
            fix="set data.media_folder = ''"
            if inside
            else "name the folder that holds all clips with --data or data.root",
        )
    return replace(rows, paths=paths, ids=ids)


def first_true(mask: pa.Array) -> int | None:
    """The index of the first True, or None."""
    index = pc.index(mask, pa.scalar(True)).as_py()
    return None if index < 0 else int(index)
