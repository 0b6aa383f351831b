"""Write clips of one's own as a data set of the layout ``table``: a csv a split, and the names of the classes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from tinkit.data.layouts.layout import SPLITS
from tinkit.data.own.clips import OwnClip
from tinkit.errors import UserError
from tinkit.files.class_names import read_class_names
from tinkit.files.group import file_group, recover, writing_in

_HEAD = "classes.txt"


def write_annotations(folder: Path, clips: Sequence[OwnClip], classes: Sequence[str], *, force: bool) -> list[Path]:
    """Write ``classes.txt`` and a csv for each split that has clips; all of them or none.

    Raises :class:`~tinkit.errors.UserError` where they are there already, unless ``force``.
    """
    written = {split: [clip for clip in clips if clip.split == split] for split in SPLITS}
    names = [_HEAD, *(f"{split}.csv" for split, own in written.items() if own)]
    folder.mkdir(parents=True, exist_ok=True)
    with writing_in(folder, *(folder / name for name in names)):
        recover(folder / _HEAD)
        there = [name for name in (_HEAD, *(f"{split}.csv" for split in SPLITS)) if (folder / name).exists()]
        if there and not force:
            raise UserError(f"{', '.join(there)} there already", file=folder, fix="--force to write over them")
        with file_group(folder / _HEAD) as group:
            group.place(_HEAD).write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
            _check_read_back(group.place(_HEAD), folder / _HEAD, classes)
            for split, own in written.items():
                if own:
                    group.place(f"{split}.csv").write_text(_csv(own), encoding="utf-8", newline="")
                elif (folder / f"{split}.csv").exists():
                    group.remove(f"{split}.csv")
    return [folder / name for name in names]


def _check_read_back(staged: Path, file: Path, classes: Sequence[str]) -> None:
    """Refuse names of classes that a reader would take for something else: a header, a numbering, numbers."""
    fix = "rename the folders or labels, such as 'class 3' for '3'"
    try:
        found = read_class_names(staged).names
    except UserError as problem:
        raise UserError(f"these class names cannot be written down: {problem.problem}", file=file, fix=fix) from None
    if found != tuple(classes):
        wrong = next((name for name in classes if name not in found), classes[0])
        raise UserError(f"the class name {wrong!r} would be read as something else", file=file, fix=fix)
    for number, name in enumerate(classes):
        if name.isdecimal() and name != str(number):
            raise UserError(
                f"the class name {name!r} could also be the number of a class", file=file, expected=str(number), fix=fix
            )


def _csv(clips: Sequence[OwnClip]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "path", "labels", "source"])
    writer.writerows([clip.path, clip.path, ";".join(clip.labels), clip.source] for clip in clips)
    return text.getvalue()
