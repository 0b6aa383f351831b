"""Sample keys: how a clip's id is written in the names of a tar's members, and read back.

WebDataset takes for a sample's key what stands before the first dot of a member's base name, so a key holds no dot and
no slash. Letters and digits of ASCII, ``_`` and ``-`` stand for themselves, every other byte of the id's UTF-8 is ``%``
and two hexadecimal digits. A key of more than :data:`MOST` bytes, which could not be a file's name any more, is cut off
behind and ends in ``%%`` and the id's SHA-256; its id is in the index alone.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from tinkit.files.hashes import sha256_text

MOST = 200
"""Bytes of a key: with a number and a suffix it is still a file's name."""

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_DIGITS = 32
_KEY = re.compile(r"(?:[A-Za-z0-9_-]|%[0-9A-F]{2})+")


def key_of(clip_id: str) -> str:
    """The sample key of a clip. Different ids have different keys."""
    data = clip_id.encode()
    parts = [chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in data]
    if parts[:1] == ["-"]:  # else extracted files would look like options
        parts[0] = "%2D"
    key = "".join(parts)
    if len(key) <= MOST:
        return key
    room = MOST - 2 - _DIGITS
    return f"{key[:room].rstrip('%')}%%{sha256_text(clip_id)[:_DIGITS]}"


def id_of(key: str) -> str | None:
    """The id that ``key`` was made from; None for a key that was cut off, and for what is not a key."""
    if not _KEY.fullmatch(key):
        return None
    try:
        found = unquote_to_bytes(key).decode()
    except UnicodeDecodeError:
        return None
    return found if key_of(found) == key else None


def member_name(key: str, number: int) -> str:
    """The name of frame ``number``, from 1, in a tar."""
    return f"{key}.{number:05d}.jpg"
