"""Every clip opened: what is found, in processes and on a cluster, after a kill, after a change, and in shards."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from tests.helpers.video_files import write_images, write_manifest, write_video
from tinkit.cli.app import app
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.probe.clip import ClipProbe, HowToProbe, probe_clip
from tinkit.data.probe.report import limit_of, report_of
from tinkit.data.probe.survey import probes_file, read_probes, survey
from tinkit.errors import UserError
from tinkit.spread.engine import Share
from tinkit.spread.processes import processes
from tinkit.spread.spread import Spread


def lost(path: str) -> ClipProbe:
    return ClipProbe(path, "unreadable", "its reader crashed")


def by(make: Callable[[], Executor], workers: int = 2) -> Callable[[Any], Spread[str, ClipProbe]]:
    """Spread over the executors that ``make`` makes."""
    return lambda function: Spread(make, function, workers, lost)


HERE = by(lambda: ThreadPoolExecutor(1))


def how(manifest: Manifest) -> HowToProbe:
    return HowToProbe(str(manifest.root), manifest.media, manifest.frame_template)


def write_sound(path: Path) -> None:
    """A file of sound alone."""
    with av.open(str(path), "w") as target:
        stream: Any = target.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            target.mux(packet)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve clips, some of them bad."""
    root = tmp_path_factory.mktemp("films")
    for number in range(6):
        write_video(root / f"good{number}.mp4", count=5 + number, seed=number)
    shutil.copy(root / "good0.mp4", root / "twin.mp4")
    (root / "cut.mp4").write_bytes((root / "good1.mp4").read_bytes()[:300])
    (root / "empty.mp4").touch()
    (root / "text.mp4").write_text("not a film")
    write_sound(root / "sound.mp4")
    return root


NAMES = ("good0", "good1", "good2", "good3", "good4", "good5", "twin", "cut", "empty", "text", "sound", "gone")


@pytest.fixture
def manifest(films: Path, tmp_path: Path) -> Manifest:
    root = tmp_path / "data"
    shutil.copytree(films, root)
    labels = {"twin": "b"}
    return write_manifest(root, [(name, f"{name}.mp4", labels.get(name, "a")) for name in NAMES])


def test_what_a_clip_is(films: Path) -> None:
    here = HowToProbe(str(films), "video", "")
    good = probe_clip(here, "good3.mp4")
    assert (good.status, good.frames, good.width, good.height, good.rate) == ("good", 8, 96, 64, 30.0)
    assert good.keyframes[0] == 0
    assert good.seconds == pytest.approx(8 / 30, abs=0.02)
    assert good.size == (films / "good3.mp4").stat().st_size
    assert not good.sound
    found = {name: probe_clip(here, f"{name}.mp4").status for name in ("cut", "empty", "text", "sound", "gone")}
    assert found == {
        "cut": "unreadable",
        "empty": "empty",
        "text": "unreadable",
        "sound": "no video",
        "gone": "missing",
    }
    assert probe_clip(here, "twin.mp4").digest == probe_clip(here, "good0.mp4").digest != good.digest


def test_folders_of_images_are_counted(tmp_path: Path) -> None:
    write_images(tmp_path / "a", 7, width=50, height=30)
    (tmp_path / "b").mkdir()
    here = HowToProbe(str(tmp_path), "frames", "{:05d}.jpg")
    found = probe_clip(here, "a")
    assert (found.status, found.frames, found.width, found.height) == ("good", 7, 50, 30)
    assert probe_clip(here, "b").status == "no frames"


def test_processes_find_what_one_thread_finds_to_the_byte(manifest: Manifest) -> None:
    survey(manifest, how(manifest), HERE)
    alone = probes_file(manifest.file).read_bytes()
    probes_file(manifest.file).unlink()
    table = survey(manifest, how(manifest), by(processes(2)))
    assert probes_file(manifest.file).read_bytes() == alone
    assert table.column("path").to_pylist() == [f"{name}.mp4" for name in NAMES]


def counted(calls: list[str], chunk: tuple[str, ...], here: HowToProbe) -> list[ClipProbe]:
    calls.extend(chunk)
    return [probe_clip(here, path) for path in chunk]


