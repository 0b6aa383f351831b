"""All that is printed: lines, tables, JSON, notices and progress. The text of users, files and systems is never markup.

Standard output has results, standard error everything else. Nothing outside this file writes to either.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

_UNUSUAL = re.compile(r"[^\x20-\x7e]")
_OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, marks of format, half characters, breaks of lines and paragraphs
_JOINERS = "\u200c\u200d"  # which letters of some scripts, and emoji, need between them
_WIDTH = 160  # columns of a table that goes to a file or a pipe


def percent(share: float | None) -> float | None:
    """A share from 0 to 1 as tables and figures show it; None stays."""
    return None if share is None else 100 * share


def percents(shares: Mapping[str, float]) -> dict[str, float]:
    """:func:`percent` of each."""
    return {name: 100 * share for name, share in shares.items()}


def plain(value: object, *, lines: bool = False) -> str:
    """``value`` as text that a terminal shows and does not obey.

    Control characters (C0, DEL, C1), invisible marks such as those that turn the direction of writing, and halves of
    characters become escapes: ``\\x1b``, ``\\u202e``, ``\\udcff``. With ``lines``, line breaks and tabs stay.
    """
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return _UNUSUAL.sub(lambda found: _visible(found[0], lines=lines), text)


def print_line(text: object) -> None:
    """One line of results on standard output."""
    sys.stdout.write(_encodable(plain(text), sys.stdout) + "\n")
    sys.stdout.flush()


def print_json(content: Any) -> None:
    """``content`` on standard output as JSON: in ASCII, so that it is exact whatever the encoding of the output."""
    sys.stdout.write(json.dumps(content, indent=2) + "\n")
    sys.stdout.flush()


def print_table(title: str, rows: Sequence[dict[str, Any]], *, as_json: bool = False) -> None:
    """``rows`` on standard output (the keys of the first are the columns) as a table, or as a JSON list.

    Floats are shown with two decimals in a table and whole in JSON; None is shown as ``-``.
    """
    if as_json:
        print_json(list(rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=_text(title) if title else None, title_justify="left")
    for name in rows[0] if rows else ():
        numeric = all(isinstance(row.get(name), int | float | None) for row in rows)
        table.add_column(_text(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_text(_cell(value)) for value in row.values()))
    Console(soft_wrap=False, width=None if sys.stdout.isatty() else _WIDTH).print(table)


def note(text: object) -> None:
    """One line on standard error; line breaks in it are shown as escapes."""
    _notice(plain(text))


def note_lines(text: object) -> None:
    """What another program said, in its own lines, on standard error."""
    _notice(plain(text, lines=True))


def complain(message: object) -> None:
    """An error on standard error, in one piece, since several processes may speak. Its line breaks stay."""
    label = "error: "
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        label = f"\x1b[1;31m{label}\x1b[0m"
    _notice(label + plain(message, lines=True))


class Notices:
    """Standard error for longer work: lines, and on a terminal bars of progress below them."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console: Console = Console(stderr=True)

    @property
    def is_terminal(self) -> bool:
        """Whether somebody watches."""
        return self._console.is_terminal

    def say(self, text: object) -> None:
        """One line, above the bars."""
        self._console.print(plain(text), highlight=False, markup=False, emoji=False, soft_wrap=True)

    @contextmanager
    def bar(self, title: str, total: int, done: int = 0, *, shown: bool = True) -> Iterator[Bar]:
        """A bar of ``total`` units, of which ``done`` are done; gone when the block ends. Only where ``shown``."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        said = TextColumn("{task.fields[note]}", markup=False)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        times = (TimeRemainingColumn(), said)
        with Progress(*columns, *times, console=self._console, transient=True, disable=not shown) as progress:
            yield Bar(progress, title, total, done)


class Bar:
    """A bar of progress, as :meth:`Notices.bar` makes it."""

    def __init__(self, progress: Progress, title: str, total: int, done: int) -> None:
        self._progress = progress
        self._task = progress.add_task(plain(title), total=total, completed=done, note="")

    def expect(self, total: int) -> None:
        """There are ``total`` units, which was not known before."""
        self._progress.update(self._task, total=total)

    def advance(self, units: int, note: str = "") -> None:
        """``units`` more are done."""
        self._progress.update(self._task, advance=units, note=plain(note))


def prepare() -> None:
    """Make the standard streams of this process safe to write to; for the command line alone.

    What an encoding lacks is written as an escape. Streams that were closed go to nowhere. Notices that cannot be
    written (standard error closed, a full disk) are dropped: the work matters more. Logs and warnings are cleaned.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, _nowhere(descriptor, mode))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        sys.stdout = cast(TextIO, _ResultStream(sys.stdout))
    if sys.stderr is sys.__stderr__ and sys.stderr is not None:
        sys.stderr = cast(TextIO, _NoticeStream(sys.stderr))
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_PlainFormatter())
    logging.lastResort = handler
    warnings.formatwarning = _format_warning  # type: ignore[assignment]


def lost_output() -> OSError | None:
    """Why standard output could not be written, if so: its reader has gone, the disk is full. Flushes both streams.

    What could not be written is then dropped, so that Python does not try again as it ends.
    """
    lost: OSError | None = None
    sys.stderr.flush()
    try:
        sys.stdout.flush()
    except OSError as error:
        lost = error
    if isinstance(sys.stdout, _ResultStream):
        lost = lost or sys.stdout.lost
        sys.stdout.lost = None
    if lost is not None:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.stdout.flush()
    return lost


def is_lost_output(error: OSError) -> bool:
    """Whether ``error`` was raised by writing to standard output; True where that is not recorded."""
    return not isinstance(sys.stdout, _ResultStream) or sys.stdout.lost is error


def _visible(character: str, *, lines: bool) -> str:
    if unicodedata.category(character) not in _OBEYED or character in _JOINERS or (lines and character in "\n\t"):
        return character
    return repr(character)[1:-1]


def _encodable(text: str, stream: Any) -> str:
    """``text`` with escapes for what the stream's encoding lacks: a table's columns need the width that is shown."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _text(value: object) -> Any:
    from rich.text import Text

    return Text(_encodable(plain(value), sys.stdout))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _notice(text: str) -> None:
    sys.stderr.write(_encodable(text, sys.stderr) + "\n")
    sys.stderr.flush()


def _nowhere(descriptor: int, mode: str) -> Any:
    """A stream to nowhere, on the descriptor of the one that was closed: files opened later must not get its number."""
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)
        return open(descriptor, mode, closefd=False)
    return open(os.devnull, mode)  # noqa: PTH123


class _Stream:
    """A standard stream that hears of each write that the system refuses."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _refused(self, error: OSError) -> None:
        raise NotImplementedError

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._refused(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._refused(error)


class _ResultStream(_Stream):
    """Standard output: what it cannot write is an error, and remembered as one of this stream."""

    lost: OSError | None = None

    def _refused(self, error: OSError) -> None:
        self.lost = error
        raise error


class _NoticeStream(_Stream):
    """Standard error: what it cannot write is dropped, since a full disk or a reader that has gone ends no work."""

    def _refused(self, error: OSError) -> None:
        pass


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record), lines=True)


def _format_warning(message: Warning | str, category: type[Warning], *_: object) -> str:
    return f"warning: {plain(message)} ({category.__name__})\n"
