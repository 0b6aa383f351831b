"""Numbers that a launcher puts into the environment: read in one place, since a user may have set them to anything."""

from __future__ import annotations

import os
import re

from tinkit.errors import UserError


def environment_number(name: str, default: int, *, least: int = 0, most: int = (1 << 31) - 1) -> int:
    """The whole number in the environment variable ``name``, or ``default`` where it is not set or empty.

    Raises :class:`~tinkit.errors.UserError` for anything else than a number from ``least`` to ``most``.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if re.fullmatch(r"[0-9]{1,10}", text) and least <= int(text) <= most:
        return int(text)
    raise UserError(
        f"{name} = {text[:40]!r} is set in the environment",
        expected=f"a whole number from {least} to {most}, as torchrun sets it",
        fix=f"unset {name}; for several processes use --gpus N or torchrun",
    )
