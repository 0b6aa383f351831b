"""A JSON document read in a stream: what stands beside the clips, and one clip's entry at a time.

Nothing here holds more than one entry, so that a document of any size costs time but not memory.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tinkit.errors import UserError
from tinkit.submission.spec_parts import Document
from tinkit.submission.text import MAX_BYTES

MAX_ENTRY = 16 << 20
"""Characters of one clip's entry, or of one field beside the clips."""

_CHUNK = 1 << 20
_SPACE = " \t\n\r"


@dataclass(frozen=True)
class Beside:
    """A key that stands beside the clips, and its value."""

    line: int
    key: str
    value: Any


@dataclass(frozen=True)
class Clip:
    """One clip's entry: its name, None where it has none, and what it gets; of a long list the whole object."""

    line: int
    name: Any
    content: Any


class DoubledKeyError(ValueError):
    """An object that has a key twice."""


def read_document(handle: BinaryIO, path: Path, shape: Document, *, whole: bool = False) -> Iterator[Beside | Clip]:
    """Everything in the document, in its order. ``whole``: a list's objects are entries themselves (rows are long).

    Raises :class:`~tinkit.errors.UserError`, naming the line, for what is not JSON, is cut short, or is another
    document than ``shape`` says.
    """
    text = _Text(handle, path)
    if not shape.results:
        yield from _clips(text, shape, whole=whole)
    else:
        found = False
        for line, key in _keys(text, "the document"):
            if key == shape.results and not found:
                found = True
                yield from _clips(text, shape, whole=whole)
            else:
                yield Beside(line, key, text.value())
        if not found:
            raise UserError(f"has no key {shape.results!r}", file=path, expected="the clips under that key")
    if text.peek():
        raise text.wrong("something follows the document")


def _clips(text: _Text, shape: Document, *, whole: bool) -> Iterator[Clip]:
    if shape.clips == "object":
        for line, name in _keys(text, f"{shape.results or 'the document'}"):
            yield Clip(line, name, text.value())
        return
    for line in _items(text, f"{shape.results or 'the document'}"):
        value = text.value()
        if not isinstance(value, dict):
            raise UserError("an entry that is not an object", file=text.path, line=line, expected="a list of objects")
        yield Clip(line, value.get(shape.id_key), value if whole else value.get(shape.values_key))


def _keys(text: _Text, what: str) -> Iterator[tuple[int, str]]:
    """Line and text of each key of the object that begins here; the reader takes the value."""
    for line in _items(text, what, "{}"):
        key = text.value()
        if not isinstance(key, str):
            raise text.wrong("a key that is not a text")
        text.take(":")
        yield line, key


def _items(text: _Text, what: str, brackets: str = "[]") -> Iterator[int]:
    """The line of each item of the list, or object, that begins here; the reader takes the item."""
    text.take(brackets[0], f"{what} is not {'an object' if brackets == '{}' else 'a list'}" if text.peek() else "")
    if text.peek() == brackets[1]:
        text.take(brackets[1])
        return
    while True:
        text.peek()
        yield text.line
        if text.peek() != ",":
            break
        text.take(",")
    text.take(brackets[1])


class _Text:
    """The text of a document, of which a window is held."""

    def __init__(self, handle: BinaryIO, path: Path) -> None:
        self.handle, self.path = handle, path
        self.window, self.at, self.read = "", 0, 0
        self.lines = self.counted = 0  # ends of lines before the place up to which the window was counted
        self.ended = False
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.json = json.JSONDecoder(object_pairs_hook=_object)

    @property
    def line(self) -> int:
        """The line, from 1, of the next character."""
        self.lines += self.window.count("\n", self.counted, self.at)
        self.counted = self.at
        return 1 + self.lines

    def wrong(self, problem: str) -> UserError:
        """The error for what stands here."""
        return UserError(f"not valid JSON: {problem}", file=self.path, line=self.line, expected="a JSON document")

    def peek(self) -> str:
        """The next character that is not a space; empty at the end."""
        while True:
            while self.at < len(self.window) and self.window[self.at] in _SPACE:
                self.at += 1
            if self.at < len(self.window):
                return self.window[self.at]
            if not self._more():
                return ""

    def take(self, wanted: str, problem: str = "") -> None:
        """Pass over ``wanted``, which must be the next character that is not a space."""
        found = self.peek()
        if found != wanted:
            raise self.wrong(problem or (f"expected {wanted!r}, found {found!r}" if found else "it is cut short"))
        self.at += 1

    def value(self) -> Any:
        """The value that begins here."""
        self.peek()
        while True:
            try:
                value, end = self.json.raw_decode(self.window, self.at)
            except DoubledKeyError as error:
                raise self.wrong(str(error)) from error
            except RecursionError as error:
                raise self.wrong("nested too deep") from error
            except json.JSONDecodeError as error:
                if len(self.window) - self.at > MAX_ENTRY:
                    raise self.wrong(f"an entry of more than {MAX_ENTRY} characters, or one that has no end") from error
                if not self._more():
                    raise self.wrong(error.msg if self.window[self.at :] else "it is cut short") from error
                continue
            except ValueError as error:  # Python refuses numbers of more than 4,300 digits
                raise self.wrong("a number of thousands of digits") from error
            if end < len(self.window) or not self._more():  # what a number ends with must be seen
                self.at = end
                return value

    def _more(self) -> bool:
        """Read on; False at the end of the file."""
        if self.ended:
            return False
        data = self.handle.read(_CHUNK)
        if not self.read and data.startswith(b"\xef\xbb\xbf"):
            raise UserError(
                "starts with a byte order mark", file=self.path, line=1, fix="save it without the mark (BOM)"
            )
        self.read += len(data)
        if self.read > MAX_BYTES:
            raise UserError(f"more than {MAX_BYTES >> 30} GiB", file=self.path, line=self.line)
        self.ended = not data
        self.lines += self.window.count("\n", self.counted, self.at)
        try:
            self.window = self.window[self.at :] + self.decoder.decode(data, final=self.ended)
        except UnicodeDecodeError as error:
            raise UserError("is not UTF-8 text", file=self.path, line=self.line, expected="a JSON document") from error
        self.at = self.counted = 0
        return not self.ended


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        doubled = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise DoubledKeyError(f"an object that has the key {doubled[:40]!r} twice")
    return found
