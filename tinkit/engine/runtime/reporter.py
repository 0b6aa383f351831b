"""How far a command is, for people: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tinkit.terminal import Bar, Notices

_PLAIN_SECONDS = 30.0  # without a terminal: a line at most so often


class Reporter:
    """Progress for people: a bar on a terminal, a line now and then elsewhere, nothing when quiet."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._notices = Notices()
        self._quiet = quiet

    def say(self, text: str) -> None:
        """Print one line."""
        if not self._quiet:
            self._notices.say(text)

    def say_lines(self, text: str) -> None:
        """Print a text of several lines."""
        for line in text.split("\n"):
            self.say(line)

    @contextmanager
    def progress(self, title: str, total: int, done: int = 0) -> Iterator[Meter]:
        """Show work of ``total`` units, of which ``done`` are done."""
        if self._quiet or not self._notices.is_terminal:
            yield Meter(title, total, done, None, self)
            return
        with self._notices.bar(title, total, done) as bar:
            yield Meter(title, total, done, bar, self)


class Meter:
    """One piece of work under way; :meth:`advance` says how far it is."""

    def __init__(self, title: str, total: int, done: int, bar: Bar | None, reporter: Reporter) -> None:
        self._title, self._total, self._done, self._bar, self._reporter = title, total, done, bar, reporter
        self._started = self._said = time.monotonic()
        self._first = done

    def advance(self, units: int, note: str = "") -> None:
        """``units`` more are done."""
        self._done += units
        if self._bar is not None:
            self._bar.advance(units, note)
            return
        now = time.monotonic()
        if now - self._said >= _PLAIN_SECONDS and self._done < self._total:
            left = (now - self._started) / max(1, self._done - self._first) * (self._total - self._done)
            self._reporter.say(f"{self._title}: {self._done}/{self._total}, {left:.0f} s left  {note}")
            self._said = now
