"""The section of the clips most wrongly and most rightly scored, with their frames where the data is at hand."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinkit.engine.runs.run import Run
from tinkit.errors import UserError
from tinkit.inspection.clips import ClipResult
from tinkit.inspection.inspection import Inspection
from tinkit.report.entries import Entry
from tinkit.report.section import Section, Strip

_SIDE = 96  # pixels of a frame
_MOST_FRAMES = 8  # of a clip
_QUALITY = 80
_HEAT = np.array((255, 120, 0), np.float32)


def clips_section(entries: Sequence[Entry], *, frames: bool) -> Section:
    """The worst and the best clips of the last entry with labelled scores, and what the last such run looks at."""
    found = [(entry, entry.inspection) for entry in entries if entry.inspection is not None]
    if not found:
        return Section("clips", "Clips")
    entry, inspection = found[-1]
    notes = [f"Of {entry.name}: the clips that it scored most wrongly, then those most rightly."]
    shown = [("Most wrongly", clip) for clip in inspection.worst] + [("Most rightly", clip) for clip in inspection.best]
    strips = [Strip(clip.id, _facts(end, clip)) for end, clip in shown]
    runs = [one for one, _ in found if one.kind == "run"]
    if not frames:
        notes.append("Frames were not asked for.")
    elif not runs:
        notes.append("Frames are shown where a run is part of the report.")
    else:
        seen = runs[-1]
        assert seen.inspection is not None
        strips, said = _pictured(seen, seen.inspection, [clip for _, clip in shown], strips)
        notes += said
    return Section("clips", "Clips", notes, strips=strips)


def _facts(end: str, clip: ClipResult) -> list[str]:
    labels = ", ".join(clip.labels)
    highest = ", ".join(f"{name} {score:.2f}" for name, score in clip.top)
    return [f"{end}: AP {100 * clip.value:.1f}. Labels: {labels}.", f"Highest: {highest}."]


def _pictured(
    entry: Entry, inspection: Inspection, clips: Sequence[ClipResult], strips: list[Strip]
) -> tuple[list[Strip], list[str]]:
    """``strips`` with frames, and what to say of them; without where the data or the weights are not at hand."""
    from tinkit.engine.evaluation.activation import look_at

    info = inspection.info
    wanted = [(clip.id, clip.top[0][0]) for clip in clips]
    pictured, unknown = [], 0
    try:
        for strip, seen in zip(strips, look_at(Run(entry.folder), info.weights, info.split, wanted), strict=True):
            if seen.frames is None:
                pictured.append(replace(strip, facts=[*strip.facts, f"No frames: {seen.reason}."]))
                continue
            shown = _shown(seen.frames, seen.modality)
            unknown += seen.activation is None
            heat = b"" if seen.activation is None else _strip(_heated(shown, seen.activation))
            pictured.append(replace(strip, frames=_strip(shown), activation=heat))
    except UserError as error:
        return strips, [f"No frames: {error.problem}."]
    notes = [f"Frames are those that {entry.name} is given at a test."]
    if unknown:
        notes.append("Where it looks is not shown: its features do not go to its classifier as a plain average.")
    else:
        notes.append(
            "Orange marks what speaks for the highest class: class activation of the last features over space and time."
        )
    return pictured, notes


def _shown(frames: NDArray[np.uint8], modality: str) -> NDArray[np.uint8]:
    from tinkit.data.look.pictures import pictures

    step = -(-len(frames) // _MOST_FRAMES)
    return pictures(frames, modality, _SIDE)[::step]  # type: ignore[arg-type]


def _heated(frames: NDArray[np.uint8], activation: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Frames (T, h, w, 3) with the positive part of ``activation`` (T', y, x) over them."""
    heat = np.maximum(activation, 0)
    heat = heat / max(float(heat.max()), 1e-12)
    times = np.minimum((np.arange(len(frames)) * len(heat)) // len(frames), len(heat) - 1)
    height, width = frames.shape[1:3]
    result = np.empty_like(frames)
    for place, (frame, time) in enumerate(zip(frames, times, strict=True)):
        grown = Image.fromarray(np.rint(255 * heat[time]).astype(np.uint8)).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        share = np.asarray(grown, np.float32)[..., None] / 255 * 0.7
        result[place] = np.rint(frame * (1 - share) + _HEAT * share).astype(np.uint8)
    return result


def _strip(frames: NDArray[np.uint8]) -> bytes:
    """Frames side by side as one JPEG file."""
    with io.BytesIO() as file:
        Image.fromarray(np.concatenate(list(frames), axis=1)).save(file, "JPEG", quality=_QUALITY)
        return file.getvalue()
