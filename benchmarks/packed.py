"""Packed frames beside the plainest way of reading the same bytes, and beside folders; writes results/packed.csv.

    python -m benchmarks.packed [--clips 96] [--pairs 21] [--folder DIR] [--out FILE]

Warm: the time of the processor, one thread, all in the page cache. What tinkit does for a clip (index, map, checksums,
decoding) stands against ``os.pread`` of the same bytes, whose places are known beforehand, and the same decoder. Cold:
the time on the clock after the pages of every file were dropped (``posix_fadvise``), each clip read once; names and
inodes stay in memory, which flatters the folders. Of each clip eight frames are read, one a segment.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg

from benchmarks.data_clips import CASES, FRAMES, make_clips
from benchmarks.machine import machine
from benchmarks.pairs import Bound, Timer, Times, paired, timed_row
from benchmarks.tables import Table
from tinkit.data.decode.open_clip import ImageFolder, open_clip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.packed.frames import PackedClip, PackedFrames
from tinkit.data.packing.pack import pack_split
from tinkit.data.packing.place import PackTo
from tinkit.data.packing.sources import SourceFiles
from tinkit.spread.engine import Engine

SEGMENTS = 8
PLAIN = DecodeSettings()
Call = Callable[[int], object]


def main() -> None:
    asked = _arguments()
    setting = f"{machine('pyarrow', 'simplejpeg', 'numpy')}; files in {_file_system(asked.folder)}"
    table = Table("packed", setting, asked.out, None)
    case = CASES[0]
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        manifest, _ = make_clips(case, Path(folder), asked.clips)
        packed = _pack(manifest, Path(folder) / "packed")
        ways = Ways(manifest, packed)
        name = f"{case.name}, {SEGMENTS} of {FRAMES} frames"
        for what, against, bound in (
            ("packed", "pread and decode", Bound(1.1)),
            ("packed", "folders", None),
            ("packed, not decoded", "pread, not decoded", None),
            ("checksums", "pread and decode", None),
        ):
            times = paired(_cpu(ways.calls[what], asked.clips), _cpu(ways.calls[against], asked.clips), asked.pairs)
            table.add(timed_row(what, f"{name}; warm, CPU ms a clip", against, _a_clip(times, asked.clips), bound))
        for what, against, bound in (
            ("folders", "packed", Bound(2.0, "at least")),
            ("folders, not decoded", "packed, not decoded", None),
        ):
            cold = _cold(ways, Path(folder), (what, against), asked)
            table.add(timed_row(what, f"{name}; cold, ms a clip", against, cold, bound))
    table.finish()


class Ways:
    """What is done for a clip by each way, by its row."""

    def __init__(self, manifest: Manifest, packed: PackedFrames) -> None:
        self.manifest, self.packed = manifest, packed
        self._indices = [
            np.random.default_rng(row).integers(FRAMES // SEGMENTS, size=SEGMENTS) for row in range(len(manifest))
        ]
        self.rows = [manifest.row(row) for row in range(len(manifest))]
        self.shard = next(Path(packed.address).glob("*.tar"))
        self._file = os.open(self.shard, os.O_RDONLY)
        self._spans = [self._places(row) for row in range(len(manifest))]
        self.calls: dict[str, Call] = {
            "packed": self.read_packed,
            "folders": self.read_folder,
            "pread and decode": lambda row: [simplejpeg.decode_jpeg(data) for data in self.pread(row)],
            "packed, not decoded": lambda row: self._open(row).encoded(self.indices(row)),
            "pread, not decoded": self.pread,
            "folders, not decoded": self.read_files,
            "checksums": lambda row: [zlib.crc32(data) for data in self.pread(row)],
        }

    def indices(self, row: int) -> list[int]:
        """The frames that are read of a clip."""
        return [int(at * (FRAMES // SEGMENTS) + shift) for at, shift in enumerate(self._indices[row])]

    def read_packed(self, row: int) -> object:
        """By tinkit, from the shard."""
        return self._open(row).read(self.indices(row))

    def read_folder(self, row: int) -> object:
        """By tinkit, from a folder."""
        path = self.manifest.root / self.rows[row].path
        with open_clip(path, "frames", self.manifest.frame_template, decoding=PLAIN) as reader:
            return reader.read(self.indices(row))

    def read_files(self, row: int) -> object:
        """The bytes of a clip's images, from a folder."""
        path = self.manifest.root / self.rows[row].path
        with open_clip(path, "frames", self.manifest.frame_template, decoding=PLAIN) as reader:
            assert isinstance(reader, ImageFolder)
            return [reader.read_bytes(reader.name_of(index)) for index in self.indices(row)]

    def pread(self, row: int) -> list[bytes]:
        """The bytes of a clip's frames, whose places are known."""
        return [os.pread(self._file, length, offset) for offset, length in self._spans[row]]

    def _open(self, row: int) -> PackedClip:
        reader = self.packed.open(self.rows[row].id, 0, None, PLAIN)
        assert isinstance(reader, PackedClip)
        return reader

    def _places(self, row: int) -> list[tuple[int, int]]:
        return self._open(row).places(self.indices(row))


def _pack(manifest: Manifest, folder: Path) -> PackedFrames:
    """Pack the folders' JPEGs, which are of the right size and are taken as they are, into one shard."""
    files = SourceFiles(str(manifest.root), manifest.media, manifest.frame_template, PLAIN)
    pack_split(manifest, files, PackTo(folder, "train", 10**12), Engine(0))
    return PackedFrames(str(folder), ("train",))


def _cpu(call: Call, clips: int) -> Timer:
    """Milliseconds of the processor for all clips."""

    def timed() -> float:
        start = time.process_time()
        for row in range(clips):
            call(row)
        return 1000 * (time.process_time() - start)

    return timed


def _a_clip(times: Times, clips: int) -> Times:
    return Times(times.first / clips, times.second / clips)


def _cold(ways: Ways, folder: Path, names: tuple[str, str], asked: argparse.Namespace) -> Times:
    """Milliseconds a clip on the clock by two ways in turns, each after the pages of every file were dropped."""
    os.sync()
    images = list(folder.rglob("*.jpg"))
    times = np.empty((2, asked.cold))
    for pair in range(asked.cold):
        order = np.random.default_rng(pair).permutation(asked.clips).tolist()
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            fresh = Ways(ways.manifest, PackedFrames(ways.packed.address, ways.packed.names))
            call = fresh.calls[names[side]]
            drop([*images, *Path(ways.packed.address).iterdir()])
            start = time.perf_counter()
            for row in order:
                call(row)
            times[side, pair] = 1000 * (time.perf_counter() - start) / asked.clips
    return Times(times[0], times[1])


def drop(files: list[Path]) -> None:
    """Drop the pages of ``files`` from the cache, as far as the system obeys."""
    for path in files:
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def _file_system(folder: Path | None) -> str:
    place = (folder or Path(tempfile.gettempdir())).resolve()
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    inside = [(point, kind) for point, kind in mounts if place.is_relative_to(point)]
    return max(inside, key=lambda one: len(one[0]))[1]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="packed frames beside pread and beside folders")
    parser.add_argument("--clips", type=int, default=96)
    parser.add_argument("--pairs", type=int, default=21)
    parser.add_argument("--cold", type=int, default=9, help="pairs of the cold reading")
    parser.add_argument("--folder", type=Path, help="where the files are written (the temporary folder)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "packed.csv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
