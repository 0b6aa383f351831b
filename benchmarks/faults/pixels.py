"""Bombs, and pixels: files that ask for gigabytes or hours, each in a process of its own; and what frames must hold.

A bomb is survived if it ends, within 60 s of a processor and 400 MB above an idle data worker, in a clip or in a broken
one whose reason names the limit or the fault. A pixel case is survived if every level is as an independent reckoning
has it.
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from time import process_time

from benchmarks.faults.bombs import BOMBS
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.pixel_cases import PIXELS
from tinkit.data.clips.testing import load_noted_views
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.layouts.layout import Media

MEGABYTES, SECONDS = 400.0, 60.0
_CEILING = 6 << 30  # bytes of address space that a case may have, so that a lost one does not take the machine along


def run(folder: Path, seed: int) -> Iterator[Outcome]:
    """Every bomb, then every pixel case."""
    for name, make in BOMBS.items():
        path = folder / name.replace(" ", "_")
        make(path)
        yield _bomb(name, path)
    for name, check in PIXELS.items():
        wrong = check(folder / f"pixels_{name.replace(' ', '_')}", seed)
        yield Outcome("pixels", name, not wrong, note=wrong)


def _bomb(name: str, path: Path) -> Outcome:
    media: Media = "frames" if path.is_dir() else "video"
    files = [path] if path.is_file() else list(path.iterdir())
    kilobytes = sum(file.stat().st_size for file in files) / 1000
    said, seconds, megabytes = _in_child(path, media)
    survived = said is not None and megabytes < MEGABYTES and seconds < SECONDS
    note = f"{kilobytes:,.1f} kB; " + ("the process died" if said is None else said)
    return Outcome("bomb", name, survived, seconds, megabytes, note)


def _in_child(path: Path, media: Media) -> tuple[str | None, float, float]:
    """Read the clip as a test does in a process that begins as this one: what it says, its seconds and megabytes."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_AS, (_CEILING, _CEILING))
        idle, began = _megabytes("VmRSS"), process_time()
        said = _read(path, media)
        result = said, process_time() - began, _megabytes("VmHWM") - idle
        os.write(writer, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        answer = answers.read()
    _, _, usage = os.wait4(child, 0)
    if not answer:
        return None, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000
    said, seconds, megabytes = json.loads(answer)
    return said, seconds, megabytes


def _read(path: Path, media: Media) -> str:
    template = "{:05d}" + next(iter(path.iterdir())).suffix if path.is_dir() else "{:05d}.jpg"
    try:
        load_noted_views(path, media, ClipConfig(), ViewConfig(), template)
    except BrokenClip as error:
        return error.reason[:160]
    return "read"


def _megabytes(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1000
    raise ValueError(field)
