"""A manifest that is damaged, crafted or of an earlier release: it is built again, aloud."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.helpers.small_mmit import config, small_mmit
from tinkit.data.manifest.manifest import open_manifest
from tinkit.data.manifest.table import SCHEMA
from tinkit.files.arrow import seal, sealed_writer


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TINKIT_CACHE", raising=False)
    return small_mmit(tmp_path)


def put(file: Path, content: bytes | pa.Table) -> None:
    """A new file in the place of one that may be mapped into memory."""
    new = file.with_suffix(".new")
    if isinstance(content, bytes):
        new.write_bytes(content)
    else:
        with sealed_writer(new, content.schema) as writer:
            writer.write_table(content)
    new.replace(file)


def strings(offsets: list[int], text: bytes) -> pa.Array:
    """An array of strings of these bytes, right or wrong."""
    buffers = [None, pa.py_buffer(np.array(offsets, np.int32)), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)


def test_a_damaged_manifest_is_built_again_aloud(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = open_manifest(config(root), "train")
    whole, random = manifest.file.read_bytes(), np.random.default_rng(0)
    for bit in random.integers(0, 8 * len(whole), 60):
        bad = bytearray(whole)
        bad[bit // 8] ^= 1 << bit % 8
        put(manifest.file, bytes(bad))
        caplog.clear()
        assert open_manifest(config(root), "train").table.equals(manifest.table)
        assert f"{manifest.file}: " in caplog.text
        assert "built again" in caplog.text
        assert manifest.file.read_bytes() == whole


def test_a_right_checksum_over_damage_is_noticed(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As where a file was damaged in memory before it was sealed."""
    manifest = open_manifest(config(root), "train")
    whole, random = manifest.file.read_bytes(), np.random.default_rng(1)
    at = whole.index(b"\xfftinkit-seal-2")
    noticed = 0
    for place in random.integers(8, at, 80):
        bad = bytearray(whole[:at] + whole[at + 160 :])
        bad[place] ^= 1 << 3
        new = manifest.file.with_suffix(".new")
        new.write_bytes(bad)
        try:
            seal(new)
        except (ValueError, BufferError):
            continue
        new.replace(manifest.file)
        caplog.clear()
        found = open_manifest(config(root), "train")  # whatever it holds now, nothing that it says is out of bounds
        assert found.label_counts().sum() >= 0
        noticed += "built again" in caplog.text
    assert noticed > 5


@pytest.mark.parametrize(
    ("column", "array", "said"),
    [
        ("path", pa.array(["videos/../../x", "b"]), "leads out"),
        ("path", pa.array(["a..b", ".."]), "leads out"),
        ("path", pa.array(["a", "é" * 128]), "longer than a file's can be"),
        ("labels", pa.array([[0, None], [0]], pa.list_(pa.int32())), "an empty place among the labels"),
        ("path", pa.array(["/etc/passwd", "b"]), "absolute"),
        ("labels", pa.array([[0], [99]], pa.list_(pa.int32())), "labels from 0 to 99"),
        ("labels", pa.array([[-1], None], pa.list_(pa.int32())), "labels from -1"),
        ("start", pa.array([1.5, 2]), "columns"),
        ("id", pa.array(["a", None]), "empty places"),
        ("source", strings([0, 9, 1], b"ab"), ""),
        ("id", strings([0, 1, 2], b"a\xff"), "UTF8"),
    ],
)
def test_a_manifest_whose_checksum_is_right_and_content_is_not_is_built_again(
    root: Path, caplog: pytest.LogCaptureFixture, column: str, array: pa.Array, said: str
) -> None:
    manifest = open_manifest(config(root), "train")
    table = manifest.table.slice(0, 2).combine_chunks()
    field = table.schema.get_field_index(column)
    fields = [SCHEMA.field(i) if i != field else pa.field(column, array.type) for i in range(6)]
    if array.type == SCHEMA.field(field).type:
        fields[field] = SCHEMA.field(field)
    columns = [array if i == field else table.column(i) for i in range(6)]
    crafted = pa.table(columns, schema=pa.schema(fields, metadata=table.schema.metadata))
    put(manifest.file, crafted)
    assert open_manifest(config(root), "train").table.equals(manifest.table)
    assert said in caplog.text
    assert "built again" in caplog.text


def test_the_metadata_of_a_manifest_may_be_anything(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = open_manifest(config(root), "train")
    about = json.loads(manifest.table.schema.metadata[b"tinkit"])
    for text in ("", "[]", "{}", "[" * 100_000, json.dumps(about | {"classes": 3}), json.dumps(about | {"key": 1})):
        table = manifest.table.replace_schema_metadata({"tinkit": text})
        put(manifest.file, table)
        caplog.clear()
        assert open_manifest(config(root), "train").table.equals(manifest.table)
        assert "not a manifest" in caplog.text


def test_a_manifest_of_an_earlier_release_is_built_again(root: Path) -> None:
    manifest = open_manifest(config(root), "train")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, manifest.table.schema) as writer:
        writer.write_table(manifest.table.slice(1))
    put(manifest.file, sink.getvalue().to_pybytes())
    assert open_manifest(config(root), "train").table.equals(manifest.table)
