"""The recipes, ensembles, submissions and kernels that come with the package, and the file that a name means."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Literal

from tinkit.errors import UsageError, UserError, did_you_mean, nearest

logger = logging.getLogger(__name__)

ShippedKind = Literal["recipes", "ensembles", "submissions", "kernels"]


def shipped(kind: ShippedKind) -> Path:
    """The folder of built-in ``kind``: inside the wheel, or at the top of a source checkout."""
    package = Path(__file__).parents[1]
    for candidate in (package / "_shipped" / kind, package.parent / kind):
        if candidate.is_dir():
            return candidate
    raise UsageError(
        f"the built-in {kind} are not installed beside {package}",
        fix="reinstall tinkit: `pip install --force-reinstall tinkit`, or `pip install -e .` in a checkout",
    )


def shipped_names(kind: ShippedKind) -> list[str]:
    """The names of the built-in TOML files of ``kind``, sorted."""
    return sorted(path.stem for path in shipped(kind).glob("*.toml"))


def find_toml(kind: ShippedKind, name: str) -> Path:
    """The file that ``name`` means: a path when it ends in ``.toml`` or holds a slash, else a built-in.

    A path below a folder of that kind that does not exist falls back to the built-in of the same stem, which is said,
    so that ``recipes/mmit_r50.toml`` works from any folder. Raises :class:`~tinkit.errors.UsageError` with the nearest
    known names.
    """
    path = Path(name)
    by_path = path.suffix == ".toml" or len(path.parts) > 1
    if by_path and _is_there(path):
        return path
    stem = path.stem if path.suffix == ".toml" else path.name
    known = shipped_names(kind)
    what = kind.rstrip("s")
    expected = f"a .toml file that is there, or a built-in {what}: {', '.join(nearest(stem, known))}, ..."
    listing = "`tinkit recipes` lists all" if kind == "recipes" else None
    shown = name[:200] if name.isprintable() else repr(name[:200])
    if by_path and (stem not in known or path.parent.name not in (kind, "")):
        near = did_you_mean(name, map(str, _beside(path))) or did_you_mean(stem, known)
        raise UsageError(f"{shown}: no such file{near}", expected=expected, fix=listing)
    if stem not in known:
        raise UsageError(
            f"no {what} is called {name[:200]!r}{did_you_mean(stem, known)}", expected=expected, fix=listing
        )
    if by_path:
        logger.warning("%s: no such file; the built-in %s %s is taken", name, what, stem)
    return shipped(kind) / f"{stem}.toml"


def _beside(path: Path) -> list[Path]:
    """The TOML files in the folder of ``path``, as far as it can be read."""
    with suppress(OSError, ValueError):
        return [found for found in sorted(path.parent.glob("*.toml"))[:1000] if found.is_file()]
    return []


def _is_there(path: Path) -> bool:
    """Whether there is anything at ``path``; raises a UserError if that cannot be determined."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError as error:
        raise UserError(f"{str(path)[:100]}: cannot be read: {error.strerror}") from error
    return True
