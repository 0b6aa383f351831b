"""Foreign files that are damaged, lie about their size, or would run something: refused by name, nothing executed."""

from __future__ import annotations

import io
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from tests.helpers.foreign_files import CLASSES, FILES, IDS, SCORES
from tinkit.errors import UserError
from tinkit.foreign_scores import Hints, read_foreign
from tinkit.foreign_scores import found as limits


class Runs:
    """Leaves a mark where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


class Finds:
    """The same by ways that look harmless."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("open('executed', 'w')",)


class Tensor:
    """A tensor whose inner pickle runs something."""

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.storage._load_from_bytes, (pickle.dumps(Runs()),)


@pytest.fixture(autouse=True)
def _nothing_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    yield
    assert not Path("executed").exists()


def refused(path: Path | str, **hints: Any) -> str:
    with pytest.raises(UserError) as caught:
        read_foreign(Path(path), Hints(**hints))
    assert caught.value.file == str(path)
    return caught.value.problem


def objects(content: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([*content, None], object)[:-1], allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize("thing", [Runs(), Finds()])
@pytest.mark.parametrize("where", ["pkl", "npy", "npz", "pt", "old"])
def test_nothing_that_a_file_names_is_called(thing: Any, where: str) -> None:
    content = {"ids": list(IDS), "scores": SCORES, "more": thing}
    path = Path(f"theirs.{where}")
    match where:
        case "pkl":
            path.write_bytes(pickle.dumps(content))
        case "npy":
            path.write_bytes(objects([content]))
        case "npz":
            np.savez(path, ids=np.array([*IDS[:5], thing], object), scores=SCORES)
        case _:
            torch.save(content, path, _use_new_zipfile_serialization=where == "pt")
    assert "mentions what scores have no use for" in refused(path)


def test_a_tensors_inner_pickle_is_not_executed_either() -> None:
    rebuilt = (torch._utils._rebuild_tensor_v2, (Tensor(), 0, (5,), (1,), False, {}))

    class Row:
        def __reduce__(self) -> tuple[Any, ...]:
            return rebuilt

    Path("t.pkl").write_bytes(pickle.dumps([Row()]))
    assert "mentions what scores have no use for (posix.system)" in refused("t.pkl")


def test_deep_and_endless_pickles() -> None:
    Path("deep.pkl").write_bytes(b"\x80\x02" + b"]" * 30_000 + b"a" * 29_999 + b".")
    assert "nested more than" in refused("deep.pkl")
    Path("tuples.pkl").write_bytes(b"\x80\x02}" + b")" + b"\x85" * 30_000 + b"K\x01s.")
    assert refused("tuples.pkl")
    Path("itself.pkl").write_bytes(b"\x80\x02]q\x00h\x00a.")
    assert "holds itself" in refused("itself.pkl")
    Path("memo.pkl").write_bytes(b"\x80\x02]r\xff\xff\xff\xff.")
    assert "holds no scores" in refused("memo.pkl")
    Path("long.pkl").write_bytes(b"\x80\x04B\xff\xff\xff\x7fab")
    assert "cannot be read" in refused("long.pkl")
    Path("longer.pkl").write_bytes(b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fab")
    assert "cannot be read" in refused("longer.pkl")


def test_rows_that_are_there_many_times_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_SUSPECT", 1 << 20)
    row = np.zeros(1000, np.float32)
    Path("bomb.pkl").write_bytes(pickle.dumps([row] * 10_000))
    assert "claims 10,000,000 numbers" in refused("bomb.pkl")
    laughs: list[Any] = [1.0]
    for _ in range(30):
        laughs = [laughs] * 20
    Path("laughs.pkl").write_bytes(pickle.dumps(laughs))
    assert refused("laughs.pkl")


def header(shape: str, dtype: str = "<f4") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (header("(1000000000, 313)") + b"\0" * 100, "an array of shape (1000000000, 313) in"),
        (header("(-1, 5)") + b"\0" * 20, "not an npy of scores"),
        (header("(2, 5)", "|V4") + b"\0" * 40, "an array of |V4"),
        (header("(6, 5)", "<c8") + b"\0" * 240, "an array of complex64"),
        (header("(2,)", "<U100000000") + b"\0" * 40, "an array of shape (2,)"),
        (header("(2,)", "|O") + b"\x80\x02]", "cannot be read"),
        (b"\x93NUMPY\x09\x00" + b"\0" * 40, "not an npy of scores"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 70_000, "not an npy of scores"),
    ],
)
def test_arrays_that_are_not_what_they_claim(content: bytes, said: str) -> None:
    Path("a.npy").write_bytes(content)
    assert said in refused("a.npy")
    with zipfile.ZipFile("a.npz", "w") as archive:
        archive.writestr("scores.npy", content)
    assert said.replace("npy", "npz") in refused("a.npz")


