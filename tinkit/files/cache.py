"""The folder of what tinkit can make again."""

from __future__ import annotations

import os
from pathlib import Path

from tinkit.errors import UserError


def cache_folder() -> Path:
    """Where tinkit keeps what it can make again: ``$TINKIT_CACHE``, else ``tinkit`` in the user's cache.

    It need not be there yet. Raises :class:`~tinkit.errors.UserError` for a user who has neither that nor a home.
    """
    if chosen := os.environ.get("TINKIT_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinkit"
    except RuntimeError as problem:
        raise UserError(f"no folder for caches: {problem}", fix="set TINKIT_CACHE to a folder") from problem
