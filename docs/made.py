"""What is made of the code, every key of the TOML files and every command with its options; and the pictures.

    python -m docs.made

writes docs/keys.md, docs/commands.md, docs/static/demo.svg and docs/static/lags.svg; a test holds them against the code
and the results.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from typer.models import ArgumentInfo, OptionInfo

from docs.picture import demo_picture
from docs.picture_lags import lags_picture
from tinkit.cli.app import app
from tinkit.expected import expected, meaning_of
from tinkit.fusion.spec import EnsembleSpec
from tinkit.recipe import Recipe
from tinkit.submission.spec import Challenge
from tinkit.submission.spec_parts import Asked, Head
from tinkit.table import tables_in

FOLDER = Path(__file__).parent

_KEYS = """\
# Keys of the TOML files

Made from the code by `make docs`; do not edit. *required*: the file, or a recipe's parent, must give the key.
*not set*: the key has no value unless the file gives one; the meaning says what happens then. [Recipes](recipes.md)
explains how recipes inherit and what their marks mean.
"""

_COMMANDS = """\
# Commands

Made from the code by `make docs`; do not edit. `tinkit COMMAND --help` prints the same. Every command ends with exit
code 0 (done), 1 (failed) or 2 (wrong use); `tinkit train` has further codes for [signals](train.md).
`tinkit --version` prints the version, `tinkit --install-completion` sets up completion for your shell. Where a command
takes `RUN`, give a run's name below `./runs` or the path of its folder. Options with *, such as `--set`, may be given
several times.
"""


def main() -> None:
    """Write the pages."""
    for name, text in files().items():
        (FOLDER / name).write_text(text)


def files() -> dict[str, str]:
    """Every file's name and text."""
    pictures = {"static/demo.svg": demo_picture(), "static/lags.svg": lags_picture()}
    return {"keys.md": _keys_page(), "commands.md": _commands_page(), **pictures}


def _cell(text: str) -> str:
    """One line, safe in a cell of a Markdown table."""
    return _options_as_code(" ".join(text.split())).replace("|", "\\|").replace("<", "&lt;")


def _options_as_code(text: str) -> str:
    """Options such as --set in backticks, but for those that stand in some."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part[:1] == "`" else re.sub(r"(?<![\w-])--[a-z][a-z-]*", r"`\g<0>`", part) for part in parts)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _keys_page() -> str:
    parts = [
        _KEYS,
        "\n## Recipes\n\nFiles of `recipes/`, and your own. `extends` names the parent: a built-in recipe, or a file\n"
        "beside this one.\n\n",
        *_key_tables(Recipe),
        "\n## Ensembles\n\nFiles of `ensembles/`, and your own: what `tinkit ensemble` fuses.\n\n",
        *_key_tables(EnsembleSpec, "ensemble: "),
        "\n## Challenges\n\nFiles of `submissions/`, and your own: the form of a leaderboard's file, for\n"
        "`tinkit submit --challenge`.\n\n",
        *_key_tables(Challenge, "challenge: "),
        *_named_tables({"heads.NAME": Head, "asked.NAME": Asked}, "challenge: "),
    ]
    return "".join(parts)


def _key_tables(table: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The table of the keys at the top of a file, then a section for each table in it."""
    plain = {name: field for name, field in table.model_fields.items() if not tables_in(field.annotation)}
    yield _table(("key", "takes", "default", "meaning"), (_key_row(*item) for item in plain.items()))
    for name, field in table.model_fields.items():
        for inner in tables_in(field.annotation):
            is_list = get_origin(field.annotation) in (tuple, list) or get_origin(field.annotation) is Annotated
            title = f"[[{name}]]" if is_list else f"[{name}]"
            yield f"\n### {prefix}`{title}`\n\n{_about(inner)}\n\n"
            rows = (_key_row(*item) for item in inner.model_fields.items())
            yield _table(("key", "takes", "default", "meaning"), rows)


def _named_tables(tables: dict[str, type[BaseModel]], prefix: str) -> Iterator[str]:
    """A section for each table of which a file has as many as it likes, each under a name of its own."""
    for name, table in tables.items():
        yield f"\n### {prefix}`[{name}]`\n\n{_about(table)}\n\n"
        yield from _key_tables(table)


def _about(table: type[BaseModel]) -> str:
    """A table's docstring, less the name of the table that it begins with, and roles as plain names."""
    text = inspect.cleandoc(table.__doc__ or "").partition("\n\n")[0]
    text = re.sub(r"^(The |An? )?``\[+\w+\]+``( table| entry)?[:.] *", "", text)
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")
    return text[:1].upper() + text[1:]


