"""A data set's videos as folders of images, as TSN and its descendants read them, and the lists of them."""

from __future__ import annotations

import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

import pyarrow as pa

from tinkit.data.decode.clip_reader import BrokenClip, NoFrames
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.export.clips import ClipsToList, ListedClip
from tinkit.data.export.formats import format_of
from tinkit.data.export.lists import ListOptions, list_texts, write_lists
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.packed.index import SHARD_SCHEMA, PackSettings, read_table
from tinkit.data.packing.encode import encoded_frames
from tinkit.data.packing.parts import CRASHED, HowToPack, Row, note_crash, read_parts, source_row, write_index
from tinkit.data.packing.shares import alone, stem_of, sweep_share
from tinkit.data.packing.sources import Source, SourceClip, SourceFiles, stale
from tinkit.data.paths.clip_path import clip_path
from tinkit.data.probe.clip import require_folder
from tinkit.errors import UserError
from tinkit.files.arrow import DamagedFileError, open_arrow
from tinkit.files.claims import claim_folder
from tinkit.files.system_errors import write_errors
from tinkit.spread.engine import WHOLE, Engine, Share

TEMPLATE = "img_{:05d}.jpg"
"""How images are called, from 1: as TSN calls them."""
STATE = ".tinkit-frames.json"
_FOUND = ".tinkit-frames.arrow"
_WORK = ".frames.work"
_VIDEOS_A_TASK = 8


@dataclass(frozen=True)
class LooseOutcome:
    """What was written: ``videos`` folders, ``fresh`` of them now; {path: why} of those that cannot be read."""

    videos: int
    fresh: int
    broken: dict[str, str]
    lists: tuple[str, ...]
    problems: tuple[str, ...]
    """Why a list could not be written."""


@dataclass(frozen=True)
class LooseFolder:
    """Where the folders go, and what of a manifest's path is not repeated in theirs."""

    folder: Path
    media_folder: str
    settings: PackSettings

    def place(self, path: str, *, video: bool) -> str:
        """The folder of the images of ``path``, relative to the folder of all; a video's has no suffix."""
        place = PurePosixPath(path)
        if self.media_folder and place.is_relative_to(self.media_folder):
            place = place.relative_to(self.media_folder)
        return str(place.with_suffix("") if video else place)


def write_loose(
    manifests: Sequence[Manifest],
    files: SourceFiles,
    to: LooseFolder,
    engine: Engine,
    share: Share = WHOLE,
    on_videos: Callable[[int], None] = lambda count: None,
) -> LooseOutcome | None:
    """Write a folder of images for every video of ``manifests`` that has none yet, or has changed; None of a share.

    A folder appears when it is whole. ``on_videos(n)`` is called with n more.
    """
    wanted = {"template": TEMPLATE, "dataset": manifests[0].dataset, **to.settings.model_dump()}
    with write_errors(to.folder):
        claim_folder(to.folder / STATE, wanted, what="set of frames", command="tinkit data frames --loose", key="--out")
        sources = _sources(manifests, files, to)
        work = to.folder / _WORK
        work.mkdir(exist_ok=True)
        with alone(work, share, "the frames"):
            sweep_share(work, share)
            known = _known(to.folder)
            mine = share.of(sources)
            todo = [one for one in mine if stale(files, one, known) or _gone(to, one, known, files)]
            on_videos(len(mine) - len(todo))
            how = HowToPack(files, to.settings, str(work), stem_of(share))
            _write(how, to, todo, engine, on_videos)
            return _finish(manifests, to, sources, files, len(todo)) if share.whole else None


def _sources(manifests: Sequence[Manifest], files: SourceFiles, to: LooseFolder) -> list[Source]:
    """The videos, each as one clip of its path; two that would share a folder are refused."""
    places: dict[str, str] = {}
    for path in dict.fromkeys(path for manifest in manifests for path in manifest.paths):
        place = to.place(path, video=files.media == "video")
        clip_path(to.folder, place)
        if places.setdefault(place, path) != path:
            raise UserError(f"{path!r} and {places[place]!r} would share the folder {place}")
        if files.media == "frames" and (to.folder / place).resolve() == (Path(files.root) / path).resolve():
            raise UserError(f"{path!r} would be written over itself", fix="name another folder with --out")
    return [Source(path, (SourceClip(path, 0, -1),)) for path in places.values()]


def _gone(to: LooseFolder, source: Source, known: Mapping[str, Row], files: SourceFiles) -> bool:
    """Whether the folder of a video that was written is not there any more."""
    place = to.folder / to.place(source.path, video=files.media == "video")
    return not known[source.path]["reason"] and not place.is_dir()


def _write(
    how: HowToPack, to: LooseFolder, todo: list[Source], engine: Engine, on_videos: Callable[[int], None]
) -> None:
    chunks = [tuple(todo[at : at + _VIDEOS_A_TASK]) for at in range(0, len(todo), _VIDEOS_A_TASK)]
    spread = engine.spread(partial(write_folders, how, to), partial(_crashed, how))
    for results in spread.results(chunks) if chunks else ():
        on_videos(len(results))


