"""All networks of `tinkit models`, timed on this machine into results/models_zoo.csv, and docs/models.md made of it.

    python -m benchmarks.zoo [--seconds 3] [--only BACKBONE ...] [--out FILE] [--page FILE] [--docs]

`--docs` times nothing and makes the page anew from the csv and the recipes; a network that the csv lacks is counted.
Buffers are kept and threads are as in `tinkit test`. Networks are timed one after the other, so a ratio of two rows is
not a measurement: benchmarks/models.py times pairs.
"""

# ruff: noqa: E402  (buffers are kept before there are threads, which PyTorch would start)

from __future__ import annotations

from tinkit.pages import keep_buffers

KEPT = __name__ == "__main__" and keep_buffers()

import argparse
import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

import torch

from benchmarks.machine import machine
from tinkit.engine.measure.networks import (
    BACKBONES,
    CLASSES,
    NetworkRow,
    clips_per_second,
    networks,
    published_words,
    row_of,
)
from tinkit.engine.runtime.device import limit_threads
from tinkit.files.shipped import shipped_names
from tinkit.models.backbones.families import family_of
from tinkit.recipe import Published, ResolvedRecipe, load_recipe
from tinkit.scores.protocol import protocol_words
from tinkit.temporal import TEMPORAL_MODULES

ROOT = Path(__file__).parents[1]
COLUMNS = ("date", "machine", "backbone", "temporal", "input", "parameters", "gflops", "clips_per_s")
SHOWN = tuple(row for row in TEMPORAL_MODULES if row.any_place)
TEMPORALS = tuple(row.name for row in SHOWN)
_KEY = ("backbone", "temporal", "input")
Record = dict[str, str]


def main() -> None:
    """Time what was asked for, a row at a time, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="for each network")
    parser.add_argument("--only", nargs="+", default=(), metavar="BACKBONE", help="names, * for any part")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "models_zoo.csv")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "models.md")
    parser.add_argument("--docs", action="store_true", help="time nothing")
    asked = parser.parse_args()
    if not asked.docs:
        limit_threads()
        buffers = "large buffers kept" if KEPT else "large buffers not kept"
        setting = f"{machine('torch', 'timm')}; {torch.get_num_threads()} threads; {buffers}"
        for network in networks(asked.only):
            store(measured(network, asked.seconds, setting), asked.out)
    asked.page.write_text(page(networks(), read(asked.out)))


def measured(network: NetworkRow, seconds: float, setting: str) -> Record:
    """A row of the csv, which is also said."""
    row = row_of(network, network.cost(), clips_per_second(network, seconds))
    record = {"date": date.today().isoformat(), "machine": setting} | {name: str(row[name]) for name in COLUMNS[2:]}
    print("  ".join(record[name] for name in COLUMNS[2:]), flush=True)
    return record


def read(path: Path) -> list[Record]:
    """The rows of the csv; none if there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def store(record: Record, path: Path) -> None:
    """Put the row in the place of the one of the same network, whatever machine that was of, or behind the others."""
    rows = {tuple(row[name] for name in _KEY): row for row in [*read(path), record]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows.values())


def page(chosen: Sequence[NetworkRow], records: Iterable[Record]) -> str:
    """docs/models.md: the families' table, the networks that recipes train, and the recipes."""
    known = {tuple(record[name] for name in _KEY): record for record in records}
    rows = {}
    for network in chosen:
        key = (network.model.backbone, network.words, network.input)
        rows[key] = known.get(key) or {name: str(value) for name, value in row_of(network, network.cost()).items()}
    plain = [network for network in chosen if _is_plain(network)]
    settings = sorted({f"{record['date']}; {record['machine']}" for record in known.values()})
    return f"""# Models

Made by `make bench-zoo` (`python -m benchmarks.zoo`) of the recipes and of `benchmarks/results/models_zoo.csv`; do not
edit. `tinkit models` lists the same, `tinkit models --bench` with the speed of one's own machine.

Parameters are in millions, with {CLASSES} classes. GFLOPs are of one clip: a multiplication and an addition count as
one, as papers have it, and what is done element by element as nothing. clips/s are those of `tinkit test` in float32,
one clip at a time, on one machine, a network after the other:

{_bullets(settings)}

Ratios of such numbers are rough; `benchmarks/results/models.csv` has pairs of timings.

## Backbones and temporal modules

8 frames. Every row takes {_listed()}; a shift costs nothing that is counted, and TIN's
steering networks cost less than a tenth of a percent. [families.py](../tinkit/models/backbones/families.py) says
which input of which block moves, and why. The other models of these families work as well, and other image models of
timm's with `place`: `make test-models` tries them all and writes [backbones.csv](../benchmarks/results/backbones.csv).

{_families(plain, rows)}

## What the recipes train

The published numbers are those of a recipe's first source and metric, in its order of views; the next table has all.

{_networks([network for network in chosen if network.published or not _is_plain(network)], rows)}

## Recipes

*training* is the mark of the learning rate: published with the number, or assumed. `tinkit recipes NAME` shows the mark
of every key.

{_recipes()}
"""


