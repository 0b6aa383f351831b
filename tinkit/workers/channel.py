"""Messages between a process and one of its workers, over a socket at which the former never waits."""

from __future__ import annotations

import os
import pickle
import socket
import struct
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

_HEAD = struct.Struct("<QB")  # length and kind
_PIECE = 1 << 16
_FILES = 8  # open files in one piece at most


class Kind(IntEnum):
    """What a message is."""

    VALUE = 0
    CARRIED = 1
    """A value with an open file."""
    ERROR = 2
    ALIVE = 3
    """A sign of life."""


@dataclass(frozen=True)
class Carried:
    """A result with an open file: the process that gives it closes the file, the one that takes it owns its own."""

    value: Any
    descriptor: int


class TruncatedError(Exception):
    """An open file could not be received, because this process may not open more of them."""


def send(channel: socket.socket, kind: Kind, data: bytes, descriptor: int | None = None) -> None:
    """Send a message, waiting as long as it takes. Raises ConnectionError when the other side has gone."""
    message = memoryview(_HEAD.pack(len(data), kind) + data)
    if descriptor is not None:
        message = message[socket.send_fds(channel, [message], [descriptor]) :]
    channel.sendall(message)


def head_of(data: bytes) -> int:
    """The length that a message's head announces."""
    length: int = _HEAD.unpack(data)[0]
    return length


HEAD_SIZE = _HEAD.size


class Channel:
    """One side of a socket. Nothing here waits."""

    def __init__(self, channel: socket.socket) -> None:
        self.socket = channel
        channel.setblocking(False)
        self.ended = False
        """The other side has closed it: nothing more will come."""
        self._inbox, self._outbox = bytearray(), bytearray()
        self._descriptors: deque[int] = deque()

    @property
    def unsent(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._outbox)

    def put(self, data: bytes) -> None:
        """Send a message as far as possible now; :meth:`flush` sends the rest."""
        self._outbox += _HEAD.pack(len(data), Kind.VALUE) + data
        self.flush()

    def flush(self) -> None:
        """Send what was not sent."""
        try:
            while self._outbox:
                del self._outbox[: self.socket.send(self._outbox)]
        except BlockingIOError:
            pass
        except ConnectionError:  # it has ended, which is reported where its results are awaited
            self._outbox.clear()

    def receive(self) -> list[tuple[Kind, Any]]:
        """The messages that have come whole. Raises :class:`TruncatedError`."""
        while True:
            try:
                data, descriptors, flags, _ = socket.recv_fds(self.socket, _PIECE, _FILES)
            except BlockingIOError:
                break
            except ConnectionError:
                data, descriptors, flags = b"", [], 0
            self._descriptors += descriptors
            if flags & socket.MSG_CTRUNC:
                raise TruncatedError
            self._inbox += data
            if not data:
                self.ended = True
                break
        found = []
        while len(self._inbox) >= HEAD_SIZE:
            length, kind = _HEAD.unpack_from(self._inbox)
            end = HEAD_SIZE + length
            if len(self._inbox) < end:
                break
            found.append((Kind(kind), self._opened(Kind(kind), self._inbox[HEAD_SIZE:end])))
            del self._inbox[:end]
        return found

    def close(self) -> None:
        """Close it, and open files that have come without the rest of their message."""
        self.socket.close()
        for descriptor in self._descriptors:
            with suppress(OSError):
                os.close(descriptor)
        self._descriptors.clear()

    def _opened(self, kind: Kind, data: bytearray) -> Any:
        if kind is Kind.ALIVE:
            return None
        value = pickle.loads(data)  # by a process of our own
        return Carried(value, self._descriptors.popleft()) if kind is Kind.CARRIED else value