def _crashed(how: HowToPack, source: Source) -> str:
    note_crash(how, source)
    return CRASHED


def write_folders(how: HowToPack, to: LooseFolder, sources: tuple[Source, ...]) -> list[str]:
    """Write the folders of some videos, and note them; why each cannot be read, or nothing."""
    require_folder(Path(how.files.root))
    rows = [_write_folder(how, to, source) for source in sources]
    write_index(Path(how.work, f"{how.stem}.{secrets.token_hex(8)}.arrow"), rows)
    return [row["reason"] for row in rows]


def _write_folder(how: HowToPack, to: LooseFolder, source: Source) -> Row:
    state = how.files.fingerprint(source.path)
    target = to.folder / to.place(source.path, video=how.files.media == "video")
    temporary = Path(how.work, f"{how.stem}.{secrets.token_hex(8)}.folder")
    before = temporary.with_suffix(".before.folder")
    temporary.mkdir()
    try:
        row = source_row(source, source.clips[0], state) | _write_images(how, source, temporary)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():  # of the video as it was before
            target.rename(before)
        temporary.rename(target)
        return row
    except BrokenClip as error:
        return source_row(source, source.clips[0], state, error.reason)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(before, ignore_errors=True)


def _write_images(how: HowToPack, source: Source, folder: Path) -> Row:
    place = clip_path(Path(how.files.root), source.path)
    width = height = 0
    with open_clip(place, how.files.media, how.files.frame_template, decoding=how.files.decoding) as reader:
        if reader.num_frames < 1:
            raise NoFrames("no frame found")
        for number, (data, wide, high) in enumerate(encoded_frames(reader, range(reader.num_frames), how.settings), 1):
            (folder / TEMPLATE.format(number)).write_bytes(data)
            if number == 1:
                width, height = wide, high
        return {
            "frames": reader.num_frames,
            "width": width,
            "height": height,
            "rate": reader.facts().rate,
            "notes": sorted(reader.notes),
        }


def _known(folder: Path) -> dict[str, Row]:
    """What is known of videos, by path: of earlier runs, and of parts."""
    found: dict[str, Row] = {}
    for table in _tables(folder):
        found |= {row["path"]: row for row in table.to_pylist()}
    return found


def _tables(folder: Path) -> list[pa.Table]:
    tables = []
    with suppress(DamagedFileError, OSError):  # there is none yet, or its videos are looked at again
        tables.append(read_table(open_arrow(folder / _FOUND), SHARD_SCHEMA))
    return tables + [table for _, table in read_parts(folder / _WORK)]


def _finish(
    manifests: Sequence[Manifest], to: LooseFolder, sources: list[Source], files: SourceFiles, fresh: int
) -> LooseOutcome:
    """Note all that is known in one file, write the lists, and tell."""
    known = _known(to.folder)
    if missing := [source.path for source in sources if source.path not in known]:
        raise UserError(
            f"{len(missing)} videos were not looked at, such as {missing[0]!r}", fix="run the command again"
        )
    write_index(to.folder / _FOUND, list(known.values()))
    shutil.rmtree(to.folder / _WORK, ignore_errors=True)
    broken = {source.path: known[source.path]["reason"] for source in sources if known[source.path]["reason"]}
    lists, problems = [], []
    for manifest in manifests:
        clips = _clips_to_list(manifest, to, known, video=files.media == "video")
        form = format_of("mmaction2" if any(clip.start for clip in clips.clips) else "tsn", "frames")
        form = replace(form, none=True)
        try:
            texts = list_texts(form, [clips], ListOptions(placeholder=0))
            write_lists(to.folder, texts, form, manifest.classes, force=True)
        except UserError as problem:
            problems.append(f"{manifest.split}: no list: {problem.problem}")
            continue
        lists += list(texts)
    return LooseOutcome(len(sources) - len(broken), fresh, broken, tuple(lists), tuple(problems))


def _clips_to_list(manifest: Manifest, to: LooseFolder, known: Mapping[str, Row], *, video: bool) -> ClipsToList:
    listed, left_out, example = [], Counter[str](), ""
    for row in manifest.table.select(["path", "start", "frames", "labels"]).to_pylist():
        found = known[row["path"]]
        left = found["frames"] - row["start"]
        if found["reason"] or left < 1:
            left_out["broken"] += 1
            example = example or row["path"]
            continue
        frames = left if row["frames"] is None else min(left, row["frames"])
        labels = None if row["labels"] is None else tuple(row["labels"])
        segment = row["start"] > 0 or frames != found["frames"]
        listed.append(ListedClip(to.place(row["path"], video=video), row["start"], frames, segment, labels))
    return ClipsToList(manifest.split, tuple(listed), left_out, example, 0)
