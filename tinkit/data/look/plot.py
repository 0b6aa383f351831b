"""The statistics of a split as a picture."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinkit.data.look.files import Measure
from tinkit.errors import UsageError, UserError
from tinkit.files.atomic import atomic_path, check_place
from tinkit.files.system_errors import write_errors
from tinkit.terminal import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FORMATS = (".png", ".svg")
_COLUMNS, _BINS = 3, 40  # panels beside each other; bars of a histogram
_PAIRS, _LETTERS = 20, 60  # pairs of classes that a panel has room for; letters of their names
_PANEL = (4.5, 3.2)  # inches


@dataclass(frozen=True)
class Plotted:
    """What is drawn: clips a class, clips by number of labels, common pairs of classes, and measures of files."""

    title: str
    label_counts: np.ndarray
    labels_a_clip: np.ndarray
    pairs: Sequence[tuple[str, int]]
    measures: Sequence[Measure]


def check_plot(file: Path, option: str = "--plot") -> None:
    """Raise :class:`~tinkit.errors.UserError` unless a plot can be written to ``file``, before any work is done."""
    if file.suffix.lower() not in _FORMATS:
        raise UsageError(f"{option} {file} is of a kind that is not written", expected=" or ".join(_FORMATS))
    check_place(file)
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise UserError("matplotlib is not installed", fix="pip install 'tinkit[plot]'") from None


def write_plot(file: Path, plotted: Plotted) -> None:
    """Draw to a PNG or SVG, by the suffix of ``file``; the same statistics give the same SVG. No display is needed."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    panels = _panels(plotted)
    rows = -(-len(panels) // _COLUMNS)
    with rc_context({"svg.hashsalt": "tinkit", "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a script that the font lacks is drawn as boxes
        figure = Figure((_PANEL[0] * _COLUMNS, _PANEL[1] * rows + 0.5), layout="constrained")
        figure.suptitle(plain(plotted.title), parse_math=False)
        for number, draw in enumerate(panels, 1):
            draw(figure.add_subplot(rows, _COLUMNS, number))
        kind = file.suffix.lower().removeprefix(".")
        with write_errors(file), atomic_path(file) as temporary:
            figure.savefig(temporary, format=kind, metadata={"Date": None} if kind == "svg" else None)


def _panels(plotted: Plotted) -> list[Callable[[Axes], None]]:
    """What draws each panel, of those that have something to show."""
    panels: list[Callable[[Axes], None]] = []
    if plotted.label_counts.any():
        panels.append(partial(_draw_classes, counts=plotted.label_counts))
        panels.append(partial(_draw_labels, clips=plotted.labels_a_clip))
    if plotted.pairs:
        panels.append(partial(_draw_pairs, pairs=plotted.pairs))
    return panels + [partial(_draw_measure, measure=one) for one in plotted.measures]


def _draw_classes(axes: Axes, counts: np.ndarray) -> None:
    axes.plot(np.arange(1, len(counts) + 1), np.sort(counts)[::-1], drawstyle="steps-mid")
    axes.set(title="clips a class", xlabel="class, most common first", ylabel="clips", ylim=(0, None))


def _draw_labels(axes: Axes, clips: np.ndarray) -> None:
    axes.bar(np.arange(len(clips)), clips)
    axes.set(title="labels a clip", xlabel="labels", ylabel="clips")
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_pairs(axes: Axes, pairs: Sequence[tuple[str, int]]) -> None:
    shown = pairs[:_PAIRS]
    places = np.arange(len(shown))
    axes.barh(places, [count for _, count in shown])
    names = [plain(name if len(name) <= _LETTERS else name[: _LETTERS - 3] + "...") for name, _ in shown]
    axes.set_yticks(places, names, fontsize=7, parse_math=False)
    axes.invert_yaxis()
    axes.set(title="classes that occur together", xlabel="clips")


def _draw_measure(axes: Axes, measure: Measure) -> None:
    axes.hist(measure.values, bins=_BINS)
    axes.set(title=measure.name, xlabel=measure.unit, ylabel="clips")