def _is_plain(network: NetworkRow) -> bool:
    """Whether a network is in the first table: one of its backbones with nothing but one of its temporal modules."""
    backbone, frames = network.model.backbone, network.clip.num_segments
    return backbone in BACKBONES and frames == 8 and network.words in TEMPORALS


def _families(chosen: Sequence[NetworkRow], rows: Mapping[tuple[str, str, str], Mapping[str, str]]) -> str:
    weighing = [row.name for row in SHOWN if not row.put or row.foreign.weights]
    heads = ("family", "backbone", "pixels", *_heads("parameters", weighing), "GFLOPs", *_heads("clips/s", TEMPORALS))
    lines = []
    for backbone in BACKBONES:
        own = {one.words: rows[backbone, one.words, one.input] for one in chosen if one.model.backbone == backbone}
        pixels = own["tsn"]["input"].removeprefix("8 x ")
        parameters = [own[temporal]["parameters"] for temporal in weighing]
        cells = [family_of(backbone).name, f"`{backbone}`", pixels, *parameters]
        speeds = [_speed(own[temporal]) for temporal in TEMPORALS]
        lines.append([*cells, own["tsn"]["gflops"], *speeds])
    return _table(heads, lines)


def _heads(what: str, temporals: Sequence[str]) -> list[str]:
    """``parameters, tsn``, and the others by their names alone."""
    return [f"{what}, {temporals[0]}", *temporals[1:]]


def _listed() -> str:
    """``temporal = "tsn"``, ``"tsm"`` and ``"tin"``."""
    *first, last = [f'`"{name}"`' for name in TEMPORALS]
    return f"`temporal = {', '.join(first).lstrip('`')} and {last}"


def _networks(chosen: Sequence[NetworkRow], rows: Mapping[tuple[str, str, str], Mapping[str, str]]) -> str:
    heads = ("backbone", "temporal", "input", "parameters", "GFLOPs", "clips/s", "published")
    lines = []
    for one in sorted(chosen, key=lambda one: (one.model.backbone, one.words, one.clip.num_segments, one.clip.size)):
        row = rows[one.model.backbone, one.words, one.input]
        entries = [
            {"recipe": recipe, **entry.model_dump()} for recipe, found in one.published.items() for entry in found
        ]
        cells = [f"`{row['backbone']}`", row["temporal"], row["input"], row["parameters"], row["gflops"], _speed(row)]
        lines.append([*cells, published_words(entries) or "-"])
    return _table(heads, lines)


def _recipes() -> str:
    heads = ("recipe", "what", "published", "training")
    lines = []
    for name in shipped_names("recipes"):
        resolved = load_recipe(name)
        recipe = resolved.recipe
        parts = [_number(entry) for entry in recipe.published]
        if parts and recipe.departs:
            parts.append(f"of another training: this recipe differs in {', '.join(recipe.departs)}")
        numbers = "<br>".join(parts) or "-"
        lines.append([f"`{name}`", recipe.description, numbers, _training(resolved)])
    return _table(heads, lines)


def _number(entry: Published) -> str:
    """``62.2 sample_map, 1x1, ?/224 (X-Temporal ModelZoo)``."""
    stated = entry.model_dump(
        include={"num_segments", "scale", "crop", "sampling", "stride", "average"}, exclude_none=True
    )
    words = [f"{entry.number:g} {entry.metric}", entry.views, protocol_words(stated)]
    return f"{', '.join(word for word in words if word)} ({entry.source})"


def _training(resolved: ResolvedRecipe) -> str:
    return resolved.origins["optim.lr"].mark


def _speed(row: Mapping[str, str]) -> str:
    value = row.get("clips_per_s", "")
    return f"{float(value):.2f}" if value not in ("", "None") else "-"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or "- nothing was timed yet"


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
