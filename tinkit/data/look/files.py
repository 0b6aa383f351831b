"""How long, large, fast and loud the files of a split are, by what probing has found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tinkit.data.manifest.manifest import Manifest

_QUANTILES = {"min": 0.0, "5%": 0.05, "median": 0.5, "95%": 0.95, "max": 1.0}
_READ = ("frames", "seconds", "rate", "width", "height", "size", "keyframes", "sound")  # of what probing keeps
_PACKED = (("frames", "frames"), ("rate", "frames/s"), ("width", "pixels"), ("height", "pixels"))


@dataclass(frozen=True)
class Measure:
    """One property of clips, in ``unit``; ``values`` float64 (N,), of the clips of which it is known."""

    name: str
    unit: str
    values: NDArray[np.float64]

    def row(self) -> dict[str, str | int | float]:
        """The distribution: of how many clips, and quantiles, between two values interpolated."""
        quantiles = np.quantile(self.values, list(_QUANTILES.values())).tolist()
        row: dict[str, str | int | float] = {"of": self.name, "unit": self.unit, "count": len(self.values)}
        return row | dict(zip(_QUANTILES, quantiles, strict=True))


@dataclass(frozen=True)
class FilesSeen:
    """The files that a split's clips lie in: ``files`` of them, of which ``good`` were probed and can be read.

    ``with_sound`` of the good ones have sound, None where clips are folders of images. ``sizes`` are the most common
    widths and heights, with how many files have them. A measure that is known of no file is left out.

    Of ``packed`` clips it is the clips that are counted, as they were packed.
    """

    files: int
    probed: int
    good: int
    with_sound: int | None
    sizes: tuple[tuple[str, int], ...]
    measures: tuple[Measure, ...]
    packed: bool = False


def packed_seen(manifest: Manifest, clips: pa.Table, most_sizes: int = 5) -> FilesSeen:
    """What the index of packed frames says of the ``clips`` of ``manifest``: frames as they are read."""
    ours = clips.filter(pc.is_in(clips.column("id"), value_set=manifest.table.column("id").combine_chunks()))
    good = ours.filter(pc.equal(ours.column("reason"), ""))
    frames, rate = (good.column(name).to_numpy().astype(np.float64) for name in ("frames", "rate"))
    seconds = np.divide(frames, rate, out=np.zeros_like(frames), where=rate > 0)
    measures = [Measure(*what, _known(good.column(what[0]))) for what in _PACKED]
    measures.insert(1, Measure("duration", "s", seconds[seconds > 0]))
    return FilesSeen(
        files=len(manifest),
        probed=len(ours),
        good=len(good),
        with_sound=None,
        sizes=_common_sizes(good, most_sizes),
        measures=tuple(measure for measure in measures if len(measure.values)),
        packed=True,
    )


def files_seen(manifest: Manifest, probes: pa.Table, most_sizes: int = 5) -> FilesSeen:
    """What ``probes`` (:func:`~tinkit.data.probe.survey.read_probes`) says of the files of ``manifest``."""
    paths = pc.unique(manifest.table.column("path"))
    ours = pc.is_in(probes.column("path"), value_set=paths)
    good = probes.select(_READ).filter(pc.and_(ours, pc.equal(probes.column("status"), "good")))
    return FilesSeen(
        files=len(paths),
        probed=int(pc.sum(ours).as_py() or 0),
        good=len(good),
        with_sound=int(pc.sum(good.column("sound")).as_py() or 0) if manifest.media == "video" else None,
        sizes=_common_sizes(good, most_sizes),
        measures=_measures(manifest, good),
    )


def _common_sizes(good: pa.Table, most: int) -> tuple[tuple[str, int], ...]:
    counts = good.group_by(["width", "height"]).aggregate([([], "count_all")])
    order = [("count_all", "descending"), ("width", "descending"), ("height", "descending")]
    rows = counts.sort_by(order).slice(0, most).to_pylist()
    return tuple((f"{row['width']}x{row['height']}", row["count_all"]) for row in rows)


def _measures(manifest: Manifest, good: pa.Table) -> tuple[Measure, ...]:
    columns = (
        ("frames", "frames", "frames"),
        ("duration", "s", "seconds"),
        ("rate", "frames/s", "rate"),
        ("width", "pixels", "width"),
        ("height", "pixels", "height"),
        ("size", "bytes", "size"),  # 0 of a folder of images
    )
    measures = [Measure(name, unit, _known(good.column(column))) for name, unit, column in columns]
    measures.append(Measure("keyframe distance", "frames", keyframe_distances(good)))
    listed = manifest.table.column("frames").drop_null()
    measures.append(Measure("frames by the annotation", "frames", _known(listed)))
    return tuple(measure for measure in measures if len(measure.values))


def _known(column: pa.ChunkedArray) -> NDArray[np.float64]:
    values = column.to_numpy().astype(np.float64)
    return values[values > 0]


def keyframe_distances(good: pa.Table) -> NDArray[np.float64]:
    """(N,): of each file with keyframes the longest way, in frames, from one to the next or to the end.

    That many frames are decoded at most to see one of them.
    """
    counts = pc.list_value_length(good.column("keyframes")).to_numpy()
    with_some = good.select(["keyframes", "frames"]).filter(pa.array(counts > 0))
    counts = counts[counts > 0]
    if not len(counts):
        return np.zeros(0)
    starts = np.cumsum(counts) - counts
    flat = pc.list_flatten(with_some.column("keyframes")).to_numpy()
    following = np.append(flat[1:], flat[:1])  # the last one is replaced, as the last of every file is
    following[starts + counts - 1] = with_some.column("frames").to_numpy()
    return np.maximum.reduceat(following - flat, starts).astype(np.float64)


def rows_of(measures: Sequence[Measure]) -> list[dict[str, str | int | float]]:
    """The distributions, a row each."""
    return [measure.row() for measure in measures]
