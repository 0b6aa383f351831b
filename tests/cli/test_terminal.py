"""What is printed: the text of users is never markup, never obeyed, never fatal; and lost output is told of."""

from __future__ import annotations

import ast
import inspect
import io
import json
import logging
import os
import subprocess
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from tinkit import terminal
from tinkit.cli.app import app
from tinkit.cli.parser import examples, plain_help
from tinkit.errors import UserError
from tinkit.terminal import Notices, plain, print_json, print_line, print_table

TREE = Path(terminal.__file__).parent
HOSTILE = [
    "Holding [something]",
    "[/x]",
    "[bold red]x[/]",
    "Title [dQw4w9WgXcQ].mp4",
    "a:smile:b",
    "[link=x]y",
    "\\[z]",
]
OBEYED = ["\x1b]0;owned\x07", "\x1b[31mred", "a\nb", "a\rb", "\x9b31m", "del\x7f", "\u202eexe.4pm", "\u2066a", "\ud800"]


def test_no_character_that_a_terminal_obeys_is_left() -> None:
    for code in (*range(0x20000), *range(0xE0000, 0xE1000), *range(0x10FF00, sys.maxunicode + 1)):
        shown = plain(f"a{chr(code)}b")
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp") and code not in (0x200C, 0x200D):
            assert shown.isprintable(), hex(code)
            assert shown[1] == "\\", hex(code)
            assert ast.literal_eval(f"'{shown}'") == f"a{chr(code)}b"
        else:
            assert shown == f"a{chr(code)}b"


def test_lines_stay_where_they_are_meant_to() -> None:
    assert plain("a\n\tb\x1b[1m", lines=True) == "a\n\tb\\x1b[1m"
    assert plain("a\n\tb") == "a\\n\\tb"


@pytest.mark.parametrize("text", HOSTILE)
def test_brackets_stay_in_titles_heads_and_cells(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_table(f"title {text}", [{f"head {text}": text, "n": 1}])
    title, _, head, _, row, _ = capsys.readouterr().out.splitlines()
    assert title.strip() == f"title {text}"
    assert head.split("┃")[1].strip() == f"head {text}"
    assert row.split("│")[1].strip() == text


@pytest.mark.parametrize("text", OBEYED)
def test_nothing_is_obeyed(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_table(text, [{text: text}])
    print_line(text)
    terminal.note(text)
    terminal.complain(UserError("not there", file=text))
    Notices().say(text)
    shown = "".join(capsys.readouterr())
    assert all(plain(line) == line for line in shown.split("\n"))
    assert shown.count(plain(text)) >= 7


@pytest.mark.parametrize("text", [*HOSTILE, *OBEYED])
def test_json_is_exact(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_table(text, [{text: text}], as_json=True)
    print_json({text: text})
    out = capsys.readouterr().out
    assert out.isascii()
    decoder = json.JSONDecoder()
    rows, end = decoder.raw_decode(out)
    assert rows == [{text: text}]
    assert json.loads(out[end:]) == {text: text}


@pytest.mark.parametrize("text", [*HOSTILE, *OBEYED])
def test_bars_show_what_they_are_given(text: str) -> None:
    notices, shown = Notices(), io.StringIO()
    notices._console = Console(file=shown, force_terminal=True, color_system=None, width=120)
    with notices.bar(text, 3) as bar:
        bar.advance(1, f"note {text}")
    first = next(line for line in shown.getvalue().replace("\r", "\n").split("\n") if "0/3" in line or "1/3" in line)
    assert plain(text) in first


def test_logs_and_warnings_are_cleaned(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(logging, "lastResort", None)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    terminal.prepare()
    record = logging.LogRecord("x", logging.WARNING, "", 1, "clip %s", ("\x1b[2Jx",), None)
    assert logging.lastResort is not None
    logging.lastResort.handle(record)
    assert capsys.readouterr().err == "clip \\x1b[2Jx\n"
    assert warnings.formatwarning("of \x1b[2J", UserWarning, "f", 1) == "warning: of \\x1b[2J (UserWarning)\n"


def _child(code: str, redirected: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = f'exec "$0" -c "$1" {redirected}'
    return subprocess.run(
        ["sh", "-c", command, sys.executable, code], capture_output=True, text=True, env={**os.environ, **environment}
    )


SPEAK = "from tinkit import terminal as t; t.prepare(); n = '中é\\U0001f600'; "


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "ascii:strict", "gbk"])
def test_what_an_encoding_lacks_becomes_an_escape(encoding: str) -> None:
    code = SPEAK + "t.print_line(n); t.print_table(n, [{n: n}]); t.note(n); t.complain(n); t.Notices().say(n)"
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}
    )
    assert child.returncode == 0
    name = encoding.partition(":")[0]
    expected = "中é\U0001f600".encode(name, "backslashreplace")
    assert child.stdout.count(expected) == 4
    assert child.stderr.count(expected) == 3


def _main(words: str, redirected: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.argv[1:] = {words.split()!r}; from tinkit.cli.app import main; main()"
    return _child(code, redirected, **environment)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "redirected", "code", "said"),
    [
        ("data layouts", "> /dev/full", 1, "standard output: No space left on device"),
        ("data layouts --json", "> /dev/full", 1, "standard output: No space left on device"),
        ("--version", "> /dev/full", 1, "standard output: No space left on device"),
        ("submit --help", "> /dev/full", 1, "standard output: No space left on device"),
        ("data layouts", ">&-", 0, ""),
        ("data layouts", ">&- 2>&- <&-", 0, ""),
        ("data nonsense", "2> /dev/full", 2, ""),
        ("data nonsense", "2>&-", 2, ""),
        ("recipes nonsense", "2>&- >&-", 2, ""),
        ("recipes nonsense", "", 2, "no recipe is called"),
        ("data", "> /dev/null", 2, ""),
    ],
)
def test_streams_that_are_closed_or_full(words: str, redirected: str, code: int, said: str) -> None:
    child = _main(words, redirected)
    assert child.returncode == code
    assert "Traceback" not in child.stderr
    assert "Exception ignored" not in child.stderr
    assert child.stderr.startswith(f"error: {said}") if said else child.stderr == ""


