"""Clips as the model is given them, ready to be drawn: an epoch's training clips, or all views of a test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinkit.data.clips.item import ClipItem
from tinkit.data.clips.testing import TestClips
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.modality import Modality
from tinkit.data.config.views import ViewConfig
from tinkit.data.look.pictures import pictures
from tinkit.data.manifest.manifest import Manifest


@dataclass(frozen=True)
class Strip:
    """What the model is given at a time: ``frames`` uint8 (T, h, w, 3), ``mirrored`` if all are mirror images."""

    caption: str
    mirrored: bool
    frames: NDArray[np.uint8]


@dataclass(frozen=True)
class ShownClip:
    """One clip. ``fault`` says why it is not given to the model, and then there are no strips.

    ``labels`` are class names, of a mirrored training clip those that it is trained with; None where unknown.
    """

    row: int
    id: str
    labels: tuple[str, ...] | None
    fault: str
    notes: tuple[str, ...]
    strips: tuple[Strip, ...]

    @property
    def labels_text(self) -> str:
        """The class names in a line."""
        return "labels unknown" if self.labels is None else "; ".join(self.labels) or "no class"


@dataclass(frozen=True)
class About:
    """What a sheet shows: its ``title``, ``facts`` in a line, and how much there may be at most, to lay it out.

    Up to ``clips`` clips of up to ``strips`` strips of ``frames`` frames of ``side`` pixels.
    """

    title: str
    facts: str
    clips: int
    strips: int
    frames: int
    side: int


def as_trained(clips: TrainClips, rows: Iterable[int], epoch: int, side: int) -> Iterator[ShownClip]:
    """The clips in ``rows`` of the manifest as ``epoch`` (from 0) trains on them; frames of ``side`` pixels at most."""
    for row in rows:
        item = clips[epoch, row]
        mirrored = item.get("mirrored", False)
        frames = item["frames"].numpy()[None] if item["valid"] else ()
        captions = [(f"epoch {epoch + 1}", mirrored)]
        yield _shown(clips.manifest, item, frames, captions, clips.clip.modality, side)


def as_tested(clips: TestClips, rows: Iterable[int], side: int) -> Iterator[ShownClip]:
    """The clips in ``rows`` of the manifest with every view of a test; frames of ``side`` pixels at most."""
    captions = view_captions(clips.views)
    for row in rows:
        item = clips[row]
        frames = item["frames"].numpy() if item["valid"] else ()
        yield _shown(clips.manifest, item, frames, captions, clips.clip.modality, side)


def view_captions(views: ViewConfig) -> list[tuple[str, bool]]:
    """(V,): which view it is, and whether it is a mirror image."""
    grid = views.parsed
    return [
        (
            f"sample {number % grid.count // grid.spatial + 1} of {grid.temporal}, "
            f"crop {number % grid.spatial + 1} of {grid.spatial}",
            mirrored,
        )
        for number, mirrored in enumerate(views.mirrored)
    ]


def _shown(
    manifest: Manifest,
    item: ClipItem,
    views: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    captions: list[tuple[str, bool]],
    modality: Modality,
    side: int,
) -> ShownClip:
    strips = (Strip(*caption, pictures(view, modality, side)) for caption, view in zip(captions, views, strict=False))
    fault = f"{'broken' if item['broken'] else 'left out'}: {item['reason']}" if item["reason"] else ""
    return ShownClip(
        row=item["index"],
        id=manifest.row(item["index"]).id,
        labels=_names(manifest, item),
        fault=fault,
        notes=tuple(item.get("notes", ())),
        strips=tuple(strips),
    )


def _names(manifest: Manifest, item: ClipItem) -> tuple[str, ...] | None:
    if not item["labelled"]:
        return None
    labels = item["labels"]
    indices = labels.nonzero().flatten().tolist() if labels.ndim else [int(labels)]
    return tuple(manifest.classes[index] for index in indices)
