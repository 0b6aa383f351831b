"""Files: atomic writes, hashes, the folders that are shipped with the package, and the one that may always be made."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from tinkit.errors import UsageError, UserError, did_you_mean, nearest

logger = logging.getLogger(__name__)

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
    placed = False
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # what the user's umask says; some writers would keep the file to themselves
        yield temporary
        temporary.chmod(mode)
        flush(temporary)
        temporary.replace(target)
        placed = True
        flush_folder(target.parent)
    finally:
        if not placed:
            with suppress(OSError):  # what went wrong before is what matters
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


def put_aside(path: Path) -> Path:
    """Rename a file that cannot be read, so that nothing is lost; returns its new name."""
    number = 1
    while (target := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    path.rename(target)
    return target


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
    package = Path(__file__).parents[1]
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

    A path below a folder of that kind that does not exist falls back to the built-in of the same stem, which is said,
    so that ``recipes/mmit_r50.toml`` works from any folder. Raises :class:`~tinkit.errors.UsageError` with the nearest
    known names.
    """
    path = Path(name)
    by_path = path.suffix == ".toml" or len(path.parts) > 1
    if by_path and _is_there(path):
        return path
    stem = path.stem if path.suffix == ".toml" else path.name
    known = shipped_names(kind)
    what = kind.rstrip("s")
    expected = f"a .toml file that is there, or a built-in {what}: {', '.join(nearest(stem, known))}, ..."
    listing = "`tinkit recipes` lists all" if kind == "recipes" else None
    shown = name[:200] if name.isprintable() else repr(name[:200])
    if by_path and (stem not in known or path.parent.name not in (kind, "")):
        near = did_you_mean(name, map(str, _beside(path))) or did_you_mean(stem, known)
        raise UsageError(f"{shown}: no such file{near}", expected=expected, fix=listing)
    if stem not in known:
        raise UsageError(
            f"no {what} is called {name[:200]!r}{did_you_mean(stem, known)}", expected=expected, fix=listing
        )
    if by_path:
        logger.warning("%s: no such file; the built-in %s %s is taken", name, what, stem)
    return shipped(kind) / f"{stem}.toml"


def read_bounded(path: Path, limit: int, expected: str) -> bytes:
    """The bytes of a file of at most ``limit`` bytes.

    Raises :class:`~tinkit.errors.UserError` for a larger one, for one that cannot be read, and for a folder, a device
    or a pipe, which is not waited for.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                what = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
                raise UserError(f"is {what}, not a file", file=path, expected=expected)
            with open(descriptor, "rb", closefd=False) as handle:
                data = handle.read(limit + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", file=path, expected=expected) from error
    except ValueError as error:  # a NUL, or half a surrogate pair, in the path
        raise UserError(f"{str(path)!r} is not a path: {error}", expected=expected) from error
    if len(data) > limit:
        size = f"{limit >> 20} MiB" if limit >> 20 else f"{limit} bytes"
        raise UserError(f"larger than {size}", file=path, expected=expected)
    return data


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Say of ``path`` what the system's error in the block, which only reads it, means for its user."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", file=path) from error


def _beside(path: Path) -> list[Path]:
    """The TOML files in the folder of ``path``, as far as it can be read."""
    with suppress(OSError, ValueError):
        return [found for found in sorted(path.parent.glob("*.toml"))[:1000] if found.is_file()]
    return []


def _is_there(path: Path) -> bool:
    """Whether there is anything at ``path``; raises a UserError where that cannot be told."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError as error:
        raise UserError(f"{str(path)[:100]}: cannot be read: {error.strerror}") from error
    return True
