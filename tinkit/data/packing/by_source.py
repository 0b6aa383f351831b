"""Work done file by file, with a note of each: what is written for a video, or a folder of images, and what is known.

The notes are indexes of the columns of a shard's, without frames: the id is the path. They lie in the folder of the
results; while the work is done, those of each task lie in a folder beside, and are joined in the end.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.packed.index import SHARD_SCHEMA, read_table
from tinkit.data.packing.parts import CRASHED, Row, read_parts, source_row, write_index
from tinkit.data.packing.shares import alone, stem_of, sweep_share
from tinkit.data.packing.sources import Source, SourceClip, SourceFiles, stale
from tinkit.data.paths.clip_path import clip_path
from tinkit.data.probe.clip import require_folder
from tinkit.errors import UserError
from tinkit.files.arrow import DamagedFileError, open_arrow
from tinkit.spread.engine import Engine, Share

_FILES_A_TASK = 8
Write = Callable[[Source, Path], Row]
"""Writes what is made of a source; ``Path`` is free for its temporary files. Raises BrokenClip."""


@dataclass(frozen=True)
class Notes:
    """The notes called ``name`` in the folder of the results."""

    folder: Path
    name: str

    @property
    def work(self) -> Path:
        """Where the notes of tasks lie, and temporary files."""
        return self.folder / f".{self.name}.work"

    @property
    def joined(self) -> Path:
        """All that is known."""
        return self.folder / f".tinkit-{self.name}.arrow"

    def known(self) -> dict[str, Row]:
        """What is known of sources, by path: of earlier runs, and of tasks."""
        tables = []
        with suppress(DamagedFileError, OSError):  # there are none yet, or the sources are looked at again
            tables.append(read_table(open_arrow(self.joined), SHARD_SCHEMA))
        tables += [table for _, table in read_parts(self.work)]
        return {row["path"]: row for table in tables for row in table.to_pylist()}


@dataclass(frozen=True)
class Done:
    """What is known of every source, by path, and how many were worked on now."""

    rows: dict[str, Row]
    fresh: int

    @property
    def broken(self) -> dict[str, str]:
        """{path: why} of those that cannot be read."""
        return {path: row["reason"] for path, row in self.rows.items() if row["reason"]}


def sources_with_places(
    manifests: Sequence[Manifest], files: SourceFiles, folder: Path, place: Callable[[str], str]
) -> dict[str, Path]:
    """Where in ``folder`` the result of each path goes. Raises UserError for two that would share a place."""
    places: dict[Path, str] = {}
    for path in dict.fromkeys(path for manifest in manifests for path in manifest.paths):
        target = clip_path(folder, place(path))
        if places.setdefault(target, path) != path:
            raise UserError(f"{path!r} and {places[target]!r} would both be written to {target}")
        if target.resolve() == (Path(files.root) / path).resolve():
            raise UserError(f"{path!r} would be written over itself", fix="name another folder with --out")
    return {path: target for target, path in places.items()}


def do_sources(
    notes: Notes,
    files: SourceFiles,
    places: dict[str, Path],
    write: Write,
    engine: Engine,
    share: Share,
    on_sources: Callable[[int], None],
) -> Done | None:
    """Call ``write`` for every source that is not known, has changed, or whose result is gone; None of a mere share.

    It is called in the engine's processes. ``on_sources(n)`` is called with n more.
    """
    notes.work.mkdir(parents=True, exist_ok=True)
    with alone(notes.work, share, str(notes.folder)):
        sweep_share(notes.work, share)
        known = notes.known()
        mine = share.of([Source(path, (SourceClip(path, 0, -1),)) for path in places])
        todo = [
            source
            for source in mine
            if stale(files, source, known) or not (known[source.path]["reason"] or places[source.path].exists())
        ]
        on_sources(len(mine) - len(todo))
        begin = f"{notes.work}/{stem_of(share)}"
        chunks = [tuple(todo[at : at + _FILES_A_TASK]) for at in range(0, len(todo), _FILES_A_TASK)]
        spread = engine.spread(partial(_write_some, files, begin, write), partial(_crashed, files, begin))
        for results in spread.results(chunks) if chunks else ():
            on_sources(len(results))
        return _joined(notes, places, len(todo)) if share.whole else None


def _joined(notes: Notes, places: dict[str, Path], fresh: int) -> Done:
    known = notes.known()
    if missing := [path for path in places if path not in known]:
        raise UserError(f"{len(missing)} files were not looked at, such as {missing[0]!r}", fix="run the command again")
    write_index(notes.joined, [known[path] for path in sorted(known)])  # whoever did what, and in which order
    shutil.rmtree(notes.work, ignore_errors=True)
    return Done({path: known[path] for path in places}, fresh)


def _write_some(files: SourceFiles, begin: str, write: Write, sources: tuple[Source, ...]) -> list[str]:
    """Work on some sources, and note them; why each cannot be read, or nothing."""
    require_folder(Path(files.root))
    rows = []
    for source in sources:
        state = files.fingerprint(source.path)
        temporary = Path(f"{begin}.{secrets.token_hex(8)}.folder")
        temporary.mkdir()
        try:
            rows.append(source_row(source, source.clips[0], state) | write(source, temporary))
        except BrokenClip as error:
            rows.append(source_row(source, source.clips[0], state, error.reason))
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    write_index(Path(f"{begin}.{secrets.token_hex(8)}.arrow"), rows)
    return [row["reason"] for row in rows]


def _crashed(files: SourceFiles, begin: str, source: Source) -> str:
    row = source_row(source, source.clips[0], files.fingerprint(source.path), CRASHED)
    write_index(Path(f"{begin}.{secrets.token_hex(8)}.arrow"), [row])
    return CRASHED