def _key_row(name: str, field: FieldInfo) -> tuple[str, ...]:
    meaning = meaning_of(field)
    return f"`{name}`", _cell(_takes(field)), _default(field), _cell(meaning)


def _takes(field: FieldInfo) -> str:
    words = expected(field)
    return words.removesuffix(f". {meaning_of(field)}") if meaning_of(field) else words


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "*not set*"
    return f"`{json.dumps(TypeAdapter(Any).dump_python(value, mode='json'))}`"


def _commands_page() -> str:
    return _COMMANDS + "".join(_command_sections(app, "tinkit"))


def _command_sections(group: typer.Typer, name: str) -> Iterator[str]:
    """A section for each command of a group, then for those of the groups in it."""
    for command in group.registered_commands:
        called = command.name or command.callback.__name__.replace("_", "-")
        yield f"\n## `{name} {called}`\n\n{_command(f'{name} {called}', command)}"
    for inner in group.registered_groups:
        yield from _command_sections(inner.typer_instance, f"{name} {inner.name}")


def _command(called: str, command: Any) -> str:
    help_text = inspect.cleandoc(command.help or command.callback.__doc__ or "").replace("``", "`")
    parameters = list(_parameters(command.callback))
    arguments = [row for kind, row in parameters if kind is ArgumentInfo]
    options = [row for kind, row in parameters if kind is OptionInfo]
    parts = [_options_as_code(help_text) + "\n"]
    if arguments:
        parts += ["\n", _table(("argument", "takes", "meaning"), ((row[0], row[1], row[3]) for row in arguments))]
    if options:
        parts += ["\n", _table(("option", "takes", "default", "meaning"), iter(options))]
    if command.epilog:
        lines = [line.removeprefix("$ ") for line in command.epilog.splitlines() if line.startswith("$ ")]
        parts += [
            "\n<!-- not run: the examples of the help; a test checks their options, other pages run the commands -->\n",
            "```bash\n",
            *(f"{line}\n" for line in lines),
            "```\n",
        ]
    return "".join(parts)


def _parameters(callback: Any) -> Iterator[tuple[type, tuple[str, ...]]]:
    """Each argument and option: which of the two, and its row."""
    hints = get_type_hints(callback, include_extras=True)
    for name, parameter in inspect.signature(callback).parameters.items():
        kind, info = get_args(hints[name])[:2]
        if info.hidden:
            continue
        if isinstance(info, ArgumentInfo):
            shown = f"`{_cell(info.metavar or name.upper())}`" + (
                "" if parameter.default is inspect.Parameter.empty else ", optional"
            )
            yield ArgumentInfo, (shown, _takes_words(kind, info), "", _cell(info.help or ""))
        else:
            row = (
                _option_names(name, info) + (" *" if get_origin(_inner(kind)) is list else ""),
                _takes_words(kind, info),
                _option_default(parameter.default),
                _cell(info.help or ""),
            )
            yield OptionInfo, row


def _option_names(name: str, info: OptionInfo) -> str:
    """What an option is called on the command line; typer takes the first name for a default until it is used."""
    first = () if info.default is ... else (info.default,)
    words = (*first, *(info.param_decls or ())) or (f"--{name.replace('_', '-')}",)
    return ", ".join(f"`{word.replace('/', '` or `')}`" for word in words)


def _inner(kind: Any) -> Any:
    """A type without the None of an optional one."""
    found = [one for one in get_args(kind) if one is not NoneType] if NoneType in get_args(kind) else [kind]
    return found[0]


def _takes_words(kind: Any, info: Any) -> str:
    kind = _inner(kind)
    if get_origin(kind) is list:
        kind = get_args(kind)[0]
    if kind is bool:
        return ""
    choices = get_args(kind) if get_origin(kind) is Literal else list(kind) if issubclass(kind, StrEnum) else ()
    if choices:
        return ", ".join(f"`{word}`" for word in choices)
    words = {int: "whole number", float: "number", str: "text", Path: "path"}.get(kind, "text")
    if isinstance(info, OptionInfo) and info.metavar:
        words = f"`{_cell(info.metavar)}`"
    least = "" if info.min is None else f", {info.min:g} or more"
    return words + least


def _option_default(value: Any) -> str:
    if value is inspect.Parameter.empty or value is ...:
        return "*required*"
    return "" if value is None or value is False or value == [] else f"`{value}`"


if __name__ == "__main__":
    main()
