"""What reads each kind of file: a row is a kind, how it is changed, and how it is read."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.fuzz.layouts import TREES
from benchmarks.fuzz.mutate import changed, changed_table, changed_text, with_right_sums
from benchmarks.fuzz.packed_targets import packed
from benchmarks.fuzz.place import Place, Said, WrongFrameError, empty
from benchmarks.fuzz.score_targets import foreign_scores, scores
from benchmarks.fuzz.sound_targets import sound
from tinkit.data.config.dataset import DataConfig
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.layouts.catalogue import LAYOUTS
from tinkit.data.manifest.manifest import Manifest, open_manifest
from tinkit.data.own.columns import Columns, clips_in_csv
from tinkit.data.paths.clip_path import clip_path
from tinkit.data.probe.clip import HowToProbe, probe_clip
from tinkit.data.probe.known import KnownClips
from tinkit.data.probe.survey import probes_file
from tinkit.errors import UserError

_OPENED = 4  # clips of a manifest that are opened


Target = Callable[[random.Random, Place], Said]


def video(suffix: str) -> Target:
    """A video: probed, and frames read with and without what the probe has found."""

    def read(rng: random.Random, place: Place) -> Said:
        file = place.root / f"clip.{suffix}"
        own = place.media[suffix]
        file.write_bytes(changed(rng, rng.choice(own), [data for files in place.media.values() for data in files]))
        probe = probe_clip(HowToProbe(str(place.root), "video", ""), file.name)
        if probe.status != "good":
            return "refused"
        with suppress(BrokenClip), open_clip(file, "video") as counted:
            index = counted.index()
            wanted = sorted({*np.linspace(0, counted.num_frames - 1, 4).astype(int).tolist()})
            frames = dict(counted.frames(wanted))
            with open_clip(file, "video", index=index) as again:
                for number, frame in again.frames(wanted):
                    if not np.array_equal(frame, frames[number]):
                        raise WrongFrameError(f"frame {number} by index")
            return "read"
        return "refused"

    return read


def image(suffix: str) -> Target:
    """An image: the first of a folder of two."""

    def read(rng: random.Random, place: Place) -> Said:
        folder = place.root / "clip"
        folder.mkdir(exist_ok=True)
        own = place.media[suffix]
        data = changed(rng, rng.choice(own), place.media["jpg"] + place.media["png"])
        (folder / f"00001.{suffix}").write_bytes(with_right_sums(data) if rng.random() < 0.6 else data)
        (folder / f"00002.{suffix}").write_bytes(own[0])
        probe = probe_clip(HowToProbe(str(place.root), "frames", f"{{:05d}}.{suffix}"), "clip")
        with suppress(BrokenClip), open_clip(folder, "frames", f"{{:05d}}.{suffix}") as clip:
            clip.read([0, 1])
            return "read"
        return "read" if probe.status == "good" else "refused"

    return read


def manifest(rng: random.Random, place: Place) -> Said:
    """A manifest, in place of one that is up to date."""
    config = _own_set(place)
    file = open_manifest(config, "train").file
    original = place.originals.setdefault("manifest", file.read_bytes())
    changed_table(rng, original, place.words(), file)
    with suppress(UserError):
        found = open_manifest(config, "train")
        _use(found)
        return "read"
    return "refused"


def probes(rng: random.Random, place: Place) -> Said:
    """What was probed, in place of what is up to date: damage gives no other frame, a forgery no crash."""
    from benchmarks.fuzz.surveyed import survey_here

    found = open_manifest(_own_set(place), "train")
    file = probes_file(found.file)
    if "probes" not in place.originals:
        survey_here(found)
        place.originals["probes"] = file.read_bytes()
    forged = changed_table(rng, place.originals["probes"], place.words(), file)
    known = KnownClips(found)
    for number in range(len(found)):
        row = found.row(number)
        path = clip_path(found.root, row.path)
        index = known.index(number, row.path)
        with suppress(BrokenClip), open_clip(path, "video", index=index) as clip, open_clip(path, "video") as counted:
            at = clip.num_frames // 2
            frame = clip.read([at])[0]
            # whoever forges a checksum may say what he likes of a file, as in a manifest
            if not forged and not np.array_equal(frame, counted.read([at])[0]):
                raise WrongFrameError(f"frame {at} of {row.path}")
    return "read"


def annotation(layout: str) -> Target:
    """A file of a layout's annotation: read, and its clips looked for."""

    def read(rng: random.Random, place: Place) -> Said:
        empty(place.root)
        tree = {name: text.encode() for name, text in TREES[layout].items()}
        name = rng.choice(list(tree))
        tree[name] = changed_text(rng, tree[name], place.words())
        for path, data in tree.items():
            (place.root / path).parent.mkdir(parents=True, exist_ok=True)
            (place.root / path).write_bytes(data)
        keys: dict[str, Any] = {"negatives": True} if LAYOUTS[layout].task == "multi-label" else {}
        with suppress(UserError):
            _use(open_manifest(DataConfig.model_validate({"dataset": layout, "root": place.root} | keys), "train"))
            return "read"
        return "refused"

    return read


