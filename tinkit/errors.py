"""Errors that are a user's to mend: a message with the place, what was expected and how to fix it."""

from __future__ import annotations

import difflib
import heapq
import signal
from collections.abc import Iterable
from pathlib import Path

from tinkit.terminal import plain

_LONGEST = 20_000  # characters of one part of a message


class UserError(Exception):
    """Something a user can mend. The command line prints it without a traceback and exits with ``exit_code``.

    ``problem`` says what is wrong; ``file`` and ``line`` (from 1) where; ``expected`` what would have been right;
    ``fix`` what to do about it.
    """

    exit_code = 1

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        line: int | None = None,
        expected: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = None if file is None else str(file)
        self.line = line
        self.expected = expected
        self.fix = fix
        super().__init__(str(self))

    def at(self, file: str | Path) -> UserError:
        """The same error with the file named, unless it names one already."""
        if self.file is not None:
            return self
        return type(self)(self.problem, file=file, expected=self.expected, fix=self.fix)

    def __str__(self) -> str:
        file = None if self.file is None else plain(self.file)
        where = "" if file is None else f"{file}:{self.line}: " if self.line else f"{file}: "
        parts = [where + _bounded(self.problem)]
        if self.expected:
            parts.append(f"expected: {_bounded(self.expected)}")
        if self.fix:
            parts.append(f"fix: {_bounded(self.fix)}")
        return "\n  ".join(parts)


class UsageError(UserError):
    """The command itself was wrong: an unknown name or options that do not go together. Exit code 2."""

    exit_code = 2


class Interrupted(UserError):  # noqa: N818 - not an error
    """A signal ended the work: what was saved is kept, and ``fix`` says how to continue.

    Exit code 130 for Ctrl-C, as shells have it; 143 for SIGTERM; 75 ("try again", sysexits.h) for SIGUSR1, by which
    batch systems announce the end of a job's time.
    """

    exit_code = 130

    def __init__(self, problem: str, *, number: int = signal.SIGINT, file: str | Path | None = None, fix: str) -> None:
        super().__init__(problem, file=file, fix=fix)
        self.number = number
        self.exit_code = 75 if number == getattr(signal, "SIGUSR1", None) else 128 + number

    def again(self, problem: str, *, file: str | Path | None = None, fix: str) -> Interrupted:
        """The same interruption with a better description."""
        return Interrupted(problem, number=self.number, file=file, fix=fix)


class SaidElsewhere(UserError):  # noqa: N818 - the error is another's
    """The main process of several has failed and says why; this one has nothing to add."""


def _bounded(text: str) -> str:
    """``text`` without its middle where it is very long: it may hold a line of somebody's file."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} ... {text[-half:]}"


def short(value: object) -> str:
    """``value`` as an error shows it: at most 60 characters, whatever it is."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python refuses to print numbers of more than 4,300 digits
        return "a value that is too long to show"
    return text if len(text) <= 60 else text[:57] + "..."


def nearest(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The ``count`` of ``known`` most like ``word``, the most like first."""
    matcher = difflib.SequenceMatcher(b=word[:200])

    def likeness(name: str) -> float:
        matcher.set_seq1(name)
        return matcher.ratio()

    return heapq.nlargest(count, known, key=likeness)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest of ``known``, or an empty string when nothing is near."""
    near = difflib.get_close_matches(word[:200], list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