class Watched:
    """A spread of single clips in this process, which notes them, and stops after some."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.calls: list[str] = []
        self.stop_after = stop_after

    def __call__(self, function: Callable[[tuple[str, ...]], list[ClipProbe]]) -> Watched:
        self.function = function
        return self

    def results(self, chunks: list[tuple[str, ...]]) -> Iterator[list[ClipProbe]]:
        for chunk in chunks:
            for path in chunk:
                if self.stop_after is not None and len(self.calls) >= self.stop_after:
                    raise KeyboardInterrupt
                self.calls.append(path)
                yield self.function((path,))


def test_an_interrupted_survey_goes_on_where_it_was(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.data.probe.survey._CHUNK", 2)
    first = Watched(stop_after=7)
    with pytest.raises(KeyboardInterrupt):
        survey(manifest, how(manifest), first)  # type: ignore[arg-type]
    assert not probes_file(manifest.file).exists()
    second = Watched()
    done: list[int] = []
    survey(manifest, how(manifest), second, on_probed=done.append)  # type: ignore[arg-type]
    assert len(second.calls) <= len(NAMES) - 6  # a block of two was not written yet
    assert sum(done) == len(NAMES)
    assert sorted(path.name for path in manifest.file.parent.glob("*.block-*")) == []


def test_only_what_has_changed_is_opened_again(manifest: Manifest) -> None:
    survey(manifest, how(manifest), HERE)
    again = Watched()
    survey(manifest, how(manifest), again)  # type: ignore[arg-type]
    assert again.calls == []
    write_video(manifest.root / "gone.mp4", count=3)
    write_video(manifest.root / "good2.mp4", count=4)
    (manifest.root / "good5.mp4").unlink()
    table = survey(manifest, how(manifest), again)  # type: ignore[arg-type]
    assert sorted(again.calls) == ["gone.mp4", "good2.mp4", "good5.mp4"]
    status = dict(zip(table.column("path").to_pylist(), table.column("status").to_pylist(), strict=True))
    assert (status["gone.mp4"], status["good5.mp4"]) == ("good", "missing")


def test_damaged_results_are_found_again(manifest: Manifest) -> None:
    survey(manifest, how(manifest), HERE)
    file = probes_file(manifest.file)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    again = Watched()
    survey(manifest, how(manifest), again)  # type: ignore[arg-type]
    assert len(again.calls) == len(NAMES)


def test_shards_are_joined_and_what_none_has_probed_is(manifest: Manifest) -> None:
    survey(manifest, how(manifest), HERE)
    whole = probes_file(manifest.file).read_bytes()
    probes_file(manifest.file).unlink()
    for part in (3, 1):
        survey(manifest, how(manifest), HERE, Share(part, 3))
    assert len(read_probes(manifest)) == 8
    rest = Watched()
    survey(manifest, how(manifest), rest)  # type: ignore[arg-type]
    assert rest.calls == [f"{name}.mp4" for name in NAMES[1::3]]
    assert probes_file(manifest.file).read_bytes() == whole


def dies(deadly: str, here: HowToProbe, chunk: tuple[str, ...]) -> list[ClipProbe]:
    """Probe, but be killed by one clip."""
    if deadly in chunk:
        os.kill(os.getpid(), signal.SIGKILL)
    return [probe_clip(here, path) for path in chunk]


def dies_once(mark: str, here: HowToProbe, chunk: tuple[str, ...]) -> list[ClipProbe]:
    """Probe, but the first process that comes here is killed."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return [probe_clip(here, path) for path in chunk]
    os.kill(os.getpid(), signal.SIGKILL)
    return []


