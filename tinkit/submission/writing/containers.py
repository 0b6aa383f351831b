"""What a leaderboard's file is packed in: nothing, gzip, or a zip archive of one file or several."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

Writer = Callable[[BinaryIO], None]

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # fixed, so that the same scores give the same bytes
_BUFFER = 1 << 20


def pack(path: Path, writers: Mapping[str, Writer], *, packed_by: str) -> None:
    """Write ``path``: by the only writer, plain or packed by ``gz``, or a ``zip`` archive of a file for each writer."""
    with ExitStack() as stack:
        if packed_by == "zip":
            archive = stack.enter_context(zipfile.ZipFile(path, "w"))
            for name, write in writers.items():
                with archive.open(_member(name), "w", force_zip64=True) as member:
                    write(cast(BinaryIO, member))
            return
        (write,) = writers.values()
        handle: BinaryIO = stack.enter_context(path.open("wb", buffering=_BUFFER))
        if packed_by == "gz":
            # No name and no time inside: the same scores give the same bytes.
            packed = gzip.GzipFile(filename="", fileobj=handle, mode="wb", compresslevel=6, mtime=0)
            handle = cast(BinaryIO, stack.enter_context(packed))
        write(handle)


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _ZIP_TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info
