"""A folder of results that all were made in one way: what says so lies in it, and another way is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinkit.errors import UserError
from tinkit.files.atomic import write_atomic
from tinkit.files.group import sweep, writing_in
from tinkit.files.json import unlike
from tinkit.files.locks import in_turn, lock_file


def claim_folder(state: Path, wanted: Mapping[str, Any], *, what: str, command: str, key: str) -> None:
    """Write down in ``state`` how ``what`` (the flow, say) in its folder is made, or refuse if it was made otherwise.

    ``command`` makes it, and ``key`` names another folder. Raises :class:`~tinkit.errors.UserError`, also for a folder
    that holds anything else.
    """
    folder = state.parent
    if not state.exists() or lock_file(state).exists():  # or was killed with the lock held
        with in_turn(lambda: writing_in(folder, state)):
            sweep(state)
            if not state.exists():  # else another run has written it meanwhile
                if any(not path.name.startswith(".") for path in folder.iterdir()):  # the lock's name does
                    raise UserError(
                        f"{folder} exists already, and `{command}` did not create it",
                        fix=f"name a new folder with {key}",
                    )
                write_atomic(state, json.dumps(dict(wanted), indent=1) + "\n")
    differences = unlike(state, f"how the {what} in this folder is made", wanted)
    if differences is not None:
        raise UserError(
            f"the {what} in {folder} was computed with other settings: {differences}",
            file=state,
            fix=f"use the same settings, name another folder with {key}, or delete this one",
        )
