"""The picture of what the demo gives: bars of the means over seeds, and a dot for each seed."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results" / "demo.csv"

_NAMES = {"demo_tsn": "TSN", "demo_tsm": "TSM", "demo_tin": "TIN"}
_COLUMNS = {
    "sample mAP": "sample mAP",
    "class mAP": "class mAP",
    "class mAP, order of time": "class mAP, order of time",
}
_COLOURS = ("#5f6b7d", "#2f6fb5", "#0b7a5c")
_LEFT, _TOP, _HEIGHT, _BAR, _GAP = 50, 46, 190, 44, 36


def demo_picture() -> str:
    """An SVG of three groups of bars, one for each metric, made of benchmarks/results/demo.csv."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    with RESULTS.open(newline="") as handle:
        for row in csv.DictReader(handle):
            for column in _COLUMNS:
                values[row["recipe"], column].append(float(row[column]))
    group = len(_NAMES) * _BAR + _GAP
    width = _LEFT + len(_COLUMNS) * group + 10
    height = _TOP + _HEIGHT + 40
    parts = [*_axis(width), *_legend()]
    for place, column in enumerate(_COLUMNS):
        left = _LEFT + _GAP / 2 + place * group
        for index, recipe in enumerate(_NAMES):
            parts += _bar(left + index * _BAR, values[recipe, column], _COLOURS[index])
        middle = left + len(_NAMES) * _BAR / 2
        parts.append(_text(middle, _TOP + _HEIGHT + 22, _COLUMNS[column], anchor="middle"))
    says = "; ".join(f"{_NAMES[recipe]} {mean(values[recipe, column]):.1f} {column}" for recipe, column in values)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"\n'
        f'  role="img" font-family="sans-serif" font-size="13"><title>{says}</title>\n'
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _y(value: float) -> float:
    return _TOP + _HEIGHT * (1 - value / 100)


def _text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = "#1f2933") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def _axis(width: float) -> list[str]:
    lines = [_text(_LEFT - 40, 18, "percent")]
    for value in (0, 25, 50, 75, 100):
        lines.append(f'<path d="M{_LEFT} {_y(value):g}H{width - 10}" stroke="#d5dae1"/>')
        lines.append(_text(_LEFT - 8, _y(value) + 4, str(value), anchor="end"))
    return lines


def _legend() -> list[str]:
    parts = []
    for index, name in enumerate(_NAMES.values()):
        x = _LEFT + 80 + index * 76
        parts.append(f'<rect x="{x}" y="8" width="12" height="12" fill="{_COLOURS[index]}"/>')
        parts.append(_text(x + 18, 18, name))
    parts.append(_text(_LEFT + 320, 18, "bars: means; dots: seeds"))
    return parts


def _bar(x: float, values: list[float], colour: str) -> list[str]:
    top = _y(mean(values))
    parts = [
        f'<rect x="{x + 4:g}" y="{top:.1f}" width="{_BAR - 8}" height="{_TOP + _HEIGHT - top:.1f}" fill="{colour}"/>'
    ]
    for index, value in enumerate(values):
        at = x + 4 + (_BAR - 8) * (index + 1) / (len(values) + 1)
        parts.append(f'<circle cx="{at:g}" cy="{_y(value):.1f}" r="2.5" fill="#ffffff" stroke="#1f2933"/>')
    parts.append(_text(x + _BAR / 2, _TOP + _HEIGHT - 8, f"{mean(values):.1f}", anchor="middle", colour="#ffffff"))
    return parts
