"""The score file: what a model said of every clip of a split.

Arrow IPC, one row a clip: ``id: string``, ``scores: fixed_size_list<float32>[C]`` (null: the clip could not be
decoded), ``labels: list<int32>`` (null: unknown), ``source: string`` (the video a clip was cut from). The schema's
metadata key ``tinkit`` holds a :class:`~tinkit.scores.table.ScoreInfo` as JSON. A file of one record batch, which is
what :func:`~tinkit.scores.writing.write_scores` writes, is read without a copy: the scores are a view into the
memory-mapped file. The files are sealed (:mod:`tinkit.files.arrow`): opening one checks what Arrow parses,
:func:`verified_scores` the scores too, and :func:`open_scores` leaves that to whoever uses them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from tinkit.errors import UserError
from tinkit.files.arrow import ArrowFile, Verification, open_arrow
from tinkit.scores.checks import FIELDS, check_rows, check_scores, row_words
from tinkit.scores.metadata import REWRITE, parse_info
from tinkit.scores.table import COLUMNS, ArrowColumn, ScoreInfo, ScoreTable

_BROKEN = (pa.ArrowException, OSError, UnicodeDecodeError)  # what Arrow raises for bytes that are none of its own


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
    """Read a score file whose scores are going to be used, and what names its content (see :class:`OpenScores`).

    Raises as :func:`read_scores`, and for a file whose bytes do not have the checksum that it carries; of one without
    a checksum, as other tools write it, that is logged. Scores that are not finite are :func:`check_scores`'s.
    """
    file, reader, info = _open(Path(path))
    digest = file.verified_digest()
    return _read(file, reader, info), digest


class OpenScores:
    """A score file whose scores are compared with its checksum while they are used, in one pass over them.

    ``digest`` names the content: it is made from the checksum, or is the SHA-256 of a file that has none or that an
    earlier release sealed. Nothing that was made from the scores may be kept before :meth:`verify` has returned.
    ``pending`` says that it has not, or that nobody knows yet whether the scores are finite.
    """

    def __init__(self, file: ArrowFile, table: ScoreTable) -> None:
        self.table = table
        self.pending = True
        self._path = file.path
        self._check: Verification | None = Verification(file)
        begin = file.data.address
        first = table.scores.__array_interface__["data"][0]
        mapped = begin <= first < begin + file.end and table.scores.flags.c_contiguous
        self._first = first - begin if mapped else 0
        self._row = 4 * table.scores.shape[1] if mapped else 0
        self.digest = file.digest or self.verify() or ""

    def used(self, rows: int) -> None:
        """Take in the bytes of the first ``rows`` rows, which are in use now."""
        if self._check is not None:
            self._check.advance(self._first + self._row * rows)

    def verify(self) -> str | None:
        """Compare what is left. Raises :class:`~tinkit.errors.UserError` for a damaged file; once is enough."""
        if self._check is None:
            return None
        digest = self._check.finish()
        self._check = None
        return digest

    def require(self) -> None:
        """Compare and check everything now. Raises as :meth:`verify` and :func:`~tinkit.scores.checks.check_scores`."""
        if self.pending:
            self.verify()
            check_scores(self.table, self._path)
            self.pending = False


def open_scores(path: str | Path) -> OpenScores:
    """Read a score file whose scores are going to be used block by block. Raises as :func:`read_scores`."""
    file, reader, info = _open(Path(path))
    return OpenScores(file, _read(file, reader, info))


def _read(file: ArrowFile, reader: pa.ipc.RecordBatchFileReader, info: ScoreInfo) -> ScoreTable:
    path = file.path
    try:
        table = reader.read_all()
        table.validate()
        table.select(["id", "labels", "source"]).validate(full=True)
    except _BROKEN as error:
        raise _unreadable(path, error) from error
    width = len(info.classes)
    wanted = scores_schema(width)
    columns = {name: _one_array(_as(table, wanted.field(FIELDS[name]), path)) for name in COLUMNS}
    lists = _one_array(_as(table, wanted.field("scores"), path))
    check_rows(columns, info, path)
    valid = ~lists.is_null().to_numpy(zero_copy_only=False) if lists.null_count else np.ones(len(lists), bool)
    values = lists.values.slice(lists.offset * width, len(lists) * width)
    if values.null_count:
        # Arrow's own builders put nulls under a null row; in any other row a null stands for nothing.
        stray = values.is_null().to_numpy(zero_copy_only=False).reshape(-1, width)[valid].any(axis=1)
        if stray.any():
            row = int(np.flatnonzero(valid)[np.flatnonzero(stray)[0]])
            raise UserError(
                f"{row_words(row, columns['ids'])} has a null among its scores",
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


def scores_type(width: int) -> pa.DataType:
    """The type of the column of scores of ``width`` classes."""
    return pa.list_(pa.float32(), width)


def scores_schema(width: int) -> pa.Schema:
    """The columns of a score file of ``width`` classes."""
    fields = (("id", pa.string()), ("scores", scores_type(width)), ("labels", pa.list_(pa.int32())))
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
    wanted = scores_schema(len(info.classes))
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


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    """The column, without a copy where it is in one chunk, as in the files that we write."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(
        f"not a score file, or cut short: {error}",
        file=path,
        expected="an Arrow IPC file (the file format, not the stream format)",
        fix=REWRITE,
    )
