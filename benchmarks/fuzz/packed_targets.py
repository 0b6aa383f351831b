"""Packed clips: tars and their indexes changed, also with right checksums, and also while they are open."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.fuzz.mutate import changed, changed_table
from benchmarks.fuzz.place import Place, Said, WrongFrameError, empty
from tinkit.data.config.dataset import DataConfig
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.manifest.manifest import Manifest, open_manifest
from tinkit.data.packed.frames import PackedFrames
from tinkit.data.packed.index import METADATA, PackSettings
from tinkit.data.packing.pack import pack_split
from tinkit.data.packing.place import PackTo
from tinkit.data.packing.sources import SourceFiles
from tinkit.data.packing.verify import verify_split
from tinkit.errors import UserError
from tinkit.files.arrow import sealed_writer
from tinkit.spread.engine import Engine

_SPLIT, _FRAMES = "train", 4  # frames of a clip that are read
_PLAIN = DecodeSettings()
_TO = PackSettings(pixels=4096)  # larger than any: JPEGs are taken as they are


def packed(rng: random.Random, place: Place) -> Said:
    """Shards of small images: read and verified, and now and then packed again."""
    manifest, to = _packed_set(place)
    originals = {name: data for name, data in place.originals.items() if name.startswith((_SPLIT, ".tinkit"))}
    if not originals:
        originals = {file.name: file.read_bytes() for file in sorted(to.folder.iterdir()) if file.is_file()}
        place.originals |= originals
    shutil.rmtree(to.folder)
    to.folder.mkdir()
    for name, data in originals.items():
        (to.folder / name).write_bytes(data)
    shards = sorted(name for name in originals if name.startswith(_SPLIT))
    said = [_change(rng, place, to.folder / name) for name in rng.sample(shards, rng.choice((1, 1, 2)))]
    forged = any(said) | _right_sizes(rng, to)
    read = _read(rng, place, manifest, to, forged=forged)
    with suppress(UserError):
        faults = verify_split(manifest, to, Engine(0))
        if not faults and not forged and not all(_same(originals, to)):
            raise WrongFrameError("changed shards, and no fault found")
    if rng.random() < 0.1:
        with suppress(UserError):
            pack_split(manifest, _files(manifest), to, Engine(0))
    return "read" if read else "refused"


def _packed_set(place: Place) -> tuple[Manifest, PackTo]:
    """A data set of three folders of images, in two shards."""
    root = place.root
    if not (root / "packed.csv").exists():
        empty(root)
        for number in range(3):
            (root / f"{number}").mkdir()
            for frame in range(1, 3):
                (root / f"{number}" / f"{frame:05d}.jpg").write_bytes(place.media["jpg"][0])
        (root / "classes.txt").write_text("a\nb\n")
        (root / "train.csv").write_text(f"id,path,labels\n0,0,a\ntwo/1,1,b\n{'y' * 150},2,b\n")
        (root / "packed.csv").touch()
    manifest = open_manifest(DataConfig(dataset="table", root=root, media="frames"), _SPLIT)
    to = PackTo(root / "packed", _SPLIT, 60_000, _TO)
    if not to.index.exists() or "truth" not in place.kept:
        shutil.rmtree(to.folder, ignore_errors=True)
        pack_split(manifest, _files(manifest), to, Engine(0))
        place.kept["truth"] = {clip_id: _frames(_opened(to), clip_id) for clip_id in manifest.ids}
    return manifest, to


def _files(manifest: Manifest) -> SourceFiles:
    return SourceFiles(str(manifest.root), manifest.media, manifest.frame_template, _PLAIN)


def _opened(to: PackTo) -> PackedFrames:
    return PackedFrames(str(to.folder), (to.name,))


def _frames(packed: PackedFrames, clip_id: str) -> dict[int, Any]:
    with packed.open(clip_id, 0, None, _PLAIN) as clip:
        wanted = sorted({*np.linspace(0, clip.num_frames - 1, _FRAMES).astype(int).tolist()})
        return dict(clip.frames(wanted))


def _change(rng: random.Random, place: Place, file: Path) -> bool:
    """Change a tar or an index. True where it is forged: whoever writes a right checksum may say what he likes."""
    if file.suffix == ".arrow":
        return changed_table(rng, file.read_bytes(), place.words(), file)
    data = file.read_bytes()
    match rng.randrange(5):
        case 0:
            file.write_bytes(changed(rng, data, [data]))
        case 1:  # of the same size: only its bytes are others
            file.write_bytes(changed(rng, data, [data])[: len(data)].ljust(len(data), b"\0"))
        case 2:  # a header, or what is behind it
            at = rng.choice([begin for begin in range(0, len(data), 512) if data[begin : begin + 1].strip(b"\0")])
            head = changed(rng, data[at : at + 512], [data])[:512].ljust(512, b"\0")
            file.write_bytes(data[:at] + head + data[at + 512 :])
        case 3:
            file.write_bytes(data[: rng.randrange(len(data))])
        case _:
            file.unlink()
            _other_kind(rng, place, file)
    return False


def _other_kind(rng: random.Random, place: Place, file: Path) -> None:
    """Something else in place of a file: nothing, a folder, a pipe, the file's own index."""
    match rng.randrange(4):
        case 0:
            pass
        case 1:
            file.mkdir()
        case 2:
            os.mkfifo(file)
        case _:
            shutil.copy(file.with_suffix(".arrow"), file)


def _right_sizes(rng: random.Random, to: PackTo) -> bool:
    """Now and then have the split's index say the sizes that the tars have now, so that more is looked at."""
    if rng.random() < 0.5:
        return False
    try:
        table = pa.ipc.open_file(pa.py_buffer(to.index.read_bytes())).read_all()
        about = json.loads(table.schema.metadata[METADATA])
        for shard in about["shards"]:
            shard["size"] = (to.folder / shard["name"]).stat().st_size
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    metadata = {METADATA: json.dumps(about).encode()}
    with sealed_writer(to.index, table.schema.with_metadata(metadata)) as writer:
        writer.write_table(table.combine_chunks())
    return True


def _read(rng: random.Random, place: Place, manifest: Manifest, to: PackTo, *, forged: bool) -> bool:
    """Read every clip; whether all could be read. A shard may be cut off between two clips."""
    try:
        frames, whole = _opened(to), True
        frames.require()
        for clip_id in manifest.ids:
            try:
                found = _frames(frames, clip_id)
            except BrokenClip:
                whole = False
            else:
                _compare(found, place.kept["truth"][clip_id], clip_id, forged=forged)
            for tar in _tars(to) if rng.random() < 0.1 else ():
                os.truncate(tar, rng.choice((0, 600, tar.stat().st_size // 2)))
    except UserError:
        return False
    return whole


def _tars(to: PackTo) -> Iterator[Path]:
    return (tar for tar in to.folder.glob("*.tar") if tar.is_file())


def _compare(found: dict[int, Any], truth: dict[int, Any], clip_id: str, *, forged: bool) -> None:
    if not forged and not (
        found.keys() == truth.keys() and all(np.array_equal(found[number], truth[number]) for number in truth)
    ):
        raise WrongFrameError(f"frames of {clip_id}")


def _same(originals: dict[str, bytes], to: PackTo) -> Iterator[bool]:
    for name, data in originals.items():
        yield not name.startswith(_SPLIT) or ((to.folder / name).is_file() and (to.folder / name).read_bytes() == data)
