"""The tree against the plan of the house (``tests/helpers/rooms.py``): no circle, no arrow upwards, no hidden door."""

from __future__ import annotations

import ast
import importlib
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.helpers.places import ROOT
from tests.helpers.rooms import (
    LEAVES,
    NAMED,
    ROOMS,
    floor,
    imported,
    modules,
    named,
    page_table,
    room_of,
    seen_from,
)

FILES = modules()
ENGINE = [room for room in ROOMS if room.startswith("engine.")]


@cache
def graph() -> dict[str, set[str]]:
    """The modules that each imports."""
    return {name: imported(path, FILES) for name, path in FILES.items()}


def arrows() -> set[tuple[str, str]]:
    return {(name, other) for name, others in graph().items() for other in others}


def test_every_file_has_a_room() -> None:
    homeless = {room_of(name) for name in FILES} - {*ROOMS, *LEAVES, "tinkit", "__main__", "engine", "data"}
    assert not homeless, "write the room and what it may import into tests/helpers/rooms.py"


def test_the_table_leads_downwards() -> None:
    for room, below in ROOMS.items():
        assert all(floor(room) < floor(other) for other in below.split()), room


def test_rooms_import_what_the_table_says_and_no_other() -> None:
    """Neither more than the table says nor less, so that the page tells the truth."""
    found: dict[str, set[str]] = {room: set() for room in ROOMS}
    for name, other in arrows():
        room, target = room_of(name), room_of(other)
        if target in LEAVES or target in ("tinkit", room) or room == "__main__":
            continue
        assert room in ROOMS, f"{name} is a leaf and imports {other}"
        found[room].add(seen_from(room, target))
    assert found == {room: set(below.split()) for room, below in ROOMS.items()}


def test_strings_name_files_of_their_own_room() -> None:
    """An import by name is no way around the table."""
    found = {(room_of(name), room_of(other)) for name, path in FILES.items() for other in named(path, FILES)}
    assert {(room, target) for room, target in found if room != target} == NAMED


def test_no_file_imports_itself_through_others() -> None:
    assert len(list(TopologicalSorter(graph()).static_order())) == len(
        FILES
    )  # raises CycleError, which names the files


@pytest.mark.parametrize("room", ENGINE)
def test_a_room_of_the_engine_says_which_of_its_files_others_use(room: str) -> None:
    surface = importlib.import_module(f"tinkit.{room}").__all__
    assert surface == sorted(surface)
    assert {f"tinkit.{room}.{name}" for name in surface} <= FILES.keys()
    used = {other for name, other in arrows() if room_of(other) == room != room_of(name)}
    assert used == {f"tinkit.{room}.{name}" for name in surface}


@pytest.mark.parametrize("folder", ["tinkit", "tests", "benchmarks"])
def test_no_file_imports_a_private_name_of_another(folder: str) -> None:
    ours = ("tinkit", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [*str(node.module).split("."), *(alias.name for alias in node.names)]
                hidden = [name for name in names if name.startswith("_") and not name.startswith("__")]
                assert not hidden or (node.level == 0 and names[0] not in ours), f"{path}: {hidden}"


def test_the_page_shows_the_table() -> None:
    page = (ROOT / "docs" / "development.md").read_text()
    assert page_table() in page, "docs/development.md, Rooms, is to hold:\n" + page_table()


def test_imports_are_seen_wherever_they_stand(tmp_path: Path) -> None:
    known = {name: tmp_path / f"{name}.py" for name in ("a.top", "a.types", "a.late", "a.other", "a")}
    file = tmp_path / "file.py"
    file.write_text(
        "import a.top\nfrom a import other\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from a.types import Name\n\n"
        "def work() -> None:\n    from a.late import later\n    import json\n"
    )
    assert imported(file, known) == {"a.top", "a.other", "a.types", "a.late"}


def test_names_in_strings_are_seen(tmp_path: Path) -> None:
    known = {name: tmp_path / f"{name}.py" for name in ("a", "a.row", "a.part", "a.whole", "a.text")}
    file = tmp_path / "file.py"
    file.write_text('"""See a.text."""\nROWS = ("a.row:function", f"a.part:{1}", "a.whole", "a", "a.none", 1)\n')
    assert named(file, known) == {"a.row", "a.part", "a.whole"}
