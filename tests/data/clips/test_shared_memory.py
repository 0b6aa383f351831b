"""Memory that is too small for batches: found before it is written to, said, and made do with."""

from __future__ import annotations

import errno
import logging
import os
import resource
from pathlib import Path

import pytest
import torch

from tests.helpers.video_files import write_images, write_manifest
from tinkit.data.clips import loading, shared
from tinkit.data.clips.loading import LoaderWorkers, Plan, fitting, train_loader
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.views import ClipConfig
from tinkit.errors import UserError
from tinkit.workers.memory import free_memory


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> TrainClips:
    root = tmp_path_factory.mktemp("images")
    write_images(root / "a", 4)
    manifest = write_manifest(root, [(f"clip {n}", "a", "a") for n in range(8)], media="frames")
    return TrainClips(manifest, ClipConfig(num_segments=4, size=64), seed=0)


def loaded(clips: TrainClips) -> list[torch.Tensor]:
    return [b["frames"].clone() for b in train_loader(clips, batch=4, epoch=0, workers=LoaderWorkers(1))]


def test_a_batch_for_which_there_is_no_room_is_an_error_and_no_bus_error(clips: TrainClips) -> None:
    """The system's own limit of a file's size, which files in memory obey too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(UserError, match=r"no room for a batch of 0 MB \(memory: File too large; the folder "):
            loaded(clips)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(loaded(clips)) == 2


def test_where_files_in_memory_are_not_allowed_they_lie_in_the_temporary_folder(
    clips: TrainClips, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = loaded(clips)

    def refused(*_: object) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "memfd_create", refused)
    assert all(map(torch.equal, wanted, loaded(clips)))
    with caplog.at_level(logging.WARNING), shared.BatchMemory() as memory:
        memory.room((10,))
        os.close(memory.descriptor)
    assert "lie in files in the folder" in caplog.text


@pytest.mark.parametrize(
    ("workers", "batch", "free", "plan"),
    [
        (4, 100, None, Plan(4)),
        (4, 100, 800, Plan(4)),
        (4, 100, 799, Plan(4, 1)),
        (4, 100, 400, Plan(3, 1)),
        (8, 100, 250, Plan(1, 1)),
    ],
)
def test_what_does_not_fit_is_made_by_fewer(workers: int, batch: int, free: int | None, plan: Plan) -> None:
    assert fitting(workers, batch, free) == plan


def test_a_batch_that_never_fits_is_refused() -> None:
    with pytest.raises(UserError, match="batches of 3,000 MB do not fit: 4,000 MB of memory are free"):
        fitting(2, 3 * 10**9, 4 * 10**9)


def test_little_memory_changes_no_batch(
    clips: TrainClips, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = loaded(clips)
    monkeypatch.setattr(loading, "free_memory", lambda: 5 * 4 * clips.item_bytes // 2)
    with caplog.at_level(logging.WARNING):
        found = [b["frames"].clone() for b in train_loader(clips, batch=4, epoch=0, workers=LoaderWorkers(2))]
    assert all(map(torch.equal, wanted, found))
    assert "2 data workers with 2 batches of 0 MB each do not fit" in caplog.text


def test_free_memory_is_the_least_of_what_the_system_says(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    assert free_memory(tmp_path, meminfo) == 4_096_000
    for folder, names in (
        (tmp_path / "memory", ("limit_in_bytes", "usage_in_bytes", "total_")),
        (tmp_path, ("max", "current", "")),
    ):
        folder.mkdir(exist_ok=True)
        (folder / f"memory.{names[0]}").write_text("3000000\n")
        (folder / f"memory.{names[1]}").write_text("2000000\n")
        (folder / "memory.stat").write_text(f"anon 5\n{names[2]}inactive_file 500000\n")
        assert free_memory(tmp_path, meminfo) == 1_500_000
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text(str(1 << 62))
    assert free_memory(tmp_path, meminfo) == 4_096_000
    assert free_memory(tmp_path / "none", tmp_path / "none") is None
