"""A data set's videos as folders of images, as TSN and its descendants read them, and the lists of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from tinkit.data.decode.clip_reader import NoFrames
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.export.clips import ClipsToList, ListedClip
from tinkit.data.export.formats import format_of
from tinkit.data.export.lists import ListOptions, list_texts, write_lists
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.packed.index import PackSettings
from tinkit.data.packing.by_source import Done, Notes, do_sources, sources_with_places
from tinkit.data.packing.encode import encoded_frames
from tinkit.data.packing.parts import Row
from tinkit.data.packing.sources import Source, SourceFiles
from tinkit.data.paths.clip_path import clip_path
from tinkit.errors import UserError
from tinkit.files.claims import claim_folder
from tinkit.files.system_errors import write_errors
from tinkit.spread.engine import WHOLE, Engine, Share

TEMPLATE = "img_{:05d}.jpg"
"""How images are called, from 1: as TSN calls them."""
_STATE = ".tinkit-frames.json"


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
        claim_folder(
            to.folder / _STATE, wanted, what="set of frames", command="tinkit data frames --loose", key="--out"
        )
        place = partial(to.place, video=files.media == "video")
        places = sources_with_places(manifests, files, to.folder, place)
        write = partial(write_folder, files, to)
        done = do_sources(Notes(to.folder, "frames"), files, places, write, engine, share, on_videos)
        return None if done is None else _told(manifests, to, done, video=files.media == "video")


def write_folder(files: SourceFiles, to: LooseFolder, source: Source, temporary: Path) -> Row:
    """Write the images of a video into ``temporary``, and rename that; what its note says of them."""
    images, before = temporary / "images", temporary / "before"
    images.mkdir()
    row = _write_images(files, to.settings, source, images)
    target = to.folder / to.place(source.path, video=files.media == "video")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():  # of the video as it was before
        target.rename(before)
    images.rename(target)
    return row


def _write_images(files: SourceFiles, settings: PackSettings, source: Source, folder: Path) -> Row:
    place = clip_path(Path(files.root), source.path)
    width = height = 0
    with open_clip(place, files.media, files.frame_template, decoding=files.decoding) as reader:
        if reader.num_frames < 1:
            raise NoFrames("no frame found")
        for number, (data, wide, high) in enumerate(encoded_frames(reader, range(reader.num_frames), settings), 1):
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


def _told(manifests: Sequence[Manifest], to: LooseFolder, done: Done, *, video: bool) -> LooseOutcome:
    """Write the lists, and tell what was done."""
    lists: list[str] = []
    problems: list[str] = []
    for manifest in manifests:
        clips = _clips_to_list(manifest, to, done.rows, video=video)
        form = replace(
            format_of("mmaction2" if any(clip.start for clip in clips.clips) else "tsn", "frames"), none=True
        )
        try:
            texts = list_texts(form, [clips], ListOptions(placeholder=0))
            write_lists(to.folder, texts, form, manifest.classes, force=True)
        except UserError as problem:
            problems.append(f"{manifest.split}: no list: {problem.problem}")
            continue
        lists += list(texts)
    broken = done.broken
    return LooseOutcome(len(done.rows) - len(broken), done.fresh, broken, tuple(lists), tuple(problems))


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
