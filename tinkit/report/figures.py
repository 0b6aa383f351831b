"""The figures of a report as Vega-Lite specifications: data in, a dictionary out.

The page embeds Vega-Lite, so a figure is what https://vega.github.io/vega-lite/docs/ describes; colours of text and
lines come from the page, which has a light and a dark scheme.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Spec = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_HEIGHT = 260  # pixels
_SERIES = {"field": "series", "type": "nominal", "title": None}


def lines(rows: Rows, x: str, y: str, description: str, *, y_title: str = "") -> Spec:
    """A line a ``series`` over ``x``, with points; non-finite values are to be left out before."""
    return _figure(
        rows,
        description,
        mark={"type": "line", "point": True, "tooltip": True},
        encoding={
            "x": {"field": x, "type": "quantitative", "axis": {"tickMinStep": 1}},
            "y": {"field": y, "type": "quantitative", "title": y_title or y, "scale": {"zero": False}},
            "color": _SERIES,
            "strokeDash": {"field": "series", "type": "nominal", "legend": None},
        },
    )


def bars(rows: Rows, label: str, value: str, description: str, *, title: str, sort: Any = None) -> Spec:
    """A horizontal bar a row, in the order of the rows."""
    return _figure(
        rows,
        description,
        mark={"type": "bar", "tooltip": True},
        encoding={
            "y": {"field": label, "type": "nominal", "sort": sort, "title": None, "axis": {"labelLimit": 160}},
            "x": {"field": value, "type": "quantitative", "title": title},
            "color": {
                "condition": {"test": f"datum['{value}'] < 0", "value": "#d95f02"},
                "value": "#1b7f8c",
            },
        },
        height=18 * len(rows),
    )


def published_bars(rows: Rows, description: str) -> Spec:
    """Measured values as bars, published ones as marks on them; rows have name, measured and published."""
    place = {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 180}}
    amount = {"type": "quantitative", "title": "percent"}
    layers: list[Spec] = [
        {
            "mark": {"type": "bar", "tooltip": True, "color": "#1b7f8c"},
            "encoding": {"y": place, "x": amount | {"field": "measured"}},
        }
    ]
    if any(row["published"] is not None for row in rows):
        layers.append(
            {
                "transform": [{"filter": "isValid(datum.published)"}],
                "mark": {"type": "tick", "thickness": 3, "color": "#d95f02", "tooltip": True},
                "encoding": {"y": place, "x": amount | {"field": "published"}},
            }
        )
    return _frame(description, 22 * len(rows)) | {"data": {"values": list(rows)}, "layer": layers}


def heatmap(rows: Rows, names: Sequence[str], description: str) -> Spec:
    """Shares by class (``true``) and by what ranks highest (``found``), as a grid; ``clips`` in the tooltip."""
    axis = {"type": "nominal", "sort": list(names), "axis": {"labelLimit": 120}}
    return _figure(
        rows,
        description,
        mark={"type": "rect", "tooltip": True},
        encoding={
            "y": axis | {"field": "true", "title": "class of the clip"},
            "x": axis | {"field": "found", "title": "what ranks highest"},
            "color": {"field": "share", "type": "quantitative", "title": "share", "scale": {"scheme": "viridis"}},
            "tooltip": [{"field": key} for key in ("true", "found", "clips", "share")],
        },
        height=18 * len(names),
    )


def correlation(rows: Rows, names: Sequence[str], description: str) -> Spec:
    """The ``correlation`` of ``member`` and ``other``, a grid in the order of ``names``."""
    axis = {"type": "nominal", "sort": list(names), "title": None, "axis": {"labelLimit": 120}}
    scale = {"scheme": "blueorange", "domain": [-1, 1]}
    return _figure(
        rows,
        description,
        mark={"type": "rect", "tooltip": True},
        encoding={
            "y": axis | {"field": "member"},
            "x": axis | {"field": "other"},
            "color": {"field": "correlation", "type": "quantitative", "scale": scale},
        },
        height=max(60, 24 * len(names)),
    )


def front(rows: Rows, description: str, *, by: str, y_title: str) -> Spec:
    """``value`` over what ``by`` names, a point a fusion; a line joins those whose ``front`` is "yes".

    A ring is around the one that was ``picked``, if any was.
    """
    x = {"field": by, "type": "quantitative", "scale": {"type": "log"}, "title": by}
    y = {"field": "value", "type": "quantitative", "scale": {"zero": False}, "title": y_title}
    place = {"x": x, "y": y}
    kind = {"field": "front", "type": "nominal", "title": "none is better in both", "sort": ["yes", "no"]}
    line: Spec = {
        "transform": [{"filter": "datum.front === 'yes'"}],
        "mark": {"type": "line", "interpolate": "step-before" if by == "clips/s" else "step-after", "color": "#8a8a8a"},
        "encoding": place,
    }
    tips = [{"field": key} for key in ("members", by, "value")]
    points: Spec = {
        "mark": {"type": "point", "filled": True, "size": 60},
        "encoding": place | {"color": kind, "shape": kind | {"legend": None}, "tooltip": tips},
    }
    ring: Spec = {
        "transform": [{"filter": "datum.picked === 'yes'"}],
        "mark": {"type": "point", "size": 240, "strokeWidth": 2, "color": "#1b7f8c"},
        "encoding": place | {"tooltip": tips},
    }
    layers = [line, points, *([ring] if any(row["picked"] for row in rows) else [])]
    return _frame(description) | {"data": {"values": list(rows)}, "layer": layers}


def calibration(rows: Rows, description: str) -> Spec:
    """Share that is true over mean probability, a line a ``series``, beside the diagonal of perfect calibration."""
    axis = {"type": "quantitative", "scale": {"domain": [0, 1]}}
    diagonal = [{"predicted": 0, "observed": 0}, {"predicted": 1, "observed": 1}]
    x = axis | {"field": "predicted", "title": "mean probability"}
    y = axis | {"field": "observed", "title": "share true"}
    return _frame(description) | {
        "layer": [
            {
                "data": {"values": diagonal},
                "mark": {"type": "line", "strokeDash": [4, 4], "color": "#8a8a8a"},
                "encoding": {"x": x, "y": y},
            },
            {
                "data": {"values": list(rows)},
                "mark": {"type": "line", "point": True, "tooltip": True},
                "encoding": {"x": x, "y": y, "color": _SERIES},
            },
        ]
    }


def offsets(rows: Rows, blocks: Sequence[str], description: str) -> Spec:
    """Mean offset over epochs, a line a group, a panel a block, with a band of one standard deviation over clips."""
    x = {"field": "epoch", "type": "quantitative", "axis": {"tickMinStep": 1}}
    group = {"field": "group", "type": "nominal", "title": "group"}
    scale = {"domain": [-2, 2]}
    return {
        "$schema": SCHEMA,
        "description": description,
        "data": {"values": list(rows)},
        "facet": {"field": "block", "type": "nominal", "sort": list(blocks), "title": None},
        "columns": 3,
        "spec": {
            "width": 180,
            "height": 110,
            "layer": [
                {
                    "mark": {"type": "area", "opacity": 0.2},
                    "encoding": {
                        "x": x,
                        "y": {"field": "low", "type": "quantitative", "scale": scale, "title": "offset, frames"},
                        "y2": {"field": "high"},
                        "color": group,
                    },
                },
                {
                    "mark": {"type": "line", "point": True, "tooltip": True},
                    "encoding": {
                        "x": x,
                        "y": {"field": "offset", "type": "quantitative", "scale": scale},
                        "color": group,
                    },
                },
            ],
        },
    }


def _figure(rows: Rows, description: str, mark: Spec, encoding: Spec, height: int = _HEIGHT) -> Spec:
    """A figure of one layer."""
    return _frame(description, height) | {"data": {"values": list(rows)}, "mark": mark, "encoding": encoding}


def _frame(description: str, height: int = _HEIGHT) -> Spec:
    """As wide as the page lets it be, ``height`` pixels high."""
    return {
        "$schema": SCHEMA,
        "description": description,
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "height": height,
    }