@pytest.mark.parametrize("words", ["recipes mmit_r50 --json", "recipes mmit_r50", "--help"])
def test_a_reader_that_has_gone_ends_the_command_without_a_word(words: str) -> None:
    code = f"import sys; sys.argv[1:] = {words.split()!r}; from tinkit.cli.app import main; main()"
    read, write = os.pipe()
    os.close(read)
    child = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (child.returncode, child.stderr) == (1, "")


def test_a_pipe_of_our_own_that_breaks_is_told_of() -> None:
    code = (
        "import tinkit.cli.data as d, sys; sys.argv[1:] = ['data', 'layouts']\n"
        "def broken(*_, **__): raise BrokenPipeError(32, 'Broken pipe')\n"
        "d.print_table = broken\n"
        "from tinkit.cli.app import main; main()"
    )
    child = _child(code)
    assert child.returncode == 1
    assert child.stderr.startswith("error: a connection between tinkit's processes broke")


def _commands(group: typer.Typer, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for command in group.registered_commands:
        yield (*words, command.name or ""), command.callback.__doc__ or ""  # type: ignore[union-attr]
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from _commands(inner.typer_instance, (*words, inner.name or ""))


def test_paragraphs_of_help_are_broken_only_where_the_line_ends() -> None:
    for words, written in _commands(app):
        text = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "900", "TERMINAL_WIDTH": "900"}).output
        lines = [line.strip() for line in text.splitlines()]
        for paragraph in inspect.cleandoc(written).split("\n\n"):
            assert " ".join(paragraph.split()) in lines, words


def test_brackets_in_help_stay() -> None:
    """In the help of a command, of its options and examples, and where it is listed."""
    small = typer.Typer(rich_markup_mode="rich", help="All of [it].")

    @small.command(epilog=examples("run clip[1].mp4 [/x]"))
    def one(name: Annotated[str, typer.Option(help="Such as [something].")] = "x") -> None:
        """Reads Title [ID].mp4."""

    small.command("two")(lambda: None)
    plain_help(small)
    told = CliRunner().invoke(small, ["one", "--help"], env={"COLUMNS": "200"}).output
    for text in ("$ run clip[1].mp4 [/x]", "Such as [something].", "Reads Title [ID].mp4."):
        assert text in told
    told = CliRunner().invoke(small, ["--help"], env={"COLUMNS": "200"}).output
    assert "All of [it]." in told
    assert "Reads Title [ID].mp4." in told


def test_nothing_else_writes_to_the_terminal() -> None:
    """Every way around the functions of this file: none is in the source tree."""
    found = []
    for file in TREE.rglob("*.py"):
        if file == Path(terminal.__file__):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if way := _way_around(node):
                found.append(f"{file.relative_to(TREE)}:{node.lineno}: {way}")  # type: ignore[attr-defined]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "print(1)", "typer.echo(1)", "typer.secho(1)", "click.echo(1)", "sys.stdout.write('')", "sys.stderr.flush()",
        "from rich.console import Console", "import rich", "from rich import print", "logging.basicConfig()",
        "logging.StreamHandler()", "os.write(1, b'')", "sys.__stdout__", "from sys import stdout",
        "from typer import echo", "json.dump(x, sys.stdout)",
    ],
)  # fmt: skip
def test_ways_around_are_found(code: str) -> None:
    assert any(_way_around(node) for node in ast.walk(ast.parse(code)))


def _way_around(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name) and node.id == "print":
        return "print"
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        name = f"{node.value.id}.{node.attr}"
        streams = ("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__", "os.write")
        if name in streams or node.attr in ("echo", "secho", "basicConfig", "StreamHandler"):
            return name
    if isinstance(node, ast.ImportFrom | ast.Import):
        module = getattr(node, "module", None)
        names = [f"{module}.{alias.name}" if module else alias.name for alias in node.names]
        allowed = ("rich.markup.escape",)
        bad = ("rich", "sys.std", "typer.echo", "typer.secho", "click.echo")
        return next((name for name in names if name.startswith(bad) and name not in allowed), None)
    return None
