"""How typer's parser differs here: help in whole paragraphs, with examples, without markup; broken pipes not hidden."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import cleandoc
from types import MappingProxyType
from typing import Any, get_args

import typer
from typer.core import TyperCommand, TyperGroup

from tinkit.errors import UserError
from tinkit.terminal import is_lost_output

# Which library it comes from differs between versions of typer; that its own errors derive from it does not.
WrongUse: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""What the parser raises for an unknown command, option or value."""


def examples(*lines: str) -> str:
    """The epilog of a command's help: one example a line, in the order given."""
    return "Examples:\n\n" + "\n\n".join(f"$ {line}" for line in lines)


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
    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        option: Any
        for option in self.params:
            for word, text in _FILLED_IN.items():
                if word in (getattr(option, "help", None) or ""):
                    option.help = option.help.replace(word, text())
        _show_as_written(self)
        super().format_help(ctx, formatter)


class _Group(TyperGroup):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, which lists those of the commands."""
        for command in (self, *self.commands.values()):
            _show_as_written(command)
        super().format_help(ctx, formatter)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Typer ends silently at any broken pipe: one that is not the output's is reported."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            if is_lost_output(error):
                raise
            raise UserError(
                "a connection between tinkit's processes broke",
                fix="see what was said above; if memory was short, use fewer workers",
            ) from error


def _methods() -> str:
    """The ways to fuse, a paragraph each."""
    from tinkit.fusion import AUTO, METHODS

    tried = ", ".join(row.name for row in METHODS.values() if row.in_auto)
    chosen = f"{AUTO}: of {tried}, the simplest within a standard error of the best, cross-validated on --fit."
    return "\n\n".join([chosen, *(f"{row.name}: {row.formula}." for row in METHODS.values())])


def _metrics() -> str:
    from tinkit.metrics import MetricName

    return ", ".join(get_args(MetricName))


# What an option's help takes from a table of the package, which only those who ask for that help should wait for.
_FILLED_IN: Mapping[str, Callable[[], str]] = MappingProxyType({"{methods}": _methods, "{metrics}": _metrics})


def _show_as_written(command: Any) -> None:
    """Put the texts of ``command`` so that rich shows them: a line a paragraph, brackets escaped."""
    from rich.markup import escape  # by those who ask for help alone

    if getattr(command, "shown_as_written", False):
        return
    command.shown_as_written = True
    for holder, name in ((command, "help"), (command, "epilog"), *((one, "help") for one in command.params)):
        if text := getattr(holder, name, None):
            paragraphs = [" ".join(part.split("\n")) for part in cleandoc(text).split("\n\n")]
            setattr(holder, name, escape("\n\n".join(paragraphs)))
