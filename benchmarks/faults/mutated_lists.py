"""Lists of every layout, changed at random: each is read, or refused in one message; never a traceback."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tinkit.data.annotations.annotation import read_annotation
from tinkit.data.config.dataset import DataConfig
from tinkit.errors import UserError
from tinkit.foreign_scores import read_foreign
from tinkit.submission.classes import read_classes
from tinkit.submission.ids import read_ids

from .outcome import Outcome

_OFFICIAL = {
    "mmit": ("train.txt", b'a/1.mp4,0,1\n"b,2.mp4",1\n', b"x,0\ny,1\n"),
    "sthv1": ("train.txt", b'1;x\n2;"y"\n', b"x\ny\n"),
    "sthv2": ("train.json", b'[{"id":"1","template":"[x]"},\n{"id":"2","template":"y"}]', b'{"x":"0",\n"y":"1"}'),
    "list": ("train.txt", b"a/1 30 0\nb 2 20 1\n", b"1 x\n2 y\n"),
    "table": ("train.csv", b"id,path,labels\n1,a,x\n2,b,x;y\n", b"id,name\n0,x\n1,y\n"),
}
_PIECES = [
    *(b"\0", b"\n", b"\r", b",", b";", b'"', b"\\ud800", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\t", b"9" * 40),
    *(b"9" * 5000, b"-1", b"1e9", b"[", b"{", b"]", b"}", b"..", b"/", b"\\", b" ", b"id", b"name", b"null", b"true"),
    *(b"1.5", b"\xf0\x9f\x98\x80", b"\x1b", b"'", b":", b"[" * 3000, b"c000 ", b"\xe2\x80\xae"),
]


def run(folder: Path, seed: int, draws: int = 400) -> Iterator[Outcome]:
    """``draws`` changes of each kind of file, read by all that reads it."""
    rng = random.Random(seed)
    for dataset, (name, train, names) in _OFFICIAL.items():
        yield from _annotations(folder, dataset, name, train, names, rng, draws)
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": ["1", "2"], "path": ["a", "b"], "labels": [[0, 1], [1]]}), sink)
    yield from _annotations(folder, "table", "train.parquet", sink.getvalue(), b"x\ny\n", rng, draws)
    scores = folder / "scores.csv"
    bad = sum(_traceback(scores, b"id,x,y\n1,0.5,1\n2,,\n", lambda: read_foreign(scores), rng) for _ in range(draws))
    yield Outcome("a list changed at random", f"csv of scores, {draws} times", bad == 0, note=f"{bad} tracebacks")


def _annotations(
    folder: Path, dataset: str, name: str, train: bytes, names: bytes, rng: random.Random, draws: int
) -> Iterator[Outcome]:
    file, categories = folder / name, folder / ("names.json" if dataset == "sthv2" else "names.txt")
    keys = {"dataset": dataset, "root": folder, "train": name, "categories": categories.name}
    config = DataConfig.model_validate(keys)
    readers: dict[str, tuple[Path, bytes, Callable[[], object]]] = {
        "annotation": (file, train, lambda: _all_of(config, folder)),
        "class names": (categories, names, lambda: _all_of(config, folder)),
        "ids of a submission": (file, train, lambda: read_ids(file)),
        "classes of a submission": (categories, names, lambda: read_classes(categories, "file")),
    }
    for what, (changed, good, read) in readers.items():
        file.write_bytes(train)
        categories.write_bytes(names)
        bad = sum(_traceback(changed, good, read, rng) for _ in range(draws))
        case = f"{dataset}{file.suffix}: {what}, {draws} times"
        yield Outcome("a list changed at random", case, bad == 0, note=f"{bad} tracebacks")


def _all_of(config: DataConfig, folder: Path) -> None:
    found = read_annotation(config, folder, "train")
    for column in (found.rows.ids, found.rows.paths):
        "".join(column.to_pylist()).encode()


def _traceback(file: Path, good: bytes, read: Callable[[], object], rng: random.Random) -> bool:
    """Whether a change of ``good`` makes ``read`` end in anything but an answer or a message."""
    file.write_bytes(_changed(good, rng))
    try:
        read()
    except UserError as error:
        return not str(error)
    except Exception:  # of any kind: what users would see as a traceback is what is counted
        return True
    return False


def _changed(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(4):
            case 0:
                changed[at:at] = rng.choice(_PIECES)
            case 1:
                del changed[at : at + rng.randint(1, 6)]
            case 2:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case _:
                changed[at : at + rng.randint(0, 3)] = rng.choice(_PIECES)
    return bytes(changed)
