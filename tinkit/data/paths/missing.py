"""Why a clip is not where its path says: the usual causes, tried on the disk and named."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

_SUFFIXES = (".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".MP4", ".AVI", "")
_MOST_FOLDERS = 200  # below the root that are looked into
_MOST_ENTRIES = 100_000  # of a folder whose names are compared
_PLACE = (
    "the path as written, and the folder that data.media_folder names (relative to the data set's folder), must "
    "lead to the clip"
)


def why_missing(root: Path, paths: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong with ``paths``, none of which is there below ``root``, and what to do; None if nothing was found.

    Each cause is tried by itself, and behind the cure of backslashes; one that finds a clip is named.
    """
    for path in paths:
        plain = path.replace("\\", "/")
        if plain != path and _exists(root / plain):
            return "the paths hold backslashes, as Windows writes them", f"write {plain!r}, with / between folders"
        for tried in (_otherwise_spelt, _other_suffix, _other_folder, _other_mark):
            if found := tried(root, plain):
                cause, there, fix = found
                more = " (and the paths hold backslashes)" if plain != path else ""
                return f"{cause}: {there!r} exists{more}", fix
    return None


Found = tuple[str, str, str] | None


def _otherwise_spelt(root: Path, path: str) -> Found:
    """In other letters: capitals, or accents that are characters of their own."""
    there = _like(root, path)
    if there is None or there == path:
        return None
    if _composed(there) == _composed(path):
        how = "NFD, accents as characters of their own, and the list in NFC"
        if there == _composed(there):
            how = "NFC, and the list in NFD, accents as characters of their own"
        return f"the names on disk are in {how}", there, "write the names in one form: NFC, say, as `convmv --nfc` does"
    return "the names on disk differ in capitals", there, "write the names in the list as they are on disk"


def _other_suffix(root: Path, path: str) -> Found:
    place = PurePosixPath(path)
    for stem, suffix in itertools.product({place.with_suffix(""), place}, _SUFFIXES):
        other = str(stem) + suffix
        if other != path and _exists(root / other):
            name = "as a folder" if (root / other).is_dir() else f"as {suffix or 'a file without a suffix'}"
            fix = "write the paths with it"
            if (root / other).is_dir():
                fix = "for folders of images set data.media = 'frames', and write the paths without a suffix"
            return f"the clips lie there {name}", other, fix
    return None


def _other_folder(root: Path, path: str) -> Found:
    """A folder below the root that the path lacks, or one that it has too many."""
    parts = PurePosixPath(path).parts
    for first in range(1, len(parts)):
        shorter = "/".join(parts[first:])
        if _exists(root / shorter):
            return f"the folder {'/'.join(parts[:first])!r} does not exist there", shorter, f"{_PLACE}: set it to ''"
    folders = [entry for entry in itertools.islice(_entries(root), _MOST_FOLDERS) if entry.is_dir()]
    for folder, first in itertools.product(folders, range(len(parts))):
        other = folder / "/".join(parts[first:])
        if _exists(other):
            there = other.relative_to(root).as_posix()
            return "the clips lie in another folder", there, f"{_PLACE}: set it to {folder.name!r}"
    return None


def _other_mark(root: Path, path: str) -> Found:
    """A space, plus or underscore for one another."""
    for mark, other in itertools.permutations(" +_", 2):
        there = path.replace(mark, other)
        if there != path and _exists(root / there):
            return f"the names on disk have {other!r} for {mark!r}", there, "write the names as they are on disk"
    return None


def _like(root: Path, path: str) -> str | None:
    """The path on disk that reads alike but for capitals and the form of accents."""
    found = PurePosixPath()
    for part in PurePosixPath(path).parts:
        if _exists(root / found / part):
            found /= part
            continue
        alike = (_alike(_composed), _alike(lambda name: _composed(name).casefold()))
        names = [entry.name for entry in itertools.islice(_entries(root / found), _MOST_ENTRIES)]
        match = next((name for same in alike for name in names if same(name, part)), None)
        if match is None:
            return None
        found /= match
    return str(found)


def _alike(form: Callable[[str], str]) -> Callable[[str, str], bool]:
    return lambda one, other: form(one) == form(other)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _entries(folder: Path) -> Iterator[Path]:
    """What ``folder`` holds, but for hidden names; nothing where it cannot be listed."""
    try:
        yield from (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        return


def _exists(path: Path) -> bool:
    """Whether there is something; not where a name is too long for any file, of which Path would raise an error."""
    return os.path.exists(path)  # noqa: PTH110
