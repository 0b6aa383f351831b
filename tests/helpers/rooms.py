"""The plan of the house: its rooms, top floor first, and the rooms that each may import.

A room is a package, or a file that others build on as on a package. ``tests/test_rooms.py`` holds the tree to this
table, and ``docs/development.md`` shows it as :func:`page_table` has it.
"""

from __future__ import annotations

import ast
from pathlib import Path

from tests.helpers.places import ROOT

LEAVES = (
    *("architectures", "defaults", "errors", "expected", "pages", "run_folder", "table", "temporal", "terminal"),
    "timm_import",
)
"""Files that every room may import, and that import each other only; so is ``tinkit`` itself, with its version."""

HOUSES = ("data", "models")
"""Packages of several rooms that those outside name as one: ``models`` is any of its rooms."""

ROOMS = {
    "cli": "report engine.training engine.exchange engine.watching engine.evaluation engine.measure engine.runs"
    " engine.runtime engine.distributed released foreign_scores submission inspection fusion models recipe data ops"
    " native spread workers scores metrics files",
    "report": "engine.evaluation engine.runs inspection fusion recipe data scores files",
    "engine.training": "engine.exchange engine.evaluation engine.runs engine.runtime engine.distributed inspection"
    " models recipe data workers scores metrics files",
    "engine.exchange": "engine.evaluation engine.runs engine.runtime engine.distributed models recipe data files",
    "engine.watching": "engine.evaluation engine.runs engine.runtime models recipe data files",
    "engine.evaluation": "engine.measure engine.runs engine.runtime engine.distributed fusion models recipe data scores"
    " metrics files",
    "engine.measure": "engine.runtime models recipe data ops workers files",
    "engine.runs": "engine.runtime engine.distributed models recipe data files",
    "engine.runtime": "engine.distributed models recipe data ops workers",
    "engine.distributed": "",
    "released": "files",
    "foreign_scores": "submission scores pickles files",
    "submission": "fusion scores metrics leaderboard files",
    "inspection": "scores metrics files",
    "fusion": "scores metrics files",
    "models": "models.clipnets models.foreign models.fused models.modality models.classifier models.temporal"
    " models.backbones models.stock data",
    "models.clipnets": "models.foreign models.classifier",
    "models.foreign": "models.modality models.classifier models.temporal models.non_finite pickles files",
    "models.fused": "models.temporal models.backbones models.stock ops",
    "models.modality": "models.classifier data",
    "models.classifier": "models.temporal data",
    "models.temporal": "models.backbones models.stock ops",
    "models.backbones": "ops",
    "models.non_finite": "",
    "models.stock": "",
    "recipe": "data metrics files",
    "data.stream": "data.decode",
    "data.look": "data.clips data.sampling data.manifest data.decode data.config files",
    "data.reencode": "data.packing data.sampling data.manifest data.packed data.annotations data.decode data.config"
    " data.paths data.layouts spread files",
    "data.packing": "data.export data.sampling data.probe data.manifest data.packed data.decode data.paths data.layouts"
    " spread files",
    "data.export": "data.probe data.manifest data.layouts files",
    "data.clips": "data.flow data.sound data.sampling data.probe data.manifest data.decode data.config data.paths"
    " data.layouts workers",
    "data.flow": "data.sampling data.manifest data.decode data.config data.paths data.layouts spread files",
    "data.sound": "data.sampling data.decode data.config",
    "data.sampling": "data.decode data.config ops native",
    "data.probe": "data.manifest data.packed data.decode data.paths data.layouts spread files",
    "data.manifest": "data.packed data.annotations data.decode data.config data.paths data.layouts metrics files",
    "data.packed": "data.decode files",
    "data.annotations": "data.config data.paths data.layouts files",
    "data.decode": "data.config data.paths data.layouts ops",
    "data.config": "data.paths data.layouts metrics",
    "data.own": "data.paths data.layouts files",
    "data.synth": "data.layouts workers files",
    "data.layouts": "metrics files",
    "data.paths": "",
    "ops": "native files",
    "spread": "workers",
    "workers": "",
    "scores": "metrics files",
    "metrics": "leaderboard average_precision",
    "leaderboard": "",
    "average_precision": "native files",
    "native": "files",
    "pickles": "",
    "files": "",
}

NAMED = {("temporal", "models.temporal")}
"""Rooms (from, to) of which the one names files of the other in strings; files of its own each may name so.

The rows of ``tinkit/temporal.py`` say which function puts a module into a network, and ``models.temporal`` looks it up.
"""


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


def named(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of ``known`` that a file names in strings: ``a.b``, or ``a.b:function``, as a table's rows do."""
    strings = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
    return {name for text in strings if (name := str(text).partition(":")[0]) in known and "." in name}


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
