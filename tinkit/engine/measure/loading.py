"""`tinkit data bench`: what making training clips costs, stage by stage, and how fast several workers make them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tinkit.data.clips.batch import collate
from tinkit.data.clips.fetching import received
from tinkit.data.clips.item import ClipItem
from tinkit.data.clips.loading import PREFETCH, Batches, LoaderWorkers
from tinkit.data.clips.shared import BatchMemory
from tinkit.data.clips.training import TrainClips, TrainKey
from tinkit.data.decode.clip_reader import Choice, ClipReader, Frame, ShowFiles
from tinkit.data.manifest.manifest import ManifestRow
from tinkit.data.paths.clip_path import clip_path
from tinkit.workers import Carried

STAGES = ("read", "decode", "resize and augment", "collate", "copy")
"""From the disk into memory; to frames, or to a spectrogram (small JPEGs to their size, too, in one native call);
to the model's pixels; to a batch in memory that two processes see; to the device, normalised."""

_PIECE = 1 << 20


@dataclass
class StageCost:
    """What a stage has taken so far, in seconds of the processor and of the clock."""

    cpu: float = 0.0
    wall: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what the block takes."""
        cpu, wall = time.thread_time(), time.perf_counter()
        try:
            yield
        finally:
            self.add(time.thread_time() - cpu, time.perf_counter() - wall)

    def add(self, cpu: float, wall: float) -> None:
        """Count so much more, or less."""
        self.cpu, self.wall = self.cpu + cpu, self.wall + wall


@dataclass
class StageCosts:
    """The costs of ``clips`` clips by stage; ``broken`` are clips more that could not be used, and are not counted."""

    clips: int = 0
    broken: int = 0
    stages: dict[str, StageCost] = field(default_factory=lambda: {name: StageCost() for name in STAGES})

    def cpu_ms(self, stage: str) -> float:
        """Processor milliseconds a clip."""
        return 1000 * self.stages[stage].cpu / max(1, self.clips)

    def wall_ms(self, stage: str) -> float:
        """Milliseconds a clip by the clock, in one process."""
        return 1000 * self.stages[stage].wall / max(1, self.clips)

    @property
    def worker_cpu_ms(self) -> float:
        """Processor milliseconds a clip of a data worker: all but the copy, which the training process does."""
        return sum(self.cpu_ms(stage) for stage in STAGES[:-1])

    @property
    def waiting_ms(self) -> float:
        """Milliseconds a clip that a data worker waits for the disk."""
        return max(0.0, self.wall_ms("read") - self.cpu_ms("read"))


class TimedClips(TrainClips):
    """Training clips that count what decoding them takes."""

    costs: StageCosts

    def open(self, index: int, row: ManifestRow) -> ClipReader:
        """As the base does, timed."""
        with self.costs.stages["decode"].running():
            reader = super().open(index, row)
        _time_frames(reader, self.costs.stages["decode"])
        return reader

    def files(self, row: int) -> list[Path]:
        """A clip's files: a video, or as many images of a folder as a clip shows."""
        place = clip_path(self.manifest.root, self.manifest.row(row).path)
        if not place.is_dir():
            return [place] * place.is_file()
        files = sorted(place.iterdir())
        return files[:: max(1, len(files) // self.clip.num_segments)][: self.clip.num_segments]


def _time_frames(reader: ClipReader, cost: StageCost) -> None:
    """Have ``reader`` count what its frames take."""
    plain, together = reader.parts, reader.show_files

    def show_files(indices: Sequence[int], show: ShowFiles) -> int:
        with cost.running():
            return together(indices, show)

    def parts(indices: Sequence[int], choose: Choice) -> Iterator[tuple[int, Frame]]:
        found = plain(indices, choose)
        while True:
            with cost.running():
                item = next(found, None)
            if item is None:
                return
            yield item

    reader.parts, reader.show_files = parts, show_files  # type: ignore[method-assign]


def _read_cold(file: Path) -> None:
    """Read a file, from the disk where the system lets go of what it holds of it."""
    with file.open("rb", buffering=0) as source:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while source.read(_PIECE):
            pass


def stage_costs(
    clips: TimedClips,
    rows: Sequence[int],
    batch: int,
    to_device: Callable[[torch.Tensor], object],
    tick: Callable[[int], None],
) -> StageCosts:
    """Make batches of ``rows`` in this process, on one thread, as a data worker does, and count what each stage takes.

    The first batch is made once before, uncounted: libraries are loaded by it. ``tick(n)``: n more rows are done.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        clips.costs = StageCosts()
        _one_batch(clips, rows[:batch], to_device)
        clips.costs = StageCosts()
        for first in range(0, len(rows), batch):
            part = rows[first : first + batch]
            _one_batch(clips, part, to_device)
            tick(len(part))
        return clips.costs
    finally:
        torch.set_num_threads(before)


def _one_batch(clips: TimedClips, rows: Sequence[int], to_device: Callable[[torch.Tensor], object]) -> None:
    costs, stages = clips.costs, clips.costs.stages
    with stages["read"].running():
        for file in (file for row in rows for file in clips.files(row)):
            _read_cold(file)
    whole, decode = StageCost(), stages["decode"]
    before = decode.cpu, decode.wall
    with whole.running():
        items = list(clips.each(_keys(clips, rows)))
    good: list[ClipItem] = [item for item in items if item["valid"]]
    costs.clips, costs.broken = costs.clips + len(good), costs.broken + len(items) - len(good)
    rest = "decode" if clips.clip.modality == "audio" else "resize and augment"
    stages[rest].add(whole.cpu - (decode.cpu - before[0]), whole.wall - (decode.wall - before[1]))
    if not good:
        return
    with stages["collate"].running(), BatchMemory() as memory:
        batch = collate(good, memory.room)
    carried = Carried({"frames": tuple(batch["frames"].movedim(-3, -1).shape)}, memory.descriptor)
    with stages["copy"].running():
        to_device(received(carried)["frames"])


def _keys(clips: TrainClips, rows: Sequence[int]) -> list[TrainKey]:
    repeats = clips.clip.repeats
    return [(0, row) if repeats == 1 else (0, row, repeat) for row in rows for repeat in range(repeats)]


def loader_speed(clips: TrainClips, rows: Sequence[int], batch: int, workers: int, seconds: float) -> float:
    """Clips a second that ``workers`` processes make, over about ``seconds`` after each has made its first batch."""
    keys = [
        _keys(clips, [rows[(first + place) % len(rows)] for place in range(batch)])
        for first in range(0, len(rows), batch)
    ]
    wanted = _Repeated(keys, workers * (PREFETCH + 1), seconds)
    done = 0
    begun = last = time.perf_counter()
    for number, made in enumerate(Batches(clips, wanted, LoaderWorkers(workers), batch * clips.clip.repeats)):
        last = time.perf_counter()
        if number < workers:
            begun = last
        else:
            done += len(made["index"])
    return done / max(1e-9, last - begun)


class _Repeated:
    """Lists of keys again and again, for ``seconds`` and at least ``least`` of them."""

    def __init__(self, keys: list[list[TrainKey]], least: int, seconds: float) -> None:
        self._keys, self._least, self._seconds = keys, least, seconds

    def __len__(self) -> int:
        return self._least

    def __iter__(self) -> Iterator[list[TrainKey]]:
        begun, number = time.monotonic(), 0
        while number < self._least or time.monotonic() - begun < self._seconds:
            yield self._keys[number % len(self._keys)]
            number += 1
