"""Probing on a dask cluster: two workers, one of which is killed, find what this machine finds, to the byte."""

from __future__ import annotations

import os
import pickle
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.helpers.video_files import write_manifest, write_video
from tinkit.cli.app import app
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.packing.pack import pack_split
from tinkit.data.packing.place import PackTo
from tinkit.data.packing.sources import SourceFiles
from tinkit.data.probe.clip import ClipProbe, HowToProbe, probe_clip, probe_clips
from tinkit.data.probe.survey import probes_file, survey
from tinkit.errors import UserError
from tinkit.spread.cluster import dask_cluster
from tinkit.spread.engine import Engine
from tinkit.spread.processes import processes
from tinkit.spread.spread import Spread

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

NAMES = [f"clip{number:02d}" for number in range(24)]


def lost(path: str) -> ClipProbe:
    return ClipProbe(path, "unreadable", "its reader crashed")


def how(manifest: Manifest) -> HowToProbe:
    return HowToProbe(str(manifest.root), manifest.media, manifest.frame_template)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp("films")
    for number, name in enumerate(NAMES[:-2]):
        write_video(root / f"{name}.mp4", count=3 + number % 5, seed=number)
    (root / f"{NAMES[-2]}.mp4").write_text("not a film")
    return write_manifest(root, [(name, f"{name}.mp4", "a") for name in NAMES])


@pytest.fixture
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as found:
        yield found


def pids(cluster: Any) -> set[int]:
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        return set(client.run(os.getpid).values())


def test_a_killed_worker_changes_no_byte(manifest: Manifest, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.data.probe.survey._CHUNK", 1)
    survey(manifest, how(manifest), lambda function: Spread(processes(1), function, 1, lost))
    alone = probes_file(manifest.file).read_bytes()
    probes_file(manifest.file).unlink()
    before = pids(cluster)
    killed: list[int] = []

    def kill_one(count: int) -> None:
        if count and not killed:
            killed.append(min(before))
            os.kill(killed[0], signal.SIGKILL)

    made = dask_cluster(cluster.scheduler_address)
    survey(manifest, how(manifest), lambda function: Spread(made, function, 1, lost), on_probed=kill_one)
    assert killed
    assert killed[0] not in pids(cluster)
    assert probes_file(manifest.file).read_bytes() == alone


def test_frames_are_packed_on_the_cluster_to_the_same_bytes(manifest: Manifest, cluster: Any) -> None:
    files = SourceFiles(str(manifest.root), manifest.media, manifest.frame_template, DecodeSettings())
    here, there = (PackTo(manifest.root / name, "train", 60_000) for name in ("here", "there"))
    pack_split(manifest, files, here, Engine(0))
    before = min(pids(cluster))
    killed: list[int] = []

    def kill_one(count: int) -> None:
        if count and not killed:
            killed.append(before)
            os.kill(before, signal.SIGKILL)

    pack_split(manifest, files, there, Engine(dask=cluster.scheduler_address), on_clips=kill_one)
    assert killed
    assert {file.name: file.read_bytes() for file in here.folder.glob("train*")} == {
        file.name: file.read_bytes() for file in there.folder.glob("train*")
    }


def dies(deadly: str, here: HowToProbe, chunk: tuple[str, ...]) -> list[ClipProbe]:
    """Probe, but be killed by one clip."""
    if deadly in chunk:
        os.kill(os.getpid(), signal.SIGKILL)
    return [probe_clip(here, path) for path in chunk]


def test_a_clip_that_kills_every_worker_is_named_and_the_others_are_probed(manifest: Manifest, cluster: Any) -> None:
    # From a test's module, functions travel by value.
    distributed.protocol.pickle.cloudpickle.register_pickle_by_value(__import__("sys").modules[__name__])
    chunks = [tuple(f"{name}.mp4" for name in NAMES[at : at + 3]) for at in range(0, 9, 3)]
    deadly = partial(dies, f"{NAMES[4]}.mp4", how(manifest))
    spread = Spread(dask_cluster(cluster.scheduler_address), deadly, 1, lost)
    found = {probe.path: probe for results in spread.results(chunks) for probe in results}
    wanted = {path: probe_clip(how(manifest), path) for chunk in chunks for path in chunk}
    assert found == wanted | {f"{NAMES[4]}.mp4": lost(f"{NAMES[4]}.mp4")}


def test_the_command_probes_on_the_cluster(manifest: Manifest, cluster: Any) -> None:
    probes_file(manifest.file).unlink(missing_ok=True)
    words = ["data", "prepare", "table", "--data", str(manifest.root), "--split", "train", "--max-bad", "2"]
    done = CliRunner().invoke(app, [*words, "--dask", cluster.scheduler_address])
    assert done.exit_code == 0, done.output
    assert probes_file(manifest.file).exists()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{port}", "no scheme at all", "nonsense://host:1", "tcp://"])
def test_an_address_where_nothing_answers(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.spread.cluster._ANSWER", 2.0)
    with pytest.raises(UserError, match="no dask scheduler answers at") as caught:
        dask_cluster(address.format(port=free_port()))()
    assert "dask scheduler" in str(caught.value)


def test_a_cluster_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.spread.cluster._WORKERS", 1.0)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as empty,
        pytest.raises(UserError, match="has no worker"),
    ):
        dask_cluster(empty.scheduler_address)()


def test_a_machine_that_does_not_see_the_folder_is_an_error_and_not_a_missing_clip(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there on") as caught:
        probe_clips(HowToProbe(str(tmp_path / "elsewhere"), "video", ""), ("a.mp4",))
    back = pickle.loads(pickle.dumps(caught.value))
    assert str(back) == str(caught.value)
