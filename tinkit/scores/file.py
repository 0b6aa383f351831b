"""The score file: what a model said of every clip of a split.

Arrow IPC, one row a clip: ``id: string``, ``scores: fixed_size_list<float32>[C]`` (null: the clip could not be
decoded), ``labels: list<int32>`` (null: unknown), ``source: string`` (the video a clip was cut from). The schema's
metadata key ``tinkit`` holds a :class:`~tinkit.scores.table.ScoreInfo` as JSON. A file of one record batch, which is
what :func:`write_scores` writes, is read without a copy: the scores are a view into the memory-mapped file. The files
are sealed (:mod:`tinkit.files.arrow`): opening one checks what Arrow parses, :func:`verified_scores` the scores too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.errors import UserError
from tinkit.files.arrow import ArrowFile, open_arrow, seal
from tinkit.files.atomic import atomic_path
from tinkit.scores.metadata import REWRITE, check_info, info_text, parse_info
from tinkit.scores.table import COLUMNS, ArrowColumn, ScoreInfo, ScoreTable, as_arrow

_FIELDS = {"ids": "id", "labels": "labels", "source": "source"}  # a table's columns, as the file names them
_BROKEN = (pa.ArrowException, OSError, UnicodeDecodeError)  # what Arrow raises for bytes that are none of its own
_BLOCK = 1 << 20  # score values checked at a time


def write_scores(path: str | Path, table: ScoreTable) -> str:
    """Write ``table`` to ``path`` atomically; returns the file's SHA-256, as hexadecimal digits.

    Raises :class:`~tinkit.errors.UserError`, naming the clip, for a doubled id, a label outside the classes, several
    labels in a single-label task, and valid scores that are not finite or, as probabilities or ranks, not in 0..1.
    """
    info, width = table.info, len(table.info.classes)
    check_info(info, path)
    columns = {name: as_arrow(getattr(table, name), kind) for name, kind in COLUMNS.items()}
    _check_rows(columns, info, path)
    check_scores(table, path)
    valid = np.asarray(table.valid, bool)
    scores = np.ascontiguousarray(table.scores, np.float32)
    if not np.isnan(scores[~valid]).all():
        scores = np.where(valid[:, None], scores, np.float32("nan"))
    lists = pa.FixedSizeListArray.from_arrays(
        pa.array(scores.reshape(-1)), type=_scores_type(width), mask=None if valid.all() else pa.array(~valid)
    )
    schema = _schema(width).with_metadata({"tinkit": info_text(info)})
    batch = pa.record_batch([columns["ids"], lists, columns["labels"], columns["source"]], schema=schema)
    with atomic_path(path) as temporary:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            writer.write_batch(batch)
        return seal(temporary)


def read_info(path: str | Path) -> ScoreInfo:
    """The metadata of a score file; only its schema is read. Raises as :func:`read_scores`."""
    return _open(Path(path))[2]


def read_scores(path: str | Path) -> ScoreTable:
    """Read and validate a score file; the scores stay in the memory-mapped file (see the module's first lines).

    Raises :class:`~tinkit.errors.UserError`, naming the file and the row, when it is not a score file, truncated, of
    another version or width, or holds doubled ids or labels outside the classes. That the scores are finite, which
    would read all of them, is :func:`check_scores`.
    """
    return _read(*_open(Path(path)))


def verified_scores(path: str | Path) -> tuple[ScoreTable, str]:
    """Read a score file whose scores are going to be used, and the SHA-256 of its bytes, each of which is read once.

    Raises as :func:`read_scores`, and for a file whose bytes do not have the checksum that it carries; of one without
    a checksum, as other tools write it, that is logged. Scores that are not finite are :func:`check_scores`'s.
    """
    file, reader, info = _open(Path(path))
    digest = file.verified_hash()
    return _read(file, reader, info), digest


def _read(file: ArrowFile, reader: pa.ipc.RecordBatchFileReader, info: ScoreInfo) -> ScoreTable:
    path = file.path
    try:
        table = reader.read_all()
        table.validate()
        table.select(["id", "labels", "source"]).validate(full=True)
    except _BROKEN as error:
        raise _unreadable(path, error) from error
    width = len(info.classes)
    wanted = _schema(width)
    columns = {name: _one_array(_as(table, wanted.field(_FIELDS[name]), path)) for name in COLUMNS}
    lists = _one_array(_as(table, wanted.field("scores"), path))
    _check_rows(columns, info, path)
    valid = ~lists.is_null().to_numpy(zero_copy_only=False) if lists.null_count else np.ones(len(lists), bool)
    values = lists.values.slice(lists.offset * width, len(lists) * width)
    if values.null_count:
        # Arrow's own builders put nulls under a null row; in any other row a null stands for nothing.
        stray = values.is_null().to_numpy(zero_copy_only=False).reshape(-1, width)[valid].any(axis=1)
        if stray.any():
            row = int(np.flatnonzero(valid)[np.flatnonzero(stray)[0]])
            raise UserError(
                f"{_row(row, columns['ids'])} has a null among its scores",
                file=path,
                expected="a row that is null as a whole, or not at all",
            )
        values = values.fill_null(float("nan"))
    scores = values.to_numpy(zero_copy_only=True).reshape(len(lists), width)
    if not np.isnan(scores[~valid]).all():  # another program's file: what lies under a null may be anything
        scores = np.where(valid[:, None], scores, np.float32("nan"))
    return ScoreTable(
        info=info,
        ids=ArrowColumn(columns["ids"]),
        scores=scores,
        valid=valid,
        labels=ArrowColumn(columns["labels"]),
        source=ArrowColumn(columns["source"]),
    )


def check_scores(table: ScoreTable, path: str | Path | None = None) -> None:
    """Raise a UserError naming the first valid row whose scores are not finite, or not in 0..1 where they must be."""
    unit = table.info.kind != "logits"
    step = max(1, _BLOCK // max(1, table.scores.shape[1]))
    for start in range(0, len(table), step):
        block = table.scores[start : start + step]
        good = np.isfinite(block)
        if unit:
            good &= (block >= 0) & (block <= 1 + 1e-5)
        bad = np.flatnonzero(table.valid[start : start + step] & ~good.all(axis=1))
        if bad.size:
            raise UserError(
                f"{_row(start + int(bad[0]), table.ids)} has scores that cannot be {table.info.kind}",
                file=path,
                expected="finite numbers from 0 to 1" if unit else "finite numbers",
                fix="null scores mark a clip that could not be scored; a model that gives NaN has diverged",
            )


def _scores_type(width: int) -> pa.DataType:
    return pa.list_(pa.float32(), width)


def _schema(width: int) -> pa.Schema:
    fields = (("id", pa.string()), ("scores", _scores_type(width)), ("labels", pa.list_(pa.int32())))
    return pa.schema([*fields, ("source", pa.string())])


def _open(path: Path) -> tuple[ArrowFile, pa.ipc.RecordBatchFileReader, ScoreInfo]:
    if not path.is_file():
        raise UserError("no such score file", file=path, fix="make it with `tinkit test RUN --split SPLIT`")
    try:
        file = open_arrow(path)
        reader = file.reader()
    except _BROKEN as error:
        raise _unreadable(path, error) from error
    info = parse_info((reader.schema.metadata or {}).get(b"tinkit"), path)
    wanted = _schema(len(info.classes))
    for have in wanted:
        position = reader.schema.get_all_field_indices(have.name)
        found = [reader.schema.field(i).type for i in position]
        if len(found) != 1 or not _holds(found[0], have.type):
            was = " and ".join(map(str, found)) or "missing"
            raise UserError(f"column {have.name!r} is {was}", file=path, expected=str(have.type), fix=REWRITE)
    return file, reader, info


def _holds(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a column of type ``found`` can hold what one of ``wanted`` does; writers differ in widths and names."""
    if pa.types.is_fixed_size_list(wanted):
        same_width = pa.types.is_fixed_size_list(found) and found.list_size == wanted.list_size
        return same_width and pa.types.is_floating(found.value_type)
    if pa.types.is_list(wanted):
        return (pa.types.is_list(found) or pa.types.is_large_list(found)) and pa.types.is_integer(found.value_type)
    return pa.types.is_string(found) or pa.types.is_large_string(found)


def _as(table: pa.Table, wanted: pa.Field, path: Path) -> pa.ChunkedArray:
    """A column in the type that is ours, without a copy where it is so already."""
    column = table.column(wanted.name)
    # The name of a list's inner field differs between writers, and means nothing.
    if column.type.equals(wanted.type):
        return column
    try:
        return column.cast(wanted.type)
    except pa.ArrowException as error:
        raise UserError(f"column {wanted.name!r}: {error}", file=path, expected=str(wanted.type)) from error


def _check_rows(columns: dict[str, pa.Array], info: ScoreInfo, path: str | Path) -> None:
    """Raise a UserError for null or doubled ids, null sources, and labels that the classes do not have."""
    ids, labels = columns["ids"], columns["labels"]
    for name in ("ids", "source"):
        if columns[name].null_count:
            row = int(np.flatnonzero(columns[name].is_null().to_numpy(zero_copy_only=False))[0])
            raise UserError(f"row {row + 1} has no {_FIELDS[name]}", file=path)
    codes = ids.dictionary_encode()
    if len(codes.dictionary) < len(ids):
        _, first, count = np.unique(codes.indices.to_numpy(), return_index=True, return_counts=True)
        row = int(first[count > 1].min())
        again = np.flatnonzero(codes.indices.to_numpy() == codes.indices[row].as_py())[1]
        raise UserError(f"id {ids[row].as_py()!r} occurs twice: rows {row + 1} and {again + 1}", file=path)
    flat = labels.flatten()
    lengths = pc.list_value_length(labels).fill_null(0).to_numpy(zero_copy_only=False)
    values = flat.fill_null(-1).to_numpy()
    wrong = (values < 0) | (values >= len(info.classes))
    if wrong.any():
        row = int(np.searchsorted(np.cumsum(lengths), int(np.flatnonzero(wrong)[0]), side="right"))
        raise UserError(
            f"{_row(row, ids)} has labels {labels[row].as_py()}", file=path, expected=f"0..{len(info.classes) - 1}"
        )
    if info.task == "single-label" and (lengths > 1).any():
        row = int(np.flatnonzero(lengths > 1)[0])
        raise UserError(f"{_row(row, ids)} has {lengths[row]} labels", file=path, expected="one: single-label")


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    """The column, without a copy where it is in one chunk, as in the files that we write."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _row(row: int, ids: Any) -> str:
    name = ids[row].as_py() if isinstance(ids, pa.Array) else ids[row]
    return f"row {row + 1} ({name!r})"


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(
        f"not a score file, or cut short: {error}",
        file=path,
        expected="an Arrow IPC file (the file format, not the stream format)",
        fix=REWRITE,
    )
