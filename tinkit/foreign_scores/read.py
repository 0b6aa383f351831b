"""Which of the forms a foreign file has, by its first bytes, and the scores in it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from tinkit.errors import UserError
from tinkit.files.json import parse_json
from tinkit.files.system_errors import read_errors
from tinkit.files.text import read_text
from tinkit.foreign_scores.columns import found_in_columns
from tinkit.foreign_scores.delimited import read_delimited
from tinkit.foreign_scores.found import MOST_BYTES, Found, Hints, refuse_bomb
from tinkit.foreign_scores.numpy_files import read_npy, read_npz
from tinkit.foreign_scores.shapes import found_in
from tinkit.pickles.arrays import Plain
from tinkit.pickles.tensors import PickleError, RefusedError
from tinkit.pickles.torch_file import BarePickleError, open_torch_file

_FORMS = "csv, json, npy, npz, Parquet, Feather, Arrow, a pickle or a file of torch.save"
_STEPS = 400_000_000  # instructions of a pickle: at most as many as the file has bytes
_PICKLES = frozenset({".pkl", ".pickle", ".pt", ".pth", ".p"})
_OTHERS = (
    (b"\x1f\x8b", "compressed (gzip)", "unpack it first: gunzip"),
    (b"BZh", "compressed (bzip2)", "unpack it first: bunzip2"),
    (b"\xfd7zXZ", "compressed (xz)", "unpack it first: unxz"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)", "unpack it first: unzstd"),
    (b"\x89HDF", "HDF5", "save its arrays with numpy.savez(FILE, ids=..., scores=...)"),
    # Arrow's reader of it runs beyond the end of damaged files
    (b"FEA1", "Feather of version 1, which was replaced in 2020", "write it again: df.to_feather(FILE)"),
    (b"MATLAB", "a MATLAB file", "save its arrays with numpy.savez(FILE, ids=..., scores=...)"),
)


def read_foreign(path: Path, hints: Hints | None = None) -> Found:
    """The scores in a file of another program, whatever it is called; nothing in it is ever executed.

    Raises :class:`~tinkit.errors.UserError`, naming the file and the row where one is to blame, for a file of another
    kind, a damaged one, one that claims more than a file of its size holds, and one without scores, or with several.
    """
    hints = hints or Hints()
    if not path.is_file():
        raise UserError("is not a file" if path.exists() else "no such file", file=path, expected=_FORMS)
    with read_errors(path):
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"larger than {MOST_BYTES >> 30} GiB", file=path, expected=_FORMS)
        with path.open("rb") as handle:
            head = handle.read(64)
        try:
            return _read(path, head, hints)
        except MemoryError as error:
            raise UserError("claims more memory than there is", file=path, expected=_FORMS) from error
        except RecursionError as error:
            raise UserError("is nested too deep", file=path, expected=_FORMS) from error


def _read(path: Path, head: bytes, hints: Hints) -> Found:
    if not head:
        raise UserError("is empty", file=path, expected=_FORMS)
    for mark, what, fix in _OTHERS:
        if head.startswith(mark):
            raise UserError(f"is {what}", file=path, expected=_FORMS, fix=fix)
    steps = min(_STEPS, path.stat().st_size)
    if head.startswith(b"PK\x03\x04"):
        if _is_npz(path):
            return found_in(_only(_read_damaged(path, lambda: read_npz(path, steps))), hints, path)
        return _read_pickle(path, hints, steps)
    if head.startswith(b"\x93NUMPY"):
        return found_in(_read_damaged(path, lambda: read_npy(path, steps)), hints, path)
    if head.startswith((b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")):
        return _read_arrow(path, head, hints)
    if head.startswith(b"\x80") or path.suffix.lower() in _PICKLES:
        return _read_pickle(path, hints, steps)
    if path.suffix.lower() in (".json", ".jsonl") or head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return found_in(_read_json(path), hints, path)
    return read_delimited(path, hints)


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError, EOFError):
        return path.suffix.lower() == ".npz"


def _only(arrays: dict[str, Any]) -> Any:
    """What an npz holds: an array without a name alone, or with ids beside it, as the arrays that they are."""
    if set(arrays) == {"arr_0"}:
        return arrays["arr_0"]
    if set(arrays) == {"arr_0", "arr_1"}:
        scores = [name for name in arrays if getattr(arrays[name], "ndim", 0) == 2]
        if len(scores) == 1:
            other = "arr_1" if scores[0] == "arr_0" else "arr_0"
            return {"ids": arrays[other], "scores": arrays[scores[0]]}
    return arrays


def _read_damaged(path: Path, read: Any) -> Any:
    """What ``read`` gives. Errors of pickles inside are the user's to hear."""
    try:
        return read()
    except RefusedError as error:
        raise _refused(path, error) from error
    except PickleError as error:
        raise UserError(f"cannot be read: {error}"[:500], file=path, expected=_FORMS) from error


