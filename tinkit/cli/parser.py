"""What typer's parser is told to do otherwise: help in whole paragraphs, without markup; broken pipes not hidden."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import cleandoc
from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from tinkit.errors import UserError
from tinkit.terminal import is_lost_output

# Which library it comes from differs between versions of typer; that its own errors derive from it does not.
WrongUse: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""What the parser raises for an unknown command, option or value."""


def plain_help(app: typer.Typer) -> None:
    """Have every command and group of ``app``, those added so far, show its texts as they were written."""
    for command in app.registered_commands:
        command.cls = _Command
    for group in app.registered_groups:
        group.cls = _Group
        if group.typer_instance is not None:
            plain_help(group.typer_instance)
    app.info.cls = _Group


def wrong_use(error: Any) -> str:
    """The message of a :data:`WrongUse`, and where to read on; nothing where it has shown a command's help instead."""
    context, message = getattr(error, "ctx", None), str(error.format_message())
    return message if context is None or not message else f"{message}\n  fix: see `{context.command_path} --help`"


class _Command(TyperCommand):
    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.help, self.epilog = _whole(self.help), _whole(self.epilog)
        _escape_help(self.params)


class _Group(TyperGroup):
    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.help, self.epilog = _whole(self.help), _whole(self.epilog)
        _escape_help(self.params)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Typer ends without a word at any broken pipe: one that is not the output's is told of."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            if is_lost_output(error):
                raise
            raise UserError(
                "a connection between tinkit's processes broke",
                fix="see what was said above; if memory was short, use fewer workers",
            ) from error


def _whole(text: str | None) -> str | None:
    """``text`` with a line a paragraph, which the terminal breaks where it ends, and brackets that stay."""
    if text is None:
        return None
    return escape("\n\n".join(" ".join(part.split("\n")) for part in cleandoc(text).split("\n\n")))


def _escape_help(parameters: Iterable[Any]) -> None:
    for parameter in parameters:
        if getattr(parameter, "help", None):
            parameter.help = escape(parameter.help)
