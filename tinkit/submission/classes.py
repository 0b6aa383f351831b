"""Class names, for judging a file that somebody else wrote: from a category file or from a score file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tinkit.files.class_names import read_class_names
from tinkit.submission.text import require_file


def read_classes(path: Path, order: Literal["file", "alphabetical"]) -> tuple[str, ...]:
    """The names of all classes by index.

    ``path`` is a score file or what :func:`~tinkit.files.class_names.read_class_names` reads; ``order`` numbers names
    that the file does not. Raises :class:`~tinkit.errors.UserError` for doubled names and for indices with holes.
    """
    require_file(path)
    if path.suffix.lower() == ".arrow":
        from tinkit.scores import read_info

        return tuple(read_info(path).classes)
    found = read_class_names(path)
    return tuple(sorted(found.names)) if order == "alphabetical" and found.first is None else found.names
