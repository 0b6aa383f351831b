"""Synthetic challenges on disk: official files, real media, hidden answers; interrupted, repeated, refused."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tinkit.cli.app import app
from tinkit.data.config.dataset import DataConfig
from tinkit.data.manifest.manifest import open_manifest
from tinkit.data.synth import SynthResult, SynthSpec, order_classes_path, synthesise
from tinkit.data.synth import build as building
from tinkit.data.synth.actions import MOTIONS
from tinkit.data.synth.clips import draw_clip
from tinkit.data.synth.imitations import IMITATIONS
from tinkit.data.synth.render import digit_images, digit_targets, render
from tinkit.data.synth.scenes import digit_pools
from tinkit.errors import UsageError, UserError

LAYOUTS = ("mmit", "sthv1", "sthv2")
SMALL = {"clips": 6, "val": 4, "test": 4, "size": 48, "frames": 9}


def spec(layout: str, **keys: int) -> SynthSpec:
    return SynthSpec(layout, **{**SMALL, **keys})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SynthResult]:
    folder = tmp_path_factory.mktemp("synth")
    return {layout: synthesise(spec(layout), folder / layout, workers=0) for layout in LAYOUTS}


def decoded(path: Path) -> np.ndarray:
    if path.is_dir():
        return np.stack([np.asarray(Image.open(image)) for image in sorted(path.iterdir())])
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_reads_as_the_official_set(sets: dict[str, SynthResult], layout: str) -> None:
    config = DataConfig(dataset=layout, root=sets[layout].root)
    names = IMITATIONS[layout].class_names(MOTIONS)  # type: ignore[index]
    for split, count in (("train", 6), ("val", 4), ("test", 4)):
        manifest = open_manifest(config, split)
        assert len(manifest) == count
        assert set(manifest.classes) == set(names)
        assert manifest.labelled == (split != "test")
        manifest.require_media()
        pool = digit_pools(0, 1797)[split]  # type: ignore[index]
        for number in range(count):
            row = manifest.row(number)
            clip = draw_clip(spec(layout), split, number, pool, digit_targets())  # type: ignore[arg-type]
            assert row.id == clip.id
            if row.labels is not None:
                assert {manifest.classes[label] for label in row.labels} == {names[label] for label in clip.labels}
            frames = decoded(manifest.root / row.path)
            assert frames.shape == (9, 48, 60, 3)
            error = np.abs(frames.astype(float) - render(clip.scene, digit_images())).mean()
            assert error < 12  # of 255: what the codec loses


def test_the_official_files(sets: dict[str, SynthResult]) -> None:
    mmit = sets["mmit"].root
    assert (mmit / "annotations/moments_categories.txt").read_text().splitlines()[2] == "rising,2"
    assert "," not in (mmit / "annotations/testSet.csv").read_text()
    for line in (mmit / "annotations/trainingSet.csv").read_text().splitlines():
        path, *labels = line.split(",")
        assert (mmit / "videos" / path).is_file()
        assert 1 <= len(labels) <= 3
        assert path.count("/") == 1
    v1 = sets["sthv1"].root
    for line in (v1 / "something-something-v1-validation.csv").read_text().splitlines():
        clip, label = line.split(";")
        assert label in IMITATIONS["sthv1"].class_names(MOTIONS)
        assert (v1 / "20bn-something-something-v1" / clip / "00009.jpg").is_file()
    assert ";" not in (v1 / "something-something-v1-test.csv").read_text()
    v2 = sets["sthv2"].root
    labels = json.loads((v2 / "something-something-v2-labels.json").read_text())
    for entry in json.loads((v2 / "something-something-v2-train.json").read_text()):
        assert labels[entry["template"].replace("[", "").replace("]", "")].isdigit()
        assert entry["template"].replace("[something]", entry["placeholders"][0]) == entry["label"]
    assert {tuple(entry) for entry in json.loads((v2 / "something-something-v2-test.json").read_text())} == {("id",)}


def test_the_codecs_are_the_official_ones(sets: dict[str, SynthResult]) -> None:
    for layout, pattern, codecs in (("mmit", "*.mp4", {"h264", "mpeg4"}), ("sthv2", "*.webm", {"vp9"})):
        for path in sets[layout].root.rglob(pattern):
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                assert stream.codec_context.name.replace("libvpx-", "") in codecs
                assert stream.average_rate == Fraction(12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_answers_lie_outside_and_are_the_test_splits(sets: dict[str, SynthResult], layout: str) -> None:
    result = sets[layout]
    assert result.answers == result.root.parent / f"{layout}-answers/test.csv"
    with result.answers.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "labels"]
    manifest = open_manifest(DataConfig(dataset=layout, root=result.root), "test")
    assert [row[0] for row in rows] == manifest.ids
    pool = digit_pools(0, 1797)["test"]
    names = IMITATIONS[layout].class_names(MOTIONS)  # type: ignore[index]
    for number, (_, labels) in enumerate(rows):
        clip = draw_clip(spec(layout), "test", number, pool, digit_targets())
        assert {manifest.classes[int(label)] for label in labels.split()} == {names[label] for label in clip.labels}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_classes_that_need_the_order_of_time_are_listed(sets: dict[str, SynthResult], layout: str) -> None:
    text = order_classes_path(sets[layout].root, layout).read_text()  # type: ignore[arg-type]
    assert tuple(text.splitlines()) == IMITATIONS[layout].order_class_names(MOTIONS)  # type: ignore[index]


def test_workers_change_nothing(sets: dict[str, SynthResult], tmp_path: Path) -> None:
    heard: list[int] = []
    result = synthesise(spec("mmit"), tmp_path / "again", workers=2, on_clips=heard.append)
    assert sum(heard) == result.made == 14
    assert contents(result.root) == {
        name: data for name, data in contents(sets["mmit"].root).items() if not name.startswith(".tinkit/")
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_interrupted_set_is_completed(
    sets: dict[str, SynthResult], layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = 0

    def render_seven(*args: object) -> np.ndarray:
        nonlocal rendered
        rendered += 1
        if rendered > 7:
            raise KeyboardInterrupt
        return render(*args)  # type: ignore[arg-type]

    root = tmp_path / layout
    with monkeypatch.context() as patch:
        patch.setattr(building, "render", render_seven)
        with pytest.raises(KeyboardInterrupt):
            synthesise(spec(layout), root, workers=0)
    with pytest.raises(UserError, match="looked for"):
        open_manifest(DataConfig(dataset=layout, root=root), "train")
    # What a kill in the middle of a file leaves
    litter = next(path for path in root.rglob("*") if path.is_dir()) / ".x.0badf00d.tmp.mp4"
    litter.write_bytes(b"half")
    result = synthesise(spec(layout), root, workers=0)
    assert (result.made, result.found) == (7, 7)
    assert contents(root) == {
        name: data for name, data in contents(sets[layout].root).items() if not name.startswith(".tinkit/")
    }


def test_a_complete_set_is_left_alone(tmp_path: Path) -> None:
    synthesise(spec("sthv1"), tmp_path / "set", workers=0)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*.jpg")}
    result = synthesise(spec("sthv1"), tmp_path / "set", workers=0)
    assert (result.made, result.found) == (0, 14)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*.jpg")} == before


class TestRefusals:
    def refused(self, root: Path, **keys: int) -> str:
        before = contents(root.parent)
        with pytest.raises(UserError) as caught:
            synthesise(spec("sthv1", **keys), root, workers=0)
        assert contents(root.parent) == before
        return str(caught.value)

    def test_a_set_of_another_seed(self, tmp_path: Path) -> None:
        synthesise(spec("sthv1"), tmp_path / "set", workers=0)
        assert "the answers of another challenge" in self.refused(tmp_path / "set", seed=1)
        (tmp_path / "set-answers/test.csv").unlink()
        message = self.refused(tmp_path / "set", seed=1)
        assert "holds another synthetic challenge: seed 0, not 1" in message

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "set").mkdir()
        (tmp_path / "set/thesis.txt").write_text("all of it")
        assert "`tinkit synth` did not create it" in self.refused(tmp_path / "set")

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "set").write_text("all of it")
        assert "exists already" in self.refused(tmp_path / "set")

    def test_a_state_that_cannot_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "set").mkdir()
        (tmp_path / "set/.tinkit-synth.json").write_text("[")
        assert "holds another synthetic challenge" in self.refused(tmp_path / "set")

    def test_anothers_answers(self, tmp_path: Path) -> None:
        (tmp_path / "set-answers").mkdir()
        (tmp_path / "set-answers/test.csv").write_text("id,labels\n1,2\n")
        assert "the answers of another challenge" in self.refused(tmp_path / "set")

    @pytest.mark.parametrize("keys", [{"clips": 0}, {"test": 0}, {"size": 31}, {"size": 33}, {"frames": 3}])
    def test_numbers_that_make_no_set(self, keys: dict[str, int]) -> None:
        with pytest.raises(UsageError):
            spec("mmit", **keys)


def test_the_command(tmp_path: Path) -> None:
    words = ["synth", "mmit", str(tmp_path / "a"), "--clips", "3", "--val", "2", "--test", "2", "--size", "32"]
    result = CliRunner().invoke(app, [*words, "--frames", "8", "--workers", "0", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["made"] == 7
    again = CliRunner().invoke(app, [*words, "--frames", "8", "--workers", "0"])
    assert "(7 existed already)" in again.stdout
    other = CliRunner().invoke(app, [*words, "--frames", "9", "--workers", "0"])
    assert isinstance(other.exception, UserError)
