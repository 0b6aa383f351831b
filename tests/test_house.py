"""The size of things: a file has one subject and 300 lines at most, a function eight parameters at most."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.places import ROOT

LINES, PARAMETERS = 300, 8
CODE = (".py", ".h", ".cpp", ".cu", ".c")
REASON = "Longer than 300 lines: "
"""What one of the first lines of a longer file begins with; the reason follows."""

MANY = {
    # what the outside calls by keyword
    "tinkit/models/clipnets/video3d.py Video3D.__init__",
    "tinkit/models/video.py VideoClassifier.__init__",
    # operators: the inputs of a convolution and of steering
    "tinkit/ops/conv.py interlaced_conv",
    "tinkit/ops/steered.py steered_conv",
}
"""Functions that rightly have more parameters; so may a command of the command line, one an option."""


def too_long(root: Path) -> set[str]:
    """The files of more lines than allowed that do not say why."""
    found = set()
    for folder in ("tinkit", "tests", "benchmarks", "kernels"):
        for path in (root / folder).rglob("*"):
            if path.suffix in CODE and len(lines := path.read_text().splitlines()) > LINES:
                starts = [line.lstrip("/*# ") for line in lines[:10]]
                if not any(line.startswith(REASON) and len(line) > len(REASON) for line in starts):
                    found.add(str(path.relative_to(root)))
    return found


def functions(node: ast.AST, above: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function below ``node``, with its name behind those of the classes and functions around it."""
    for child in ast.iter_child_nodes(node):
        name = f"{above}{getattr(child, 'name', '')}"
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, child
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from functions(child, f"{name}." if named else above)


def takes_many(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether it has too many parameters, ``self`` and ``cls`` apart."""
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"])) > PARAMETERS


def commands(tree: ast.AST) -> Iterator[str]:
    """The names of the functions that a file of the command line makes commands: ``@app.command()``, or by a call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            if any(_makes_commands(decorator) for decorator in node.decorator_list):
                yield node.name
        elif isinstance(node, ast.Call) and _makes_commands(node.func) and len(node.args) == 1:
            yield ast.unparse(node.args[0]).rpartition(".")[2]


def _makes_commands(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "command"


def test_no_file_is_longer_without_a_reason() -> None:
    assert too_long(ROOT) == set()


def test_no_function_takes_more_parameters() -> None:
    trees = {path: ast.parse(path.read_text()) for path in (ROOT / "tinkit").rglob("*.py")}
    line = {path: tree for path, tree in trees.items() if path.parent.name == "cli"}
    named = {name for tree in line.values() for name in commands(tree)}
    found = {
        f"{path.relative_to(ROOT)} {name}"
        for path, tree in trees.items()
        for name, function in functions(tree)
        if takes_many(function) and not (path in line and name in named)
    }
    assert found == MANY


def test_lines_and_parameters_are_counted(tmp_path: Path) -> None:
    for folder in ("tinkit", "kernels"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tinkit" / "good.py").write_text("#\n" * 300)
    (tmp_path / "tinkit" / "long.py").write_text("#\n" * 301)
    (tmp_path / "kernels" / "said.h").write_text("// Longer than 300 lines: a table.\n" + "//\n" * 300)
    (tmp_path / "kernels" / "unsaid.h").write_text("// Longer than 300 lines: \n" + "//\n" * 300)
    assert too_long(tmp_path) == {"tinkit/long.py", "kernels/unsaid.h"}
    eight, nine = "a, b, /, c, d, *, e, f, g, h", "a, b, /, c, d, *, e, f, g, h, i"
    text = f"""
class A:
    def good(self, {eight}): ...
    def bad(self, {nine}): ...
    async def also({nine}):
        def inner({nine}): ...

@app.command(epilog="x")
def command({nine}): ...

app.command("other", epilog="x")(module.other)
"""
    assert [name for name, function in functions(ast.parse(text)) if takes_many(function)] == [
        *("A.bad", "A.also", "A.also.inner", "command")
    ]
    assert list(commands(ast.parse(text))) == ["command", "other"]
