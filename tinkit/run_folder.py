"""A run's folder and the checkpoints in it, by the names that people give them. Importing this needs no PyTorch.

A run is called by the last part of its path as it was given: where ``runs/mine`` is a link to ``/big/disk17``, it is
``mine``. So links are followed one at a time, and a path is never resolved for its name.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from tinkit.errors import UsageError, did_you_mean

RECIPE = "recipe.toml"
CHECKPOINTS = "checkpoints"
LEDGER = Path("submissions.csv")  # beside the runs: what was handed in
SCORES = "scores"
SUFFIX = ".safetensors"

WORDS = {"last": "last", "best": "best", "ema": "last", "best-ema": "best-ema"}
"""The words of ``--weights`` without a number, and the file that each means, without its suffix."""

_STEP = re.compile(r"step-(\d{8,})")
_MEAN = re.compile(r"mean=[1-9]\d{0,11}")
_MOST_LINKS = 40  # as Linux has it


def is_run(folder: Path) -> bool:
    """Whether ``folder`` is a run's."""
    return (folder / RECIPE).is_file()


def find_folder(name: str, base: Path, *, scores: bool = False) -> Path | None:
    """The folder of the run called ``name`` below ``base``, or at the path ``name``; None if there is no such run.

    With ``scores`` a folder that has lost its recipe, or never had one, is a run's if it holds scores.
    """
    places = (base / name, Path(name))
    return next((folder for folder in places if is_run(folder) or (scores and (folder / SCORES).is_dir())), None)


def find_run(name: str, base: Path) -> Path:
    """:func:`find_folder`. Raises :class:`~tinkit.errors.UsageError`, with the nearest name, if there is none."""
    folder = find_folder(name, base)
    if folder is not None:
        return folder
    known = run_names(base)
    raise UsageError(
        f"no run is called {name!r}{did_you_mean(name, known)}",
        expected=f"a folder with a {RECIPE}, or a run in {base}: {', '.join(known) or 'there are none yet'}",
        fix="make one: tinkit train RECIPE",
    )


def run_names(base: Path, *, scores: bool = False) -> list[str]:
    """The names of the runs in ``base``, sorted; with ``scores`` as in :func:`find_folder`."""
    kinds = (RECIPE, SCORES) if scores else (RECIPE,)
    return sorted({path.parent.name for kind in kinds for path in base.glob(f"*/{kind}")})


def score_files(folder: Path) -> list[Path]:
    """A run's score files by name, without those of trials, of single views and of published protocols."""
    return sorted((folder / SCORES).glob("*.arrow"))


def given_name(folder: Path) -> str:
    """The last part of the path as it was given; for ``.`` and ``..`` that of the folder that they mean."""
    return as_given(folder).name


def as_given(path: Path) -> Path:
    """``path`` absolute and without ``.`` and ``..``, its links not followed unless a ``..`` behind one needs it."""
    plain = Path(os.path.normpath(_working_folder() / path))
    return path.resolve() if ".." in path.parts and not _same(plain, path) else plain


def owner_of(file: Path) -> tuple[Path, str] | None:
    """The run that the checkpoint ``file`` belongs to: its folder, and the word of ``--weights`` that means the file.

    ``file`` lies in the run's ``checkpoints`` or is a link to such a file; it need not exist. A file there of another
    name belongs to the run under the name that it has. None for every other file: a copy, say, or a hard link.
    """
    path = as_given(file)
    for hop in range(_MOST_LINKS):
        behind = _behind(path)
        folder = path.parent.parent
        if path.parent.name == CHECKPOINTS and is_run(folder) and (word_of(path) or behind is None):
            written = file.parent.parent
            folder = written if hop == 0 and written.name not in ("", "..") else folder
            return folder, word_of(path) or path.stem
        if behind is None:
            return None
        path = behind
    return None


def word_of(path: Path) -> str | None:
    """The word of ``--weights`` that means a file of this name; None for a name that no checkpoint has."""
    if path.suffix != SUFFIX:
        return None
    if (step := step_of(path)) is not None:
        return f"step={step}"
    return path.stem if path.stem in WORDS.values() or _MEAN.fullmatch(path.stem) else None


def step_of(path: Path) -> int | None:
    """The step whose checkpoint a file of this name is; None for another file."""
    step = _STEP.fullmatch(path.stem)
    return int(step[1]) if step and path.suffix == SUFFIX else None


def _behind(path: Path) -> Path | None:
    """Where ``path`` leads when the last link in it is followed; None if it has no link."""
    for place in (path, *path.parents):
        if place.is_symlink():
            return as_given(place.parent / place.readlink() / path.relative_to(place))
    return None


def _working_folder() -> Path:
    """The working folder by the name that the shell has for it, which may be a link's."""
    here, named = Path.cwd(), os.environ.get("PWD", "")
    return Path(named) if Path(named).is_absolute() and _same(Path(named), here) else here


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return not other.exists()
