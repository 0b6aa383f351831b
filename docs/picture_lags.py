"""The picture of what the study of lags finds: the offsets of every group beside the true lag, a panel a network."""

from __future__ import annotations

import csv
from pathlib import Path

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results" / "study_lags_offsets.csv"

_PLACE, _LAYER = "one block", "layer1"
_NETWORKS = ("r-TCN", "TIN, fixed", "TIN, learned once", "TIN, from the clip")
_COLOURS = ("#2f6fb5", "#0b7a5c", "#b5542f", "#7a4fa3")
_LAGS, _REACH = (1.75, 4.25), 2.25  # frames, of either axis
_LEFT, _TOP, _WIDTH, _HEIGHT, _GAP = 46, 54, 190, 190, 20


def lags_picture() -> str:
    """An SVG of a panel a network, made of benchmarks/results/study_lags_offsets.csv."""
    with RESULTS.open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if (row["place"], row["layer"]) == (_PLACE, _LAYER)]
    width = _LEFT + len(_NETWORKS) * (_WIDTH + _GAP)
    height = _TOP + _HEIGHT + 48
    parts = [
        _text(
            _LEFT - 36,
            20,
            "offset of a group, frames; dots: four groups, every seed; dashed: half the true lag, both ways",
        )
    ]
    for index, name in enumerate(_NETWORKS):
        parts += _panel(_LEFT + index * (_WIDTH + _GAP), name, [row for row in rows if row["network"] == name])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"\n'
        '  role="img" font-family="sans-serif" font-size="13"><title>The offsets of four networks by the true lag of '
        "the clip</title>\n"
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _x(left: float, lag: float) -> float:
    return left + _WIDTH * (lag - _LAGS[0]) / (_LAGS[1] - _LAGS[0])


def _y(offset: float) -> float:
    return _TOP + _HEIGHT * (_REACH - offset) / (2 * _REACH)


def _text(x: float, y: float, words: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="#1f2933">{words}</text>'


def _panel(left: float, name: str, rows: list[dict[str, str]]) -> list[str]:
    right = left + _WIDTH
    parts = [_text(left + _WIDTH / 2, _TOP - 12, name, anchor="middle")]
    for offset in (-2, -1, 0, 1, 2):
        parts.append(f'<path d="M{left:g} {_y(offset):.1f}H{right:g}" stroke="#d5dae1"/>')
        parts.append(_text(left - 4, _y(offset) + 4, str(offset), anchor="end"))
    for lag in (2, 3, 4):
        parts.append(_text(_x(left, lag), _TOP + _HEIGHT + 18, str(lag), anchor="middle"))
    parts.append(_text(left + _WIDTH / 2, _TOP + _HEIGHT + 38, "true lag, frames", anchor="middle"))
    for way in (-1, 1):
        ends = " L".join(f"{_x(left, lag):.1f} {_y(way * lag / 2):.1f}" for lag in (2, 4))
        parts.append(f'<path d="M{ends}" stroke="#1f2933" stroke-dasharray="4 3" fill="none"/>')
    for row in rows:
        for group, colour in enumerate(_COLOURS):
            x, y = _x(left, float(row["lag"])), _y(float(row[f"group_{group}"]))
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}" fill-opacity="0.7"/>')
    return parts
