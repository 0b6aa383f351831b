"""Flow, videos encoded anew and loose frames made by a dask cluster, and in shares, to the bytes made here."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.video_files import write_manifest, write_video
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.flow.computed import FlowSettings
from tinkit.data.flow.folders import FlowFiles
from tinkit.data.flow.make import make_flow
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.packed.index import PackSettings
from tinkit.data.packing.loose import LooseFolder, write_loose
from tinkit.data.packing.sources import SourceFiles
from tinkit.data.reencode.encoder import VideoSettings
from tinkit.data.reencode.make import reencode
from tinkit.errors import UserError
from tinkit.spread.cluster import dask_cluster
from tinkit.spread.engine import WHOLE, Engine, Share
from tinkit.spread.spread import Spread

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.thorough

CLIPS = 10
HERE = Engine(0)
Make = Callable[[Manifest, str, Engine, Share, Callable[[int], None]], object]


def flow(manifest: Manifest, name: str, engine: Engine, share: Share, heard: Callable[[int], None]) -> object:
    pytest.importorskip("cv2")
    files = FlowFiles(name, "flow_x", "video", "", "{:05d}.jpg")
    return make_flow([manifest], files, FlowSettings(), engine=engine, share=share, on_clips=heard)


def videos(manifest: Manifest, name: str, engine: Engine, share: Share, heard: Callable[[int], None]) -> object:
    files = SourceFiles(str(manifest.root), manifest.media, manifest.frame_template, DecodeSettings())
    return reencode([manifest], files, manifest.root / name, VideoSettings(pixels=48), engine, share, heard)


def loose(manifest: Manifest, name: str, engine: Engine, share: Share, heard: Callable[[int], None]) -> object:
    files = SourceFiles(str(manifest.root), manifest.media, manifest.frame_template, DecodeSettings())
    to = LooseFolder(manifest.root / name, "", PackSettings(pixels=48))
    return write_loose([manifest], files, to, engine, share, heard)


def nothing(count: int) -> None:
    """Whoever does not count."""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp("films")
    for number in range(CLIPS):
        write_video(root / f"{number}.mp4", count=3 + number % 3, seed=number)
    (root / "bad.mp4").write_text("not a film")
    return write_manifest(root, [(name, f"{name}.mp4", "a") for name in [*map(str, range(CLIPS)), "bad"]])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as found:
        yield found


def written(folder: Path) -> dict[str, bytes]:
    """Every file but the locks."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("make", [flow, videos, loose])
def test_a_killed_worker_and_shares_change_no_byte(manifest: Manifest, cluster: Any, make: Make) -> None:
    name, address = make.__name__, cluster.scheduler_address
    make(manifest, f"{name}-here", HERE, WHOLE, nothing)
    alone = written(manifest.root / f"{name}-here")
    assert len(alone) > CLIPS
    killed: list[int] = []

    def kill_one(count: int) -> None:
        if count and not killed:
            with distributed.Client(address, set_as_default=False) as client:
                killed.append(min(client.run(os.getpid).values()))
            os.kill(killed[0], signal.SIGKILL)

    make(manifest, f"{name}-there", Engine(dask=address), WHOLE, kill_one)
    assert killed
    assert written(manifest.root / f"{name}-there") == alone
    for part in (2, 1):
        make(manifest, f"{name}-shared", HERE, Share(part, 2), nothing)
        assert (written(manifest.root / f"{name}-shared").keys() >= alone.keys()) == (make is flow and part == 1)
    make(manifest, f"{name}-shared", HERE, WHOLE, nothing)
    assert written(manifest.root / f"{name}-shared") == alone


def slowly(chunk: tuple[int, ...]) -> list[int]:
    time.sleep(0.2)
    return list(chunk)


def lost(task: int) -> int:
    return -1 - task


def test_a_cluster_that_has_lost_all_its_workers_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.spread.spread._LOOK", 0.1)
    distributed.protocol.pickle.cloudpickle.register_pickle_by_value(__import__("sys").modules[__name__])
    chunks = [(number,) for number in range(40)]
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp://"
    ) as small:
        results = Spread(dask_cluster(small.scheduler_address, 1.0), slowly, 1, lost).results(chunks)
        assert next(results) == [0]
        small.scale(0)
        with pytest.raises(UserError, match="has lost all its workers, and had none for 1 s") as caught:
            list(results)
    assert "--dask-wait" in str(caught.value)


def test_a_cluster_that_is_given_a_worker_in_time_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.spread.spread._LOOK", 0.1)
    distributed.protocol.pickle.cloudpickle.register_pickle_by_value(__import__("sys").modules[__name__])
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp://"
    ) as small:
        results = Spread(dask_cluster(small.scheduler_address, 60.0), slowly, 1, lost).results([(n,) for n in range(8)])
        found = next(results)
        small.scale(0)
        while small.scheduler.workers:
            time.sleep(0.05)
        small.scale(1)
        assert sorted(found + [one for more in results for one in more]) == list(range(8))
