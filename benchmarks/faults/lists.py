"""Annotations and class names that could be read in two ways, are hostile, or speak of clips that are not there."""

from __future__ import annotations

import random
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tinkit.data.annotations.annotation import read_annotation
from tinkit.data.config.dataset import DataConfig
from tinkit.data.manifest.manifest import open_manifest
from tinkit.data.paths.clip_path import clip_path
from tinkit.data.paths.missing import why_missing
from tinkit.data.probe.presence import count_present, require_present
from tinkit.errors import UserError
from tinkit.files.class_names import read_class_names

from .outcome import Outcome

_WAYS = {
    "name,index": ("{name},{index}", "name,id"), "index,name": ("{index},{name}", "id,name"),
    "name;index": ("{name};{index}", "Name;Nummer"), "index name": ("{index} {name}", "id name"),
    "index<tab>name": ("{index}\t{name}", "index\tclass"), '"name",index': ('"{name}",{index}', '"class","id"'),
    'index "name"': ('{index} "{name}"', "id name"), "index. name": ("{index}. {name}", "id name"),
    "cNNN name": ("c{index:03d} {name}", "id name"), "index: name": ("{index}: {name}", "id name"),
}  # fmt: skip
_WORDS = [
    "running",
    "walking",
    "[something]",
    "then,",
    "Putting",
    "é",
    "中",
    "to/from",
    "a+b",
    "(c)",
    "d's",
    "3",
    "x-y",
]
_HOSTILE = {
    "line of 100 MB": ("list", "x 9 1\n"),
    "label of 5,000 digits": ("list", "x 9 " + "9" * 5000 + "\n"),
    "count of 5,000 digits": ("list", "x " + "9" * 5000 + " 1\n"),
    "label -1": ("list", "x 9 -1\n"),
    "label 1e9": ("list", "x 9 1e9\n"),
    "label 1000000000": ("list", "x 9 1000000000\n"),
    "path ../x": ("list", "../x 9 1\n"),
    "path /etc/passwd": ("list", "/etc/passwd 9 1\n"),
    "zero byte": ("list", "a\0b 9 1\n"),
    "csv of a million columns": ("table", ",".join(f"c{n}" for n in range(1_000_000)) + "\n1\n"),
    "field of 10 MB": ("table", "id,path,labels\n1," + "y" * 10_000_000 + ",a\n"),
    "field over csv's limit": ("table", "id,path,labels\n1," + "y" * 200_000 + ",a\n"),
    "id with a line break": ("table", 'id,path,labels\n"1\n2",y,a\n'),
    "quote that is not closed": ("table", 'id,path,labels\n1,"y,a\n'),
}


def run(folder: Path, seed: int) -> Iterator[Outcome]:
    """Class names of every owner's form, labels that are not clear, hostile files, manifests' paths, missing clips."""
    rng = random.Random(seed)
    yield from _numbered_names(folder, rng)
    yield from _plain_names(folder, rng)
    yield from _labels(folder / "labels", rng)
    yield from _hostile(folder / "hostile")
    yield from _manifest_paths(folder / "paths", rng)
    yield from _missing(folder / "missing")
    yield _presence(folder / "many")


def _names(rng: random.Random) -> list[str]:
    return [f"{' '.join(rng.choices(_WORDS, k=2))} {rng.randrange(10**6)}x" for _ in range(rng.randint(2, 40))]


def _numbered_names(folder: Path, rng: random.Random) -> Iterator[Outcome]:
    for way, (form, header) in _WAYS.items():
        for first in (0, 1):
            for head in ("", "header", "count"):
                names = _names(rng)
                lines = [form.format(name=name, index=index) for index, name in enumerate(names, first)]
                lines[:0] = {"": [], "header": [header], "count": [str(len(names))]}[head]
                (folder / "c.txt").write_text("\n".join(lines), encoding="utf-8")
                found = read_class_names(folder / "c.txt")
                case = f"{way} from {first}" + (f", with a {head}" if head else "")
                yield Outcome("numbered class names", case, found.names == tuple(names) and found.first == first)


def _plain_names(folder: Path, rng: random.Random) -> Iterator[Outcome]:
    for draw in range(50):
        names = [f"{rng.randrange(9)} {name}" if rng.random() < 0.5 else name for name in _names(rng)]
        names[0] = f"running {draw}"
        (folder / "c.txt").write_text("\n".join(names), encoding="utf-8")
        found = read_class_names(folder / "c.txt")
        yield Outcome("class names that begin with numbers or hold commas", f"draw {draw}", found.names == tuple(names))
    for line in ("name", "class", "id,name", "label", "category", "300", "class_name"):
        (folder / "c.txt").write_text(f"{line}\nrunning\nwalking\n")
        yield Outcome("class names with an unclear first line", line, _refused_at(1, folder / "c.txt"))


def _refused_at(line: int, file: Path) -> bool:
    try:
        read_class_names(file)
    except UserError as error:
        return error.line == line
    return False


def _config(root: Path, text: str, names: str, dataset: str = "list", **keys: Any) -> DataConfig:
    root.mkdir(parents=True, exist_ok=True)
    train, categories = {"list": ("train.txt", "category.txt"), "table": ("train.csv", "classes.txt")}[dataset]
    (root / train).write_text(text, encoding="utf-8")
    (root / categories).write_text(names, encoding="utf-8")
    return DataConfig.model_validate({"dataset": dataset, "root": root, **keys})


