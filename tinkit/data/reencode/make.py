"""A data set's videos encoded anew into another folder, where the annotation is put too, so that it is a data set."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tinkit.data.annotations.annotation import annotation_files
from tinkit.data.config.dataset import DataConfig
from tinkit.data.layouts.layout import Split
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.packing.by_source import Notes, do_sources, sources_with_places
from tinkit.data.packing.parts import Row
from tinkit.data.packing.sources import Source, SourceFiles
from tinkit.data.paths.clip_path import clip_path
from tinkit.data.reencode.encoder import VideoSettings, encode_video, encoder_here
from tinkit.errors import UserError
from tinkit.files.atomic import atomic_path
from tinkit.files.claims import claim_folder
from tinkit.files.system_errors import write_errors
from tinkit.spread.engine import WHOLE, Engine, Share

STATE = ".tinkit-videos.json"
"""In the folder of the videos: how they were encoded."""


@dataclass(frozen=True)
class ReencodeOutcome:
    """What was written: ``videos``, ``fresh`` of them now, by ``encoder``; {path: why} of those that cannot be read."""

    videos: int
    fresh: int
    encoder: str
    broken: dict[str, str]


def reencode(
    manifests: Sequence[Manifest],
    files: SourceFiles,
    folder: Path,
    settings: VideoSettings,
    engine: Engine,
    share: Share = WHOLE,
    on_videos: Callable[[int], None] = lambda count: None,
) -> ReencodeOutcome | None:
    """Encode every video of ``manifests`` that is not in ``folder`` yet, or has changed; None of a mere share.

    Each keeps its path, suffix included, for annotations name it: what a file holds is told by its content. It appears
    when it is whole and has been read again. Raises :class:`~tinkit.errors.UserError` for folders of images, and for a
    folder with videos that were encoded otherwise.
    """
    if files.media != "video":
        raise UserError("these clips are folders of images", fix="`tinkit data frames` packs them")
    encoder = encoder_here()
    with write_errors(folder):
        wanted = {"dataset": manifests[0].dataset, "encoder": encoder, **settings.model_dump()}
        claim_folder(folder / STATE, wanted, what="set of videos", command="tinkit data reencode", key="--out")
        places = sources_with_places(manifests, files, folder, lambda path: path)
        write = partial(write_video, files, str(folder), settings)
        done = do_sources(Notes(folder, "videos"), files, places, write, engine, share, on_videos)
    if done is None:
        return None
    return ReencodeOutcome(len(done.rows) - len(done.broken), done.fresh, encoder, done.broken)


def write_video(files: SourceFiles, folder: str, settings: VideoSettings, source: Source, temporary: Path) -> Row:
    """Encode one video in ``temporary``, and rename it; what its note says of it."""
    made = temporary / "video.mp4"
    row = encode_video(clip_path(Path(files.root), source.path), made, settings, files.decoding)
    target = clip_path(Path(folder), source.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    made.replace(target)
    return row


def copy_annotations(config: DataConfig, root: Path, folder: Path, splits: Sequence[Split]) -> list[str]:
    """Copy the annotation files of ``splits`` to where they are looked for below ``folder``; their names."""
    found: dict[str, Path] = {}
    for split in splits:
        for file in filter(None, annotation_files(config, root, split)):
            for part in sorted(file.rglob("*")) if file.is_dir() else (file,):
                if part.is_file():
                    found[part.relative_to(root).as_posix()] = part
    for name, file in found.items():
        with write_errors(folder / name), atomic_path(folder / name) as temporary:
            shutil.copyfile(file, temporary)
    return sorted(found)
