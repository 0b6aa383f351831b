"""Checkpoints that are damaged, foreign or do not fit are refused; a failed write keeps what was there."""

from __future__ import annotations

import errno
import json
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.helpers.small_checkpoints import trained
from tinkit.engine.runs.checkpoint import (
    Progress,
    check_checkpoint,
    is_checkpoint,
    load_weights,
    read_header,
    read_weights,
    resume_checkpoint,
    save_checkpoint,
)
from tinkit.engine.runs.tensor_file import write_tensor_file
from tinkit.errors import UserError


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Path, bytes]:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, model, Progress(metrics={"a": 0.5}), {}, optimizer)
    return path, path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("read", [check_checkpoint, load_weights])
def test_a_changed_byte_anywhere_is_damage(whole: tuple[Path, bytes], read: Callable[[Path], object]) -> None:
    path, data = whole
    read(path)
    for place in range(len(data)):
        # to its complement, by one bit, and to white space, which JSON would not mind
        for byte in {data[place] ^ 0xFF, data[place] ^ 1, 0x09} - {data[place]}:
            path.write_bytes(data[:place] + bytes([byte]) + data[place + 1 :])
            with pytest.raises(UserError, match="damaged"):
                read(path)


@pytest.mark.parametrize("read", [check_checkpoint, load_weights])
def test_a_part_of_a_file_is_damage(whole: tuple[Path, bytes], read: Callable[[Path], object]) -> None:
    path, data = whole
    parts = [data[:end] for end in range(len(data))]
    changed = [data + b"\0", data[8:], bytes(len(data)), data[:-40] + bytes(40), data[:512] + bytes(8) + data[520:]]
    for part in [*parts, *changed]:
        path.write_bytes(part)
        with pytest.raises(UserError, match="damaged"):
            read(path)


def test_a_header_is_checked_without_its_tensors(whole: tuple[Path, bytes]) -> None:
    path, data = whole
    path.write_bytes(data.replace(b'\\"a\\": 0.5', b'\\"a\\": 0.6'))
    with pytest.raises(UserError, match="damaged: its header's checksum"):
        read_header(path)
    path.write_bytes(data[:-1] + b"?")
    assert read_header(path)["progress"]["metrics"] == {"a": 0.5}
    with pytest.raises(UserError, match="damaged: its checksum"):
        read_weights(path)


def test_other_files_are_told_apart(tmp_path: Path, whole: tuple[Path, bytes]) -> None:
    path, data = whole
    assert is_checkpoint(path)
    path.write_bytes(data[:-1])
    assert is_checkpoint(path)  # damaged, and not to be taken for foreign weights
    save_file({"a": torch.zeros(1)}, path)
    assert not is_checkpoint(path)
    with pytest.raises(UserError, match="is not a tinkit checkpoint"):
        load_weights(path)
    save_file({"model.a": torch.zeros(1)}, path, metadata={"tinkit": json.dumps({"format": "tinkit-checkpoint-1"})})
    with pytest.raises(UserError, match="older tinkit"):
        read_header(path)
    write_tensor_file(path, {}, {"format": "tinkit-checkpoint-9"})
    with pytest.raises(UserError, match="another version"):
        check_checkpoint(path)
    for missing in (tmp_path / "none.safetensors", tmp_path / "none" / "none.safetensors"):
        assert not is_checkpoint(missing)
        with pytest.raises(UserError, match="is missing"):
            load_weights(missing)
    with pytest.raises(UserError, match="cannot be read"):
        read_header(tmp_path)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    model, optimizer = trained()
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, model, Progress(), {})
    with pytest.raises(UserError, match="weights only"):
        resume_checkpoint(path, model, optimizer)
    save_checkpoint(path, nn.Linear(1, 1), Progress(), {}, optimizer)
    with pytest.raises(UserError, match="not of this run's model"):
        resume_checkpoint(path, model, optimizer)
    save_checkpoint(path, model, Progress(), {}, torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1))
    with pytest.raises(UserError, match="not of this run's optimiser"):
        resume_checkpoint(path, model, optimizer)


def test_a_disk_that_fills_keeps_the_last_good_one(tmp_path: Path) -> None:
    model, optimizer = trained()
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, model, Progress(epoch=1), {}, optimizer)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))  # files can grow no further
    try:
        with pytest.raises(OSError, match="File too large") as failed:
            save_checkpoint(path, model, Progress(epoch=2), {}, optimizer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert failed.value.errno == errno.EFBIG
    assert failed.value.filename == str(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.safetensors"]