def parquet(rng: random.Random, place: Place) -> Said:
    """A table in Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    empty(place.root)
    (place.root / "classes.txt").write_text("x\ny\n")
    table = pa.table({"id": ["1", "2"], "path": ["a.mp4", "b.mp4"], "labels": [[0], [0, 1]], "source": ["v", None]})
    file = place.root / "train.parquet"
    pq.write_table(table, file)
    file.write_bytes(changed(rng, file.read_bytes(), [file.read_bytes()]))
    with suppress(UserError):
        _use(open_manifest(DataConfig(dataset="table", root=place.root), "train"))
        return "read"
    return "refused"


def own_csv(rng: random.Random, place: Place) -> Said:
    """A csv of one's own videos, whose columns are guessed."""
    _own_set(place)
    text = b"clip,label,split,person\n0.mp4,a,train,p\n1,b,val,q\n"
    (place.root / "own.csv").write_bytes(changed_text(rng, text, place.words()))
    with suppress(UserError):
        own, _ = clips_in_csv(place.root / "own.csv", place.root, Columns())
        for clip in own.clips:
            clip_path(place.root, clip.path)
        return "read"
    return "refused"


def _use(found: Manifest) -> None:
    """All that is asked of a manifest, and its first clips opened."""
    assert found.fingerprint
    found.label_counts(), found.labels_a_clip(), found.paths, found.labelled
    known = KnownClips(found)
    for number in range(min(_OPENED, len(found))):
        row = found.row(number)
        path, index = clip_path(found.root, row.path), known.index(number, row.path)
        window = (row.start, row.frames)
        with suppress(BrokenClip), open_clip(path, found.media, found.frame_template, *window, index=index) as clip:
            if clip.num_frames:
                clip.read([clip.num_frames - 1])


def _own_set(place: Place) -> DataConfig:
    """A data set of two videos and a folder of images, of which the videos are listed."""
    root = place.root
    if not (root / "train.csv").exists():
        empty(root)
        for number, data in enumerate((place.media["mp4"][-3], place.media["webm"][0])):
            (root / f"{number}.mp4").write_bytes(data)
        (root / "f" / "2").mkdir(parents=True)
        (root / "f" / "2" / "00001.jpg").write_bytes(place.media["jpg"][0])
        (root / "classes.txt").write_text("a\nb\n")
        (root / "train.csv").write_text("id,path,labels\n0,0.mp4,a\n1,1.mp4,b\n")
    return DataConfig(dataset="table", root=root)


@dataclass(frozen=True)
class Row:
    """A kind of file: how many changed ones, and what reads one."""

    cases: int
    target: Target


ROWS: dict[str, Row] = {
    "mp4": Row(1800, video("mp4")),
    "webm": Row(1300, video("webm")),
    "avi": Row(1000, video("avi")),
    "gif": Row(500, video("gif")),
    "jpg": Row(1000, image("jpg")),
    "png": Row(700, image("png")),
    "sound": Row(1200, sound),
    "manifest": Row(700, manifest),
    "probes": Row(500, probes),
    **{f"annotation: {layout}": Row(110, annotation(layout)) for layout in LAYOUTS},
    "annotation: parquet": Row(150, parquet),
    "csv of one's own": Row(300, own_csv),
    "packed shards": Row(1000, packed),
    "score file": Row(500, scores),
    "scores of others": Row(300, foreign_scores),
}
"""Every kind."""
