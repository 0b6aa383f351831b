"""What can be said of a submission's file without reading it: its name, its size, and names that a spreadsheet runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tinkit.files.cells import runs_in_spreadsheet
from tinkit.submission.spec import Challenge

_OTHER_KINDS = frozenset({".json", ".zip", ".gz", ".bz2", ".xz", ".zst", ".7z", ".arrow", ".npz", ".npy", ".pkl"})


def odd_name(path: Path, challenge: Challenge) -> list[str]:
    """What to say of a file that is called otherwise than the challenge wants, or as another kind of file is."""
    if challenge.file and path.name != challenge.file:
        return [f"the file is called {path.name!r}, and the challenge wants {challenge.file!r}"]
    ending = path.suffix.lower()
    packed = ".zip" if challenge.zip else ".gz" if challenge.gz else ".json" if challenge.syntax == "json" else ""
    if challenge.file or (ending == packed if packed else ending not in _OTHER_KINDS):
        return []
    plain = "a JSON document" if challenge.syntax == "json" else f"text, with fields parted by {challenge.delimiter!r}"
    kind = "a zip archive" if challenge.zip else f"{plain}, packed by gzip" if challenge.gz else plain
    return [f"the name ends in {ending!r}, and the challenge wants {kind}: a leaderboard may refuse it by its name"]


def too_large(path: Path, challenge: Challenge) -> list[str]:
    """What to say of a file that is larger than the leaderboard takes."""
    size = path.stat().st_size
    if challenge.max_bytes is None or size <= challenge.max_bytes:
        return []
    return [f"the file has {size} bytes, and the leaderboard takes {challenge.max_bytes}"]


def formulas(names: Sequence[str]) -> list[str]:
    """What to say of clips whose names a spreadsheet would run: they stand in the file as they are."""
    found = [name for name in names if runs_in_spreadsheet(name)]
    if not found:
        return []
    return [
        f"{len(found)} names begin as a formula does ({found[0][:40]!r}): they are written as they are, for the "
        "leaderboard; a spreadsheet that opens the file may run them, and saves them otherwise"
    ]
