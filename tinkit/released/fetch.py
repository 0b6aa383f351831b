"""A released checkpoint fetched: from its owners or a mirror, once, verified, and recorded."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from tinkit import __version__
from tinkit.errors import UsageError, UserError
from tinkit.files.atomic import check_place, flush, flush_folder
from tinkit.files.hashes import sha256_file
from tinkit.files.locks import writing
from tinkit.files.system_errors import write_errors
from tinkit.released.download import Patience, Progress, Wanted, copy, download, remove_part
from tinkit.released.http import PageError
from tinkit.released.origin import Origin, origin_path, recorded_sha256, write_origin
from tinkit.released.table import Released

UNKNOWN = "nothing was known of it: its SHA-256 is recorded, and the next download is compared with it"


@dataclass(frozen=True)
class Fetched:
    """``file`` with its ``sha256``; ``verified`` says by what. ``before``: it was there already."""

    file: Path
    sha256: str
    verified: str
    before: bool


@dataclass(frozen=True)
class _Known:
    """A SHA-256, or the ``digits`` that it begins with, and whose word that is; ``record`` is the file that has it."""

    digits: str
    whose: str
    record: Path | None = None


def fetch(
    row: Released,
    folder: Path,
    *,
    mirror: str | None = None,
    sha256: str | None = None,
    force: bool = False,
    say: Callable[[str], None] = lambda _: None,
    progress: Progress = lambda _, __: None,
    patience: Patience = Patience(),
) -> Fetched:
    """The file of ``row`` in ``folder/NAME``, from ``mirror`` (a folder, ``file://`` or ``http(s)://`` address that
    holds it) or else from its owners. What is there already is verified and left, unless ``force``.

    It is verified by the table's SHA-256, by ``sha256``, by the digits of its name, and by what was recorded of it
    before, whichever there are. ``say`` gets lines for people. Raises :class:`~tinkit.errors.UserError`.
    """
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UsageError(f"--sha256 {sha256[:80]!r}", expected="64 hexadecimal digits")
    place = folder / row.name
    with write_errors(place, "name another folder: --folder DIR"):
        place.mkdir(parents=True, exist_ok=True)
    file = place / row.file
    with write_errors(file, "name another folder: --folder DIR"), writing(file):
        check_place(file)
        known = _known(row, file, sha256)
        if file.exists() and not force:
            found, verified = _verify(file, file, known, "move it away, or download it again with --force")
            if not origin_path(file).exists():
                write_origin(file, _origin(row, "found in this folder", file, found, verified))
            return Fetched(file, found, verified, before=True)
        return _fetched(row, file, known, _source(row, mirror), (say, progress, patience))


def _fetched(
    row: Released,
    file: Path,
    known: list[_Known],
    source: str | Path,
    how: tuple[Callable[[str], None], Progress, Patience],
) -> Fetched:
    say, progress, patience = how
    part = file.with_name(f".{file.name}.part")
    came_from = str(source)
    try:
        if isinstance(source, Path):
            copy(source, row.mib, part, progress)
        else:
            came_from = download(Wanted(source, row.mib, bool(known)), part, say, progress, patience)
    except PageError as error:
        raise PageError(came_from, file) from error
    try:
        _check_content(part, came_from, file)
        found, verified = _verify(
            part, file, known, "try another source (--mirror DIR|URL); what was downloaded was removed"
        )
    except UserError:
        remove_part(part)
        raise
    flush(part)
    origin = _origin(row, came_from, part, found, verified)
    part.replace(file)
    write_origin(file, origin)
    remove_part(part)
    flush_folder(file.parent)
    return Fetched(file, found, verified, before=False)


def _source(row: Released, mirror: str | None) -> str | Path:
    """An address, or a file of this machine."""
    if mirror is None:
        return row.address
    parts = urlsplit(mirror)
    try:
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"--mirror {mirror[:200]!r}: {error}") from error
    match parts.scheme:
        case "http" | "https" if parts.hostname:
            return f"{mirror.rstrip('/')}/{quote(row.file)}"
        case "file" if parts.netloc in ("", "localhost"):
            folder = Path(url2pathname(parts.path))
        case scheme if scheme and "://" in mirror:
            raise UsageError(
                f"--mirror {mirror[:200]!r} is not read", expected="a folder, file:///DIR, http://... or https://..."
            )
        case _:
            folder = Path(mirror)
    source = folder if folder.is_file() and folder.name == row.file else folder / row.file
    if not source.is_file():
        raise UserError(
            "no such file", file=source, expected=f"{row.file} in the folder of --mirror", fix=f"get it: {row.address}"
        )
    return source


def _known(row: Released, file: Path, sha256: str | None) -> list[_Known]:
    """What its SHA-256 is known to be, the most trusted first."""
    known = [
        _Known(row.sha256, "the SHA-256 of the table"),
        _Known((sha256 or "").lower(), "the SHA-256 of --sha256"),
        _Known(row.digits, "the eight digits of its name"),
    ]
    if (recorded := recorded_sha256(file)) is not None:
        known.append(_Known(recorded[0], f"the SHA-256 recorded on {recorded[1][:10]}", origin_path(file)))
    return [one for one in known if one.digits]


def _verify(path: Path, file: Path, known: list[_Known], fix: str) -> tuple[str, str]:
    """The SHA-256 of what lies at ``path`` and is ``file`` or will be, and by what it was verified."""
    found = sha256_file(path)
    for one in known:
        if not found.startswith(one.digits):
            if one.record is not None:
                fix += f"; if its owners have replaced it, remove {one.record}"
            raise UserError(
                f"its SHA-256 is {found}, which is not {one.whose}",
                file=file,
                expected=one.digits if len(one.digits) == 64 else f"{one.digits}...",
                fix=fix,
            )
    return found, ", ".join(one.whose for one in known) or UNKNOWN


def _check_content(part: Path, source: str, file: Path) -> None:
    """Refuse what hosts send in the place of a file: a page, or nothing."""
    with part.open("rb") as handle:
        head = handle.read(512).lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<head")):
        raise PageError(source, file)
    if not head:
        raise UserError(f"{source}: the file is empty", expected="the bytes of a checkpoint")


def _origin(row: Released, source: str, file: Path, sha256: str, verified: str) -> Origin:
    when = datetime.now().astimezone().isoformat(" ", "seconds")
    return Origin(
        *(row.name, row.code_base, row.recipe, row.licence, row.address, source, when),
        *(file.stat().st_size, sha256, verified, __version__),
    )
