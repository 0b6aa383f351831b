"""Where a manifest's clip lies: the one place that joins its path to the data set's folder."""

from __future__ import annotations

import re
from pathlib import Path

from tinkit.errors import UserError

# As annotations are checked: a component that is `..`, an absolute path, a drive letter, a control character.
ESCAPE = r"(?:^|[/\\])\.\.(?:[/\\]|$)|^[/\\]|^[A-Za-z]:[/\\]|[\x00-\x1f\x7f]"
"""What a path that stays below a folder does not hold, as a regular expression of Python and of RE2."""

_ESCAPE = re.compile(ESCAPE)


def clip_path(root: Path, path: str) -> Path:
    """``path`` below ``root``.

    A manifest is a file like any other, and may have been changed since the annotation was checked: what leads out of
    ``root`` raises :class:`~tinkit.errors.UserError`. Links below ``root`` are followed wherever they lead, since
    that is how media on other disks are put there.
    """
    return Path(clip_place(str(root), path))


def clip_place(root: str, path: str) -> str:
    """As :func:`clip_path`, as text: a million Path objects take seconds."""
    odd = not path or path[0] in "/\\" or ".." in path or ":" in path or not path.isprintable()
    if odd and (not path or _ESCAPE.search(path)):  # the slower question, of few
        raise UserError(
            f"the manifest's path {path!r} is not below the data set's folder",
            file=Path(root),
            fix="the manifest was changed or damaged: build it again with `tinkit data prepare --rebuild`",
        )
    return f"{root}/{path}"
