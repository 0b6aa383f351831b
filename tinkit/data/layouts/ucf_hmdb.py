"""UCF101 and HMDB51: three official partitions each, which ``data.part`` chooses from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.data.layouts.layout import AnnotationFile
from tinkit.data.layouts.on_disk import clips_in
from tinkit.data.layouts.rows import Rows, text_lines
from tinkit.errors import UserError
from tinkit.files.class_names import ClassNames
from tinkit.files.text import read_lines

_CODES = {"train": "1", "val": "2", "test": "2"}  # 0: the clip is in neither list of this partition
_GROUP = r"_g(\d+)_c\d+"  # UCF101: clips of a group are cut from one video


def read_ucf101(annotation: AnnotationFile) -> Rows:
    """Rows ``Class/clip.avi NUMBER``, of testing without the number: the class is the folder. The id is the path.

    Folder and file differ in their case for one class, and derived sets rename one of the two; a clip is looked for
    without regard to case.
    """
    numbers, lines = text_lines(annotation.path)
    fields = pc.extract_regex(lines, r"^(?P<path>(?P<name>[^/]+)/[^/]+?)(?:\s+(?P<number>\d+))?$")
    ids = pc.struct_field(fields, "path").cast(pa.string())
    rows = Rows(annotation.path, numbers, ids, ids, None)
    odd = pc.index(pc.is_null(fields), True).as_py()
    if odd >= 0:
        raise rows.fail(odd, f"{lines[odd].as_py()!r} is not a clip", expected="Class/clip.avi, and a number or none")
    stems = pc.replace_substring_regex(ids, pattern=r"\.\w+$", replacement="")
    names, said = (pc.struct_field(fields, name).to_pylist() for name in ("name", "number"))
    _check_numbers(rows, names, said, annotation.classes)
    return Rows(
        annotation.path,
        numbers,
        ids,
        _paths(annotation, ids.to_pylist(), stems.to_pylist()),
        pa.array([[name] for name in names], pa.list_(pa.string())),
        source=pc.replace_substring_regex(stems, pattern=_GROUP, replacement=r"_g\1"),
    )


def _check_numbers(rows: Rows, names: list[str], said: list[str | None], classes: tuple[str, ...]) -> None:
    """Refuse a number, from 1, that is not its folder's: the list is not of this file of classes."""
    numbers = {name: str(number) for number, name in enumerate(classes, 1)}
    for index, (name, number) in enumerate(zip(names, said, strict=True)):
        if number and name in numbers and number.lstrip("0") != numbers[name]:
            raise rows.fail(
                index,
                f"the number {number} is not that of {name!r}",
                expected=f"{numbers[name]}, as in the file of classes",
                fix="name the file of classes of this list with data.categories",
            )


def read_hmdb51(annotation: AnnotationFile) -> Rows:
    """The rows of all ``CLASS_test_splitN.txt`` beside each other: ``clip.avi CODE``, 1 of training and 2 of testing.

    The id is ``CLASS/clip.avi``: clips of one name are in several classes.
    """
    ids, labels, lines, number = [], [], [], 0
    for file in _class_files(annotation.path, annotation.part):
        name = _class_of(file, annotation.part)
        for line, text in enumerate(read_lines(file), 1):
            if not text.strip():
                continue
            clip, _, code = text.rstrip().rpartition(" ")
            if code not in ("0", "1", "2") or not clip.strip():
                raise UserError(f"{text!r} is not a clip", file=file, line=line, expected="clip.avi and 0, 1 or 2")
            number += 1
            if code == _CODES[annotation.split]:
                ids.append(f"{name}/{clip.strip()}")
                labels.append([name])
                lines.append(number)
    if not ids:
        raise UserError(f"no clip is in split {annotation.split!r}", file=annotation.path)
    stems = [Path(clip).with_suffix("").as_posix() for clip in ids]
    return Rows(
        annotation.path,
        np.array(lines, np.int64),
        pa.array(ids, pa.string()),
        _paths(annotation, ids, stems),
        pa.array(labels, pa.list_(pa.string())),
        unit="row",
    )


def hmdb51_classes(folder: Path) -> ClassNames:
    """The classes in alphabetical order, which the names of the files say: the set has no file of them."""
    names = {_class_of(file, part) for part in (1, 2, 3) for file in _class_files(folder, part)}
    return ClassNames(tuple(sorted(names)))


def _class_files(folder: Path, part: int) -> list[Path]:
    return sorted(folder.glob(f"*_test_split{part}.txt"))


def _class_of(file: Path, part: int) -> str:
    return file.name.removesuffix(f"_test_split{part}.txt")


def _paths(annotation: AnnotationFile, ids: list[str], stems: list[str]) -> pa.Array:
    """Each clip's file or folder of images, as it is called on disk; as the list calls it where it is not there."""
    images = annotation.media == "frames"
    folder = annotation.media_root
    found: dict[str, str] = {}
    for _, path in clips_in(folder, "", folders_of_images=images):
        stem = path if images else path.rpartition(".")[0]
        found[stem.lower()] = path
        found.setdefault(stem.rpartition("/")[2].lower(), path)  # all clips in one folder
    paths = []
    for name, stem in zip(ids, stems, strict=True):
        alone = stem.rpartition("/")[2].lower()
        paths.append(found.get(stem.lower()) or _flat(found, alone) or (stem if images else name))
    return pa.array(paths, pa.string())


def _flat(found: dict[str, str], name: str) -> str | None:
    """A clip that lies beside all others, not in a folder of some class."""
    path = found.get(name)
    return path if path is not None and "/" not in path else None