@pytest.mark.parametrize(("at", "value"), [(6, 255), (8, 1)], ids=["an unknown version of zip", "a password"])
def test_an_archive_that_zipfile_does_not_unpack_is_refused(at: int, value: int) -> None:
    np.savez("s.npz", ids=np.array(["a", "b"]), scores=np.ones((2, 3), np.float32))
    data = bytearray(Path("s.npz").read_bytes())
    data[data.index(b"PK\x01\x02") + at] = value  # of the first member, in the archive's table
    Path("s.npz").write_bytes(data)
    assert "not an npz of scores" in refused("s.npz")


def test_archives_that_unpack_to_far_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_SUSPECT", 1 << 20)
    np.savez_compressed("bomb.npz", ids=np.arange(4000), scores=np.zeros((4000, 500), np.float32))
    assert "claims 2,00" in refused("bomb.npz")
    table = pa.table({"id": ["a"] * 40_000, **{f"c{n}": np.zeros(40_000) for n in range(20)}})
    parquet.write_table(table, "bomb.parquet", compression="zstd")
    assert "claims 840,000 numbers" in refused("bomb.parquet")
    content = header("(1, 5)") + b"\0" * 20
    with zipfile.ZipFile("twice.npz", "w") as archive:
        archive.writestr("scores.npy", content)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("scores.npy", content)
    assert "two of one name" in refused("twice.npz")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"a": [1, 2], "a": [3, 4]}', "'a' is there twice"),
        ('{"a": {"x": 1, "y": 2}, "b": {"x": 1}}', "clip 2 lacks the class 'y'"),
        ('{"a": [1, 2], "b": [1]}', "row 2 is"),
        ('{"a": [1, 2], "b": "c"}', "row 2 is"),
        ("[]", "holds no scores"),
        ('"text"', "not a csv of scores"),
        ('{"ids": ["a"], "scores": [[1, 2], [3, 4]]}', "1 ids and 2 rows of scores"),
        ('{"verb_output": [[1]], "noun_output": [[1]], "narration_id": ["a"]}', "the scores of 2 heads: verb, noun"),
        ('{"ids": ["a"], "logits": [[1, 2]], "probs": [[0.1, 0.2]]}', "holds scores of several kinds"),
        ('[{"id": "a", "scores": [1, 2]}, {"id": "b"}]', "entry 2 has no 'scores'"),
        ('[{"id": "a", "scores": [1, 2]}, 7]', "not dictionaries"),
        ('{"ids": ["a"], "scores": [[[1, 2], [3, 4]]]}', "no row of scores"),
    ],
)
def test_json_that_holds_no_scores(text: str, said: str) -> None:
    Path("a.json").write_text(text)
    assert said in refused("a.json") or said == "not a csv of scores"


@pytest.mark.parametrize("name", [b"\x1f\x8b", b"BZh9", b"\x89HDF\r\n", b"MATLAB 5.0", b"FEA1", b""])
def test_files_of_other_kinds_are_named(name: bytes) -> None:
    Path("a.csv").write_bytes(name + b"\0" * 20 * bool(name))
    assert refused("a.csv").startswith("is ")


def test_half_a_header_is_asked_about() -> None:
    Path("a.csv").write_text("x,0,1\ny,0.5,0.25\n")
    assert "may be a header or a clip" in refused("a.csv")
    assert len(read_foreign(Path("a.csv"), Hints(header=True)).scores) == 1
    assert len(read_foreign(Path("a.csv"), Hints(header=False)).scores) == 2


@pytest.mark.parametrize("name", FILES)
def test_damage_is_an_error_of_the_file_or_seen_in_nothing(name: str, tmp_path: Path) -> None:
    """Cut or changed anywhere, a file is read or refused: never another exception, never more memory than it has."""
    form = FILES[name]
    path = tmp_path / f"whole{form.suffix}"
    form.write(path)
    whole = path.read_bytes()
    draw = random.Random(name)
    hurt = tmp_path / f"hurt{form.suffix}"
    changes: list[Callable[[bytearray], None]] = [
        lambda data: data.__delitem__(slice(draw.randrange(len(data)), None)),
        lambda data: data.__setitem__(draw.randrange(len(data)), draw.randrange(256)),
        lambda data: data.__setitem__(slice(at := draw.randrange(len(data)), at + 4), b"\xff\xff\xff\x7f"),
        lambda data: data.__delitem__(slice(at := draw.randrange(len(data)), at + draw.randrange(1, 9))),
    ]
    for number in range(8):
        data = bytearray(whole)
        changes[number % len(changes)](data)
        hurt.write_bytes(data)
        with suppress(UserError):
            found = read_foreign(hurt, Hints(classes=CLASSES, has_ids=not form.ordered, **form.hints))
            assert found.scores.size <= 10_000
