"""What a leaderboard calls a clip, made from the clip's id."""

from __future__ import annotations

import posixpath
import re
from typing import Literal

NameRule = Literal["id", "basename", "stem", "youtube"]

_YOUTUBE = re.compile(r"(?:v_)?([\w-]{11})(?:_\d+(?:\.\d+)?_\d+(?:\.\d+)?)?", re.ASCII)


def apply_rule(rule: NameRule, clip_id: str) -> str:
    """``clip_id`` verbatim, its last part (``basename``), that without the suffix (``stem``), or its YouTube id.

    ``youtube`` takes ``v_`` and ``_START_END`` off the stem where 11 characters are left, which may be ``-`` and ``_``
    too; 11 characters and anything else stay as they are.
    """
    if rule == "id":
        return clip_id
    name = posixpath.basename(clip_id)
    if rule == "basename":
        return name
    stem = posixpath.splitext(name)[0]
    if rule == "stem" or len(stem) == 11:
        return stem
    found = _YOUTUBE.fullmatch(stem)
    return found[1] if found else stem
