"""Files: atomic writes, hashes, the folders that are shipped with the package, and the one that may always be made."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from tinkit.errors import UsageError, UserError, did_you_mean

_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}

ShippedKind = Literal["recipes", "ensembles", "submissions", "kernels"]


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path``; on a clean exit it is flushed to disk and renamed over ``path``.

    If the block raises, ``path`` keeps what it held and the temporary file is removed.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{_temporary_stem(target)}{secrets.token_hex(4)}.tmp{target.suffix}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # what the user's umask says; some writers would keep the file to themselves
        yield temporary
        temporary.chmod(mode)
        flush(temporary)
        temporary.replace(target)
        flush_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def check_place(path: Path) -> None:
    """Raise :class:`~tinkit.errors.UserError` unless ``path`` is free or an ordinary file, which may be replaced.

    A link is refused too: replacing it would not do what is expected of it, and it may lead to a device.
    """
    try:
        mode = path.lstat().st_mode
    except OSError:  # it is not there, or its folder cannot be looked into, which writing will tell
        return
    if not stat.S_ISREG(mode):
        raise UserError(f"is {_KINDS.get(stat.S_IFMT(mode), 'a device')}", file=path, expected="the name of a file")


def temporaries(target: Path) -> list[Path]:
    """The temporary files that :func:`atomic_path` has made for ``target``, be their writers alive or dead."""
    name = re.compile(rf"{re.escape(_temporary_stem(target))}[0-9a-f]{{8}}\.tmp{re.escape(target.suffix)}")
    return [entry for entry in target.parent.iterdir() if name.fullmatch(entry.name)]


def _temporary_stem(target: Path) -> str:
    """How the names of temporary files of ``target``, and of no other, begin; the suffix stays, since some writers
    choose by it."""
    stem = target.stem
    if len(os.fsencode(stem)) > 100:  # shorter than NAME_MAX
        stem = f"{stem[:40]}-{sha256_text(stem)[:16]}"
    return f".{stem}."


def write_atomic(path: str | Path, content: str | bytes) -> None:
    """Write ``content`` to ``path`` so that a reader sees the old file or the new one, never a part."""
    data = content.encode() if isinstance(content, str) else content
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def flush(path: Path) -> None:
    """Wait until a file's bytes are on disk."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def flush_folder(folder: Path) -> None:
    """Make a rename durable; folders cannot be flushed on every file system."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256_file(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal digits."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """The SHA-256 of a text's UTF-8 bytes, as hexadecimal digits; file names that are no text are allowed in it."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def cache_folder() -> Path:
    """Where tinkit keeps what it can make again: ``$TINKIT_CACHE``, else ``tinkit`` in the user's cache.

    It need not be there yet. Raises :class:`~tinkit.errors.UserError` for a user who has neither that nor a home.
    """
    if chosen := os.environ.get("TINKIT_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinkit"
    except RuntimeError as problem:
        raise UserError(f"no folder for caches: {problem}", fix="set TINKIT_CACHE to a folder") from problem


def shipped(kind: ShippedKind) -> Path:
    """The folder of built-in ``kind``: inside the wheel, or at the top of a source checkout."""
    package = Path(__file__).parent
    for candidate in (package / "_shipped" / kind, package.parent / kind):
        if candidate.is_dir():
            return candidate
    raise UsageError(
        f"the built-in {kind} are not installed beside {package}",
        fix="reinstall tinkit: `pip install --force-reinstall tinkit`, or `pip install -e .` in a checkout",
    )


def shipped_names(kind: ShippedKind) -> list[str]:
    """The names of the built-in TOML files of ``kind``, sorted."""
    return sorted(path.stem for path in shipped(kind).glob("*.toml"))


def find_toml(kind: ShippedKind, name: str) -> Path:
    """The file that ``name`` means: a path when it ends in ``.toml`` or holds a slash, else a built-in.

    A path that does not exist falls back to the built-in of the same stem, so that ``recipes/mmit_r50.toml`` works from
    any folder. Raises :class:`~tinkit.errors.UsageError` with the nearest known name.
    """
    path = Path(name)
    if path.suffix == ".toml" or len(path.parts) > 1:
        if path.is_file():
            return path
        if path.parent.name not in (kind, ""):
            raise UsageError(f"{name}: no such file", fix=f"name a file, or one of: {', '.join(shipped_names(kind))}")
    builtin = shipped(kind) / f"{path.stem if path.suffix == '.toml' else name}.toml"
    if builtin.is_file():
        return builtin
    known = shipped_names(kind)
    raise UsageError(
        f"no {kind.rstrip('s')} is called {name!r}{did_you_mean(path.stem, known)}",
        expected=f"a .toml file, or one of: {', '.join(known)}",
    )