def _read_pickle(path: Path, hints: Hints, steps: int) -> Found:
    def content() -> Any:
        try:
            file = open_torch_file(path, most_steps=steps)
        except BarePickleError as bare:
            return Plain().of(bare.content)
        return Plain(file).of(file.content)

    plain = _read_damaged(path, content)
    return _read_damaged(path, lambda: found_in(plain, hints, path))


def _refused(path: Path, error: RefusedError) -> UserError:
    return UserError(
        f"mentions what scores have no use for ({error}); nothing was loaded, since rebuilding it could run any code",
        file=path,
        fix="do not use this file unless you know who made it, and why",
    )


def _read_arrow(path: Path, head: bytes, hints: Hints) -> Found:
    from pyarrow import ipc, parquet

    try:
        if head.startswith(b"PAR1"):
            about = parquet.ParquetFile(path).metadata
            groups = (about.row_group(number) for number in range(about.num_row_groups))
            refuse_bomb(path, sum(g.column(i).num_values for g in groups for i in range(g.num_columns)))
            return found_in_columns(parquet.ParquetFile(path).read(), hints, path, "Parquet")
        source = pa.memory_map(str(path))
        stream = not head.startswith(b"ARROW1")
        reader = ipc.open_stream(source) if stream else ipc.open_file(source)
        if b"tinkit" in (reader.schema.metadata or {}):
            raise UserError("is a score file already", file=path, fix="use it as it is; `tinkit scores show` shows it")
        batches = reader if stream else (reader.get_batch(number) for number in range(reader.num_record_batches))
        kept, numbers = [], 0
        for batch in batches:
            numbers += batch.num_rows * max(1, batch.num_columns)
            refuse_bomb(path, numbers)
            batch.validate(full=True)
            kept.append(batch)
        form = "an Arrow stream" if stream else "Arrow (Feather)"
        return found_in_columns(pa.Table.from_batches(kept, reader.schema), hints, path, form)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"is damaged: {error}"[:500], file=path, expected=_FORMS) from error


def _read_json(path: Path) -> Any:
    what = "scores: a dictionary or list of clips"
    text = read_text(path)
    lines = [line for line in text.split("\n") if line.strip()] if path.suffix.lower() == ".jsonl" else []
    if lines:
        return [_objects(parse_json(line, what, path, pairs=True), path) for line in lines]
    return _objects(parse_json(text, what, path, pairs=True), path)


def _objects(value: Any, path: Path) -> Any:
    """JSON's objects, which are lists of pairs here, as dictionaries. Raises a UserError for a doubled name."""
    if not isinstance(value, list) or not value:
        return value
    if not isinstance(value[0], tuple):
        return [_objects(one, path) if isinstance(one, list) else one for one in value]
    result = {name: _objects(one, path) if isinstance(one, list) else one for name, one in value}
    if len(result) < len(value):
        names = [name for name, _ in value]
        doubled = next(name for name in result if names.count(name) > 1)
        raise UserError(f"{doubled!r} is there twice in one object", file=path, expected="each id and class once")
    return result