def _said(config: DataConfig) -> str:
    """What is said of the training list; nothing where it is read."""
    assert config.root is not None
    try:
        read_annotation(config, config.root, "train")
    except UserError as error:
        return str(error)
    return ""


def _labels(root: Path, rng: random.Random) -> Iterator[Outcome]:
    for count in (3, 51, 101, 400):
        names = "".join(f"class {n}\n" for n in range(count))
        numbers = "".join(f"{n} class {n}\n" for n in range(1, count + 1))
        labels = [*range(1, count + 1), *(rng.randint(1, count) for _ in range(count))]
        text = "".join(f"v{n}.mp4 {label}\n" for n, label in enumerate(labels))
        said = _said(_config(root, text, names, columns="path labels"))
        yield Outcome("labels that count from 1", f"{count} names", "data.first_label = 1" in said)
        for keys in ({"first_label": 1}, {}):
            config = _config(root, text, numbers if not keys else names, columns="path labels", **keys)
            found = read_annotation(config, root, "train").labels.to_pylist()
            case = f"{count} names, " + ("said" if keys else "category file from 1")
            yield Outcome("labels that count from 1", case, found == [[label - 1] for label in labels])
        if count > 3:
            codes = "".join(f"v{n}.avi {rng.randrange(3)}\n" for n in range(3 * count))
            said = _said(_config(root, codes, names, columns="path labels"))
            yield Outcome("codes of a split as labels", f"{count} classes", "codes of a split" in said)


def _hostile(root: Path) -> Iterator[Outcome]:
    for case, (dataset, text) in _HOSTILE.items():
        if case == "line of 100 MB":
            text = "x" * 100_000_000 + text
        started = time.process_time()
        said = _said(_config(root, text, "a\nb\n", dataset))
        seconds = time.process_time() - started
        yield Outcome("a hostile annotation", case, 0 < len(said) < 45_000, seconds=round(seconds, 2))


def _manifest_paths(root: Path, rng: random.Random) -> Iterator[Outcome]:
    manifest = open_manifest(_config(root, "id,path,labels\n1,a.mp4,a\n", "a\n", "table"), "train")
    column = manifest.table.schema.get_field_index("path")
    parts = ["..", "a", "b c", ".", "x.mp4", "...", "..d"]
    for draw in range(200):
        path = rng.choice(["", "", "/", "\\", "C:\\"]) + rng.choice("/\\").join(rng.choices(parts, k=rng.randint(1, 4)))
        escapes = ".." in path.replace("\\", "/").split("/") or path.startswith(("/", "\\", "C:"))
        changed = replace(manifest, table=manifest.table.set_column(column, "path", pa.array([path])))
        try:
            inside = clip_path(root, path).resolve().is_relative_to(root.resolve())
            count_present(changed)
            survived = inside and not escapes
        except UserError:
            survived = escapes
        yield Outcome("a manifest's path that leaves the folder", f"draw {draw}: {path!r}", survived)


def _missing(root: Path) -> Iterator[Outcome]:
    nfd = unicodedata.normalize("NFD", "videos/café/1.mp4")
    cases = {
        "backslashes": ("videos/a/1.mp4", "videos\\a\\1.mp4", "backslashes"),
        ".MP4 for .mp4": ("videos/a/1.MP4", "videos/a/1.mp4", "capitals"),
        "a folder in capitals": ("videos/A/1.mp4", "videos/a/1.mp4", "capitals"),
        "NFD on disk": (nfd, unicodedata.normalize("NFC", nfd), "NFD"),
        "NFD in the list": (unicodedata.normalize("NFC", nfd), nfd, "NFC"),
        "another suffix": ("videos/a/1.webm", "videos/a/1.mp4", ".webm"),
        "no suffix": ("videos/a/1.mp4", "videos/a/1", ".mp4"),
        "the media folder twice": ("videos/a/1.mp4", "videos/videos/a/1.mp4", "no folder"),
        "the media folder left out": ("videos/a/1.mp4", "a/1.mp4", "another folder"),
        "plus for space": ("videos/a b/1.mp4", "videos/a+b/1.mp4", "for '+'"),
    }
    for number, (case, (there, listed, cause)) in enumerate(cases.items()):
        file = root / str(number) / there
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x")
        found = why_missing(root / str(number), [listed])
        yield Outcome("clips that are not there: the cause is named", case, found is not None and cause in found[0])


def _presence(root: Path, count: int = 20_000) -> Outcome:
    """Files of which a third is missing and a third empty: counted, and what it takes for 100,000."""
    rows = "".join(f"{n},{n % 50}/{n}.mp4,a\n" for n in range(count))
    manifest = open_manifest(_config(root, "id,path,labels\n" + rows, "a\n", "table"), "train")
    for number in range(count):
        (root / str(number % 50)).mkdir(exist_ok=True)
        if number % 3:
            (root / str(number % 50) / f"{number}.mp4").write_bytes(b"x" * (number % 3 - 1))
    started = time.process_time()
    found = count_present(manifest)
    seconds = (time.process_time() - started) * 100_000 / count
    right = found.missing == len(range(0, count, 3)) and found.empty == len(range(1, count, 3))
    try:
        require_present(manifest, found)
        right = False
    except UserError:
        pass
    return Outcome("missing and empty clips are counted", "seconds for 100,000 files", right, seconds=round(seconds, 2))