@pytest.mark.slow
def test_a_killed_process_loses_nothing_and_the_clip_that_kills_is_named(manifest: Manifest, tmp_path: Path) -> None:
    chunks = [tuple(f"{name}.mp4" for name in NAMES[at : at + 4]) for at in range(0, 12, 4)]
    here = how(manifest)
    once = Spread(processes(2), partial(dies_once, str(tmp_path / "mark"), here), 2, lost)
    found = {probe.path: probe for results in once.results(chunks) for probe in results}
    assert found == {path: probe_clip(here, path) for chunk in chunks for path in chunk}
    deadly = Spread(processes(2), partial(dies, "good3.mp4", here), 2, lost)
    found = {probe.path: probe for results in deadly.results(chunks) for probe in results}
    assert found["good3.mp4"] == lost("good3.mp4")
    assert [path for path in found if found[path] != probe_clip(here, path)] == ["good3.mp4"]


def test_an_engine_that_cannot_start_is_not_blamed_on_the_clips(manifest: Manifest) -> None:
    class Broken(ProcessPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            from concurrent.futures.process import BrokenProcessPool

            raise BrokenProcessPool("no process")

    with pytest.raises(UserError, match="no process could be started"):
        survey(manifest, how(manifest), by(lambda: Broken(1)))
    assert len(read_probes(manifest)) == 0


def test_the_report_says_what_is_wrong_and_where(manifest: Manifest) -> None:
    report = report_of(manifest, survey(manifest, how(manifest), HERE))
    assert {word: count for word, count in report.counts.items() if count} == {
        "good": 7,
        "missing": 1,
        "empty": 1,
        "no video": 1,
        "unreadable": 2,
        "without sound": 7,
        "duplicate by content": 1,
    }
    assert report.bad == 5
    assert report.duplicates == (("good0.mp4", "twin.mp4"),)
    assert report.conflicting == 1
    assert report.examples["no video"] == "sound.mp4"


@pytest.mark.parametrize(("text", "clips", "most"), [("0", 9, 0), ("12", 9, 12), ("0.5%", 1000, 5), ("100%", 3, 3)])
def test_limits(text: str, clips: int, most: int) -> None:
    assert limit_of(text, clips) == most


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "-2%", "nan%", "101%"])
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a|could not convert"):
        limit_of(text, 100)


def test_the_command_reports_and_judges(manifest: Manifest, tmp_path: Path) -> None:
    root = str(manifest.root)
    words = ["data", "prepare", "table", "--data", root, "--split", "train", "--workers", "1"]
    report = tmp_path / "clips.csv"
    refused = CliRunner().invoke(app, [*words, "--report", str(report)])
    assert isinstance(refused.exception, UserError)
    assert "clips are missing" in str(refused.exception)
    rows = {row["path"]: row for row in csv.DictReader(report.open())}
    assert len(rows) == len(NAMES)
    assert (rows["cut.mp4"]["status"], rows["good1.mp4"]["frames"]) == ("unreadable", "6")
    refused = CliRunner().invoke(app, [*words, "--max-bad", "4"])
    assert "5 of 12 clips cannot be read" in str(refused.exception)
    assert "at most 4" in str(refused.exception)
    passed = CliRunner().invoke(app, [*words, "--max-bad", "50%", "--json"])
    assert passed.exit_code == 0, passed.output
    assert json.loads(passed.stdout)[0]["unreadable"] == 2
    said = [CliRunner().invoke(app, [*words, "--max-bad", "50%", "--no-probe", *more]) for more in ([], ["-q"])]
    assert ["looked for every" in one.stderr for one in said] == [True, False]
    assert said[0].stdout == said[1].stdout != ""
    for odd in (["--max-bad", "few"], ["--shard", "4/3"], ["--shard", "0/3"], ["--no-probe", "--dask", "tcp://x:1"]):
        assert CliRunner().invoke(app, [*words, *odd]).exception.exit_code == 2  # type: ignore[union-attr]
    part = CliRunner().invoke(app, [*words, "--shard", "2/3"])
    assert isinstance(part.exception, UserError)  # a file is missing: that is known without opening any


def test_a_table_of_other_columns_is_not_taken_for_probes(manifest: Manifest) -> None:
    from tinkit.files.arrow import sealed_writer

    other = pa.table({"path": ["good0.mp4"]})
    with sealed_writer(probes_file(manifest.file), other.schema) as writer:
        writer.write_table(other)
    assert len(read_probes(manifest)) == 0
