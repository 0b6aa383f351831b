"""The plan of the house: its rooms, top floor first, and the rooms that each may import.

A room is a package, or a file that others build on as on a package. ``tests/test_rooms.py`` holds the tree to this
table, and ``docs/development.md`` shows it as :func:`page_table` has it.
"""

from __future__ import annotations

import ast
from pathlib import Path

from tests.helpers.places import ROOT

LEAVES = ("defaults", "errors", "expected", "pages", "run_folder", "table", "terminal", "timm_import")
"""Files that every room may import, and that import each other only; so is ``tinkit`` itself, with its version."""

HOUSES = ("data", "models")
"""Packages of several rooms that those outside name as one: ``models`` is any of its rooms."""

ROOMS = {
    "cli": "engine.training engine.exchange engine.evaluation engine.measure engine.runs engine.runtime"
    " engine.distributed submission fusion models ops recipe data scores metrics files",
    "engine.training": "engine.exchange engine.evaluation engine.runs engine.runtime engine.distributed models recipe"
    " data workers scores metrics files",
    "engine.exchange": "engine.evaluation engine.runs engine.runtime engine.distributed models recipe data files",
    "engine.evaluation": "engine.runs engine.runtime engine.distributed fusion models recipe data scores metrics files",
    "engine.measure": "engine.runtime models ops recipe data files",
    "engine.runs": "engine.runtime engine.distributed models recipe data files",
    "engine.runtime": "engine.distributed models recipe data",
    "engine.distributed": "",
    "submission": "fusion scores metrics files",
    "fusion": "scores metrics files",
    "models": "models.clipnets models.foreign models.modality models.temporal models.backbones models.stock ops data",
    "models.clipnets": "models.foreign models.temporal data",
    "models.foreign": "models.modality models.temporal models.finite files",
    "models.modality": "data",
    "models.temporal": "models.backbones models.stock ops",
    "models.backbones": "ops",
    "models.finite": "",
    "models.stock": "",
    "ops": "files",
    "recipe": "data metrics files",
    "data": "workers metrics files",
    "workers": "",
    "scores": "metrics files",
    "metrics": "",
    "files": "",
}

PENDING: set[tuple[str, str]] = {
    # a file of its own for the type of a batch ends this
    ("tinkit.data.fetching", "tinkit.data.loading"),
    # one base of the classifiers ends these
    ("tinkit.models.foreign.classes", "tinkit.models.clipnets.video3d"),
    ("tinkit.models.foreign.classes", "tinkit.models.video"),
    ("tinkit.models.foreign.layouts", "tinkit.models.clipnets.video3d"),
    ("tinkit.models.foreign.layouts", "tinkit.models.video"),
    ("tinkit.models.foreign.load", "tinkit.models.clipnets.video3d"),
    ("tinkit.models.foreign.load", "tinkit.models.video"),
    ("tinkit.models.foreign.names_3d", "tinkit.models.clipnets.video3d"),
    ("tinkit.models.foreign.names_3d", "tinkit.models.video"),
    ("tinkit.models.foreign.save", "tinkit.models.clipnets.video3d"),
    ("tinkit.models.foreign.save", "tinkit.models.video"),
    ("tinkit.models.modality", "tinkit.models"),
}
"""Arrows (from, to) between files that go upwards still. What is mended goes from here: a test sees to it."""


def modules(folder: Path = ROOT / "tinkit") -> dict[str, Path]:
    """The modules below ``folder``, by dotted name; a package has its folder's."""
    named = {path: path.relative_to(ROOT).with_suffix("").parts for path in sorted(folder.rglob("*.py"))}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): path for path, parts in named.items()}


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of ``known`` that a file imports: anywhere in it, also for a type checker's eyes only."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else str(node.module) for name in inner}
    return {name for name in found if name in known and known[name] != path}


def room_of(module: str) -> str:
    """The room of a module: the longest name in the table that it begins with; its own for one that has none."""
    name = module.removeprefix("tinkit.")
    while name not in ROOMS and name not in LEAVES and "." in name:
        name = name.rpartition(".")[0]
    return name


def seen_from(room: str, target: str) -> str:
    """What ``room`` calls the room ``target`` in the table: a house of which it is no part by the house's name."""
    house = target.partition(".")[0]
    return house if house in HOUSES and house != room.partition(".")[0] else target


def floor(name: str) -> int:
    """The place in the table, from the top, of a room, or of a house's first room."""
    return next(at for at, room in enumerate(ROOMS) if room == name or room.startswith(f"{name}."))


def sentence(room: str) -> str:
    """The first line of the docstring of a room's file, or of its ``__init__``."""
    text = ast.get_docstring(ast.parse(modules()[f"tinkit.{room}"].read_text())) or ""
    return text.splitlines()[0].replace("``", "`")


def page_table() -> str:
    """The table of rooms for the page, in Markdown."""
    head = "| room | what it is | imports |\n|---|---|---|\n"
    return head + "".join(
        f"| `{room}` | {sentence(room)} | {', '.join(f'`{name}`' for name in below.split())} |\n"
        for room, below in ROOMS.items()
    )
