"""An option that several commands have is written once; one that a single command has stands with that command."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from typer.main import get_command

import tinkit.cli
from tinkit.cli.app import app

FOLDER = Path(tinkit.cli.__file__).parent
FILES = {path.name: ast.parse(path.read_text()) for path in FOLDER.glob("*.py")}


def written(tree: ast.AST) -> Iterator[str]:
    """The help of every option and argument that a file describes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("typer.Option", "typer.Argument"):
            yield next(ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "help")


def test_no_two_options_are_described_alike() -> None:
    helps = Counter(text for tree in FILES.values() for text in written(tree))
    assert [text for text, count in helps.items() if count > 1] == []
    assert len(helps) > 90


def test_what_is_shared_is_shared() -> None:
    shared = [node.targets[0].id for node in FILES["options.py"].body if isinstance(node, ast.Assign)]  # type: ignore
    uses = Counter(
        node.annotation.id
        for tree in FILES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.arg) and isinstance(node.annotation, ast.Name)
    )
    assert [name for name in shared if not name.startswith("_") and uses[name] < 2] == []


def test_an_option_of_several_commands_means_the_same_in_each() -> None:
    """Of options with one type, one help: what differs is listed here, with why."""
    differing = {
        "--name": "a run, the run of a checkpoint, a fusion",
        "--out": "a file of the command's own kind",
        "--set": "a key of a recipe; what a challenge asks of an entry",
        "--side": "that is scaled to a length; the longest of a drawn frame",
        "--scale": "of the frames of a test; what members are divided by",
        "--split": "one that is trained on, tested, shown or submitted; its default differs",
        "--weights": "of a run that is tested, converted or tuned from; of an ensemble's runs",
        "--views": "of a test, and of an ensemble's score files",
        "--seed": "of a challenge, of a search, of clips drawn to look at",
        "--format": "of an exported network, and of lists of clips",
        "--top": "classes of a prediction, and pairs of classes",
        "--method": "of flow, and of fusing",
        "--bench": "of a machine, and of networks",
        "--seconds": "of a machine, and of networks",
        "--answers": "of scores, and of a submission",
        "--classes": "of a converted file, of one's own videos, and of foreign scores",
        "--delimiter": "of lists that are written, and of a csv that is read",
        "--ids": "of foreign scores without ids, and of test clips",
        "--kind": "of foreign scores, and of a mean",
        "--missing": "in an ensemble, and in a mean of score files",
        "--run": "what foreign scores, or joined ones, are called",
        "--clips": "how many to make; the folder that one's own lie in",
        "--val": "how many clips to make; the share of one's own",
        "--fps": "of a test, and of a stream",
        "--workers": "that make clips or flow, or none; that probe, where a broken file may end one",
    }
    helps: dict[str, set[str]] = {}
    for command in get_command(app).commands.values():  # type: ignore[attr-defined]
        for leaf in getattr(command, "commands", {"": command}).values():
            for parameter in leaf.params:
                if parameter.param_type_name == "option":
                    helps.setdefault(parameter.opts[0], set()).add(parameter.help or "")
    assert {name for name, texts in helps.items() if len(texts) > 1} == set(differing)
