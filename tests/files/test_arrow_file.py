"""Sealed Arrow files: one flipped bit or a lost end is noticed before Arrow reads a byte, and nothing else changes."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pytest

from tests.helpers.fusion_members import scores_of
from tinkit.errors import UserError
from tinkit.files.arrow import DamagedFileError, open_arrow, sealed_writer
from tinkit.scores import open_scores, read_info, read_scores, verified_scores, write_scores
from tinkit.scores.features import inspect_features, read_features, write_features


def two_batches(path: Path) -> pa.Table:
    schema = pa.schema([("id", pa.string()), ("x", pa.list_(pa.float32(), 3))], metadata={"tinkit": "{}"})
    batches = []
    with sealed_writer(path, schema) as writer:
        for rows in (5, 0, 7):
            values = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(3 * rows, dtype=np.float32)), 3)
            batches.append(pa.record_batch([pa.array(map(str, range(rows)), pa.string()), values], schema=schema))
            writer.write_batch(batches[-1])
    return pa.Table.from_batches(batches)


def test_every_flipped_bit_and_every_lost_end_is_noticed(tmp_path: Path) -> None:
    path, bad = tmp_path / "whole.arrow", tmp_path / "bad.arrow"
    two_batches(path)
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 13):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        bad.write_bytes(flipped)
        with pytest.raises(DamagedFileError, match=r"bad\.arrow"):
            open_arrow(bad).verify()
    for length in range(0, len(whole), 7):
        bad.write_bytes(whole[:length])
        with pytest.raises(DamagedFileError, match=r"bad\.arrow"):
            open_arrow(bad).verify()
    for extra in (b"\0", b"ARROW1"):
        bad.write_bytes(whole + extra)
        with pytest.raises(DamagedFileError):
            open_arrow(bad).verify()


def test_the_frame_is_checked_when_it_is_opened_and_names_the_content(tmp_path: Path) -> None:
    path = tmp_path / "whole.arrow"
    table = two_batches(path)
    file = open_arrow(path)
    assert file.reader().read_all().equals(table)
    whole = path.read_bytes()
    frame = whole[whole.index(b"\xfftinkit-seal-2") + 16 :][:64]
    assert file.digest == file.verified_digest() == f"seal-2:{frame.decode()}"
    values = np.arange(21, dtype=np.float32).tobytes()
    first = whole.index(values[:60])  # the first batch's; the last one's begin alike
    last = whole.index(values)
    outside = set(range(len(whole))) - set(range(first - 40, first + 72)) - set(range(last - 56, last + 96))
    random = np.random.default_rng(0)
    for place in random.choice(sorted(outside), 60, replace=False):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << random.integers(8)
        path.write_bytes(flipped)
        with pytest.raises(DamagedFileError):
            open_arrow(path)


def test_other_tools_read_a_sealed_file_and_what_they_write_has_no_seal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "whole.arrow"
    table = two_batches(path)
    with pa.memory_map(str(path)) as source:  # as the documentation says
        assert pa.ipc.open_file(source).read_all().equals(table)
    assert pyarrow.feather.read_table(path).equals(table)
    with pa.memory_map(str(path)) as source:  # as a stream too, up to its end
        source.seek(8)
        assert pa.ipc.open_stream(source).read_all().equals(table)
    again = tmp_path / "again.arrow"
    with pa.ipc.new_file(again, table.schema) as writer:
        writer.write_table(table)
    file = open_arrow(again)
    with caplog.at_level(logging.WARNING):
        assert file.verified_digest() == hashlib.sha256(again.read_bytes()).hexdigest()
    assert "again.arrow: has no checksum" in caplog.text


def sealed_as_before(path: Path) -> bytes:
    """The bytes of a sealed file as the first version of the seal has them: BODY is a SHA-256."""
    old = path.read_bytes()
    at = old.index(b"\xfftinkit-seal-2")
    mark = b"\xfftinkit-seal-1\xff\n"
    body = hashlib.sha256(old[:at]).hexdigest().encode()
    table = pa.ipc.open_file(old)
    frame, place = hashlib.sha256(), 0
    values = [buffer for column in table.get_batch(0).columns for buffer in column.buffers() if buffer]
    assert table.num_record_batches == 1
    first, last = min(values, key=lambda one: one.address), max(values, key=lambda one: one.address + one.size)
    start = old.index(bytes(first)[:64] or bytes(first))
    stop = start + last.address + last.size - first.address
    stop = old.index(b"\xff\xff\xff\xff\0\0\0\0", stop - stop % 8)  # the end of the messages; before it, padding
    for begin, end in ((start, stop), (at + 16, at + 80)):
        frame.update((old[:at] + mark + bytes(64) + body + mark + old[at + 160 :])[place:begin])
        place = end
    frame.update((old[:at] + mark + bytes(64) + body + mark + old[at + 160 :])[place:])
    return old[:at] + mark + frame.hexdigest().encode() + body + mark + old[at + 160 :]


def test_the_first_version_of_the_seal_is_checked_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "s.arrow"
    write_scores(path, scores_of("a"))
    whole = sealed_as_before(path)
    path.write_bytes(whole)
    table, digest = verified_scores(path)
    assert digest == open_scores(path).digest == hashlib.sha256(whole).hexdigest()
    np.testing.assert_array_equal(table.scores, scores_of("a").scores)
    for bad in drawn_faults(whole, 2, 200):
        path.write_bytes(bad)
        with pytest.raises(UserError, match=r"s\.arrow"):
            verified_scores(path)


def test_scores_are_checked_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "s.arrow"
    digest = write_scores(path, scores_of("a"))
    whole = path.read_bytes()
    opened = open_scores(path)
    for rows in (1, 3, 3, 2, len(opened.table)):
        opened.used(rows)
    assert (opened.verify(), opened.verify(), opened.digest) == (digest, None, digest)
    place = whole.index(scores_of("a").scores[5].tobytes())
    path.with_name("bad.arrow").write_bytes(whole[:place] + b"\x01\x02" + whole[place + 2 :])
    bad = open_scores(path.with_name("bad.arrow"))
    bad.used(len(bad.table))
    for _ in range(2):
        with pytest.raises(DamagedFileError, match="checksum"):
            bad.verify()


def drawn_faults(whole: bytes, seed: int, count: int) -> list[bytes]:
    """Files with one flipped bit, and files that were cut short."""
    random = np.random.default_rng(seed)
    faults = []
    for bit in random.integers(0, 8 * len(whole), count):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        faults.append(bytes(flipped))
    return faults + [whole[:length] for length in random.integers(0, len(whole), count // 3)]


def test_a_damaged_score_file_is_refused_where_it_is_used_and_never_kills_where_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "s.arrow"
    write_scores(path, scores_of("a"))
    for bad in drawn_faults(path.read_bytes(), 0, 300):
        path.write_bytes(bad)
        with pytest.raises(UserError, match=r"s\.arrow"):
            verified_scores(path)
        for reading in (read_scores, read_info):
            try:
                reading(path)
            except UserError as error:
                assert error.file == str(path)  # noqa: PT017 - either is right


def test_a_damaged_feature_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.arrow"
    ids = [f"clip {i}" for i in range(9)]
    parts = [(np.ones((n, 4), np.float32), np.ones(n, bool)) for n in (4, 5)]
    write_features(path, {"task": "multi-label"}, ids, [None] * 9, ids, parts)
    assert read_features(path).features.shape == (9, 4)
    for bad in drawn_faults(path.read_bytes(), 1, 120):
        path.write_bytes(bad)
        for reading in (read_features, inspect_features):
            with pytest.raises(UserError, match=r"f\.arrow"):
                reading(path)


def strings(offsets: list[int], text: bytes) -> pa.Array:
    """An array of strings of these bytes, right or wrong."""
    buffers = [None, pa.py_buffer(np.array(offsets, np.int32)), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)


@pytest.mark.parametrize(
    ("column", "array", "said"),
    [
        ("id", pa.array(["a", "a", "b"]), "clip 'a' is there 2 times"),
        ("id", pa.array(["a", None, "b"]), "empty places"),
        ("id", pa.array([1, 2, 3]), "no column 'id'"),
        ("features", pa.array([1.0, 2.0, 3.0]), "no column 'features'"),
        ("labels", pa.array([[0.5], None, []]), "no column 'labels'"),
        ("source", strings([0, 9, 2, 1], b"abc"), "not a feature file"),
        ("id", strings([0, 1, 2, 3], b"a\xffb"), "not a feature file"),
    ],
)
def test_features_whose_checksum_is_right_and_content_is_not(
    tmp_path: Path, column: str, array: pa.Array, said: str
) -> None:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(6, np.float32)), 2)
    columns = {"id": pa.array(["a", "b", "c"]), "features": lists, "labels": pa.nulls(3, pa.list_(pa.int32()))}
    columns = columns | {"source": pa.array(["a", "b", "c"])} | {column: array}
    info = json.dumps({"kind": "features", "version": 1})
    table = pa.table(columns).replace_schema_metadata({"tinkit": info})
    with sealed_writer(tmp_path / "f.arrow", table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(UserError, match=said):
        read_features(tmp_path / "f.arrow")
