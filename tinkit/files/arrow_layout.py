"""Where the parts of an Arrow IPC file lie, found without Arrow: of a damaged file, nothing is believed."""

from __future__ import annotations

import struct

HEAD, TAIL = b"ARROW1\0\0", b"ARROW1"
SHORTEST = len(HEAD) + len(TAIL) + 4
_CONTINUES = 0xFFFFFFFF

Span = tuple[int, int]
"""Where bytes begin, and where they end."""


def footer_of(memory: memoryview) -> int:
    """Where the footer begins. Raises ValueError for what is not an Arrow file."""
    if memory[: len(HEAD)] != HEAD:
        raise ValueError("it does not begin like one")
    if memory[-len(TAIL) :] != TAIL:
        raise ValueError("it does not end like one")
    end = len(memory) - len(TAIL) - 4
    begin = end - int(struct.unpack_from("<i", memory, end)[0])
    if not len(HEAD) < begin < end:
        raise ValueError("the length of its footer cannot be")
    return begin


def bodies_of(memory: memoryview, end: int) -> tuple[Span, ...]:
    """Where the bodies of all messages lie, which end at ``end``. Raises ValueError if they do not add up to that."""
    spans: list[Span] = []
    at = len(HEAD)
    try:
        while at < end:
            continues, length = struct.unpack_from("<Ii", memory, at)
            if continues != _CONTINUES or length < 0:
                raise ValueError("a message does not begin where the one before it ends")
            at += 8 + length
            if length == 0:  # the end of all messages
                break
            size = _body_length(memory[at - length : at])
            if size < 0:
                raise ValueError("a message with a negative length")
            if size:
                spans.append((at, at + size))
            at += size
    except struct.error:
        raise ValueError("a message is cut short") from None
    if at != end:
        raise ValueError("its messages do not end where they should")
    return tuple(spans)


def _body_length(message: memoryview) -> int:
    """The fourth field, ``bodyLength``, of a flatbuffer of the type Message."""
    (root,) = struct.unpack_from("<I", message, 0)
    table = root - struct.unpack_from("<i", message, root)[0]
    if table < 0:
        raise ValueError("a message without a table of fields")
    (size,) = struct.unpack_from("<H", message, table)
    (field,) = struct.unpack_from("<H", message, table + 10) if size >= 12 else (0,)
    return int(struct.unpack_from("<q", message, root + field)[0]) if field else 0
