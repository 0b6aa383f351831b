"""What is said of /dev/shm before NCCL needs it."""

from __future__ import annotations

import logging
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from tinkit.cli import doctor
from tinkit.engine.distributed import shared_memory, world
from tinkit.engine.distributed.shared_memory import A_PROCESS, shared_memory_warning

Usage = namedtuple("Usage", "total used free")  # as shutil has it


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The room that a container has unless more is asked for."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(64 << 20, 0, 64 << 20))
    monkeypatch.delenv("NCCL_SHM_DISABLE", raising=False)


@pytest.mark.usefixtures("docker")
def test_a_container_with_docker_s_own_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = shared_memory_warning(8, tmp_path)
    assert said is not None
    assert "67 MB free; 8 processes" in said
    assert "--shm-size" in said
    assert shared_memory_warning(1, tmp_path) is None
    assert shared_memory_warning(8, tmp_path / "none") is None
    monkeypatch.setenv("NCCL_SHM_DISABLE", "1")
    assert shared_memory_warning(8, tmp_path) is None


def test_enough_is_not_spoken_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, said in ((4 * A_PROCESS, False), (4 * A_PROCESS - 1, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, free=free: Usage(free, 0, free))
        assert (shared_memory_warning(4, tmp_path) is not None) == said


@pytest.mark.usefixtures("docker")
def test_the_doctor_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "SEGMENTS", tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert doctor._shared_memory() == "0.1 GiB free"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert "4 processes with a GPU each may need 160 MB" in doctor._shared_memory()
    monkeypatch.setattr(shared_memory, "SEGMENTS", tmp_path / "none")
    assert doctor._shared_memory() == "none here"


@pytest.mark.usefixtures("docker")
@pytest.mark.parametrize("rank", [0, 1])
def test_one_process_of_a_machine_says_it(
    rank: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Before the processes meet, which is where NCCL would fail."""
    variables = {"WORLD_SIZE": 8, "RANK": rank, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 4, "MASTER_PORT": 29_500}
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setattr(shared_memory, "SEGMENTS", tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: None)

    def meets(*_: object, **__: object) -> None:
        raise KeyError("far enough")

    monkeypatch.setattr(world, "_meet", meets)
    with caplog.at_level(logging.WARNING), pytest.raises(KeyError), world.join_world():
        pass
    assert [("4 processes" in record.getMessage()) for record in caplog.records] == [True] * (rank == 0)
