"""Every role in a docstring leads to something that exists, and to nothing private. Sphinx sees the public ones."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.places import ROOT

ROLE = re.compile(r":(?:func|class|meth|mod|attr|data|exc|obj):`~?([^`]+)`")


def roles(file: Path) -> list[tuple[int, str | None, str]]:
    """(line of the text, class that it stands in, target) of every role of a file."""

    def walk(node: ast.AST, owner: str | None) -> Iterator[tuple[int, str | None, str]]:
        for child in ast.iter_child_nodes(node):
            yield from walk(child, child.name if isinstance(child, ast.ClassDef) else owner)
            if isinstance(child, ast.Constant) and isinstance(child.value, str):
                yield from ((child.lineno, owner, target) for target in ROLE.findall(child.value))

    return list(walk(ast.parse(file.read_text()), None))


def holds(owner: Any, path: str) -> bool:
    """Whether the dotted path leads on from an object, through attributes, annotations or a table's keys."""
    for word in path.split("."):
        if word in getattr(owner, "model_fields", {}) or word in getattr(owner, "__annotations__", {}):
            return True
        if not hasattr(owner, word):
            return False
        owner = getattr(owner, word)
    return True


def exists(target: str, module: Any, owner: str | None) -> bool:
    """Whether a role's target is found in its class, its module, the builtins, or by its full name."""
    places = [*([getattr(module, owner)] if owner and hasattr(module, owner) else []), module, builtins]
    if any(holds(place, target) for place in places):
        return True
    parts = target.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:count]))
        except ImportError:
            continue
        return count == len(parts) or holds(found, ".".join(parts[count:]))
    return False


def lost(file: Path, name: str) -> list[str]:
    """What is wrong with the roles of a file."""
    found = roles(file)
    module = import_module(name) if found else None
    return [
        f"{file}:{line}: {target}"
        for line, owner, target in found
        if re.search(r"(^|\.)_", target) or not exists(target, module, owner)
    ]


def test_every_role_leads_somewhere() -> None:
    problems, count = [], 0
    for file in sorted((ROOT / "tinkit").rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        count += len(roles(file))
        problems += lost(file, name)
    assert not problems
    assert count > 200


@pytest.mark.parametrize("role", [":func:`squash_twice`", ":class:`tinkit.scores.Nothing`", ":func:`_hidden`"])
def test_a_role_that_leads_nowhere_is_found(tmp_path: Path, role: str) -> None:
    file = tmp_path / "kinds.py"
    file.write_text(f'"""See {role}."""\n')
    assert len(lost(file, "tinkit.scores.kinds")) == 1
