"""What a split is like: pairs of classes counted by hand, distributions of files whose making is known, plots."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.helpers.video_files import decode_all, write_images, write_manifest, write_video
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.look.brightness import brightness
from tinkit.data.look.draw import drawn_rows
from tinkit.data.look.files import Measure, files_seen, keyframe_distances
from tinkit.data.look.labels import most_common_pairs
from tinkit.data.look.plot import Plotted, check_plot, write_plot
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.probe.clip import HowToProbe, probe_clips
from tinkit.data.probe.survey import SCHEMA, read_probes, survey
from tinkit.errors import UsageError, UserError
from tinkit.spread.processes import processes
from tinkit.spread.spread import Spread


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Three files that can be read, one in two rows; one broken, one missing."""
    root = tmp_path_factory.mktemp("stats")
    write_video(root / "wide.mp4", width=100, height=70, g="12")
    write_video(root / "long.mp4", count=60, g="25", seed=1)
    write_video(root / "short.mp4", count=5, g="12", seed=2)
    (root / "broken.mp4").write_bytes((root / "wide.mp4").read_bytes()[:1500])
    names = ("wide", "long", "short", "broken", "absent")
    rows = [(name, f"{name}.mp4", labels) for name, labels in zip(names, ("a;c", "a;c", "b", "a;b", "c"), strict=True)]
    return write_manifest(root, [*rows, ("again", "long.mp4", "a;b;c")])


def probed(manifest: Manifest) -> pa.Table:
    how = HowToProbe(str(manifest.root), manifest.media, manifest.frame_template)
    survey(manifest, how, lambda function: Spread(processes(1), function, 1, partial(_never)))
    return read_probes(manifest)


def _never(path: str) -> None:
    raise AssertionError(path)


def test_pairs_are_counted_and_ordered(manifest: Manifest) -> None:
    assert most_common_pairs(manifest, 9) == [(0, 2, 3), (0, 1, 2), (1, 2, 1)]
    assert most_common_pairs(manifest, 1) == [(0, 2, 3)]


def test_unknown_labels_and_single_labels_have_no_pairs(manifest: Manifest, tmp_path: Path) -> None:
    unknown = manifest.table.set_column(
        manifest.table.schema.get_field_index("labels"), "labels", pa.nulls(6, pa.list_(pa.int32()))
    )
    assert most_common_pairs(replace(manifest, table=unknown), 9) == []
    assert most_common_pairs(manifest.head(0), 9) == []
    single = write_manifest(tmp_path, [("x", "x.mp4", "a"), ("y", "y.mp4", "b")])
    assert most_common_pairs(single, 9) == []


@settings(max_examples=50)
@given(st.lists(st.none() | st.sets(st.integers(0, 2), max_size=3), max_size=30), st.integers(0, 29))
def test_pairs_are_those_of_a_plain_loop(rows: list[set[int] | None], start: int) -> None:
    column = pa.chunked_array([pa.array([None if row is None else sorted(row) for row in rows], pa.list_(pa.int32()))])
    table = pa.table({"labels": column}).slice(start)  # a view with an offset, as `head` and `join` make them
    split = Manifest(
        "x", "1", "train", "multi-label", Path(), "video", "", 1, ("a", "b", "c"), (), table, Path("x.arrow")
    )
    counted = Counter(pair for row in rows[start:] if row for pair in combinations(sorted(row), 2))
    expected = sorted(((*pair, count) for pair, count in counted.items()), key=lambda one: (-one[2], one[:2]))
    assert most_common_pairs(split, 99) == expected


def test_distributions_are_those_of_the_files_that_can_be_read(manifest: Manifest) -> None:
    seen = files_seen(manifest, probed(manifest))
    assert (seen.files, seen.probed, seen.good, seen.with_sound) == (5, 5, 3, 0)
    assert dict(seen.sizes) == {"96x64": 2, "100x70": 1}
    found = {measure.name: sorted(measure.values.tolist()) for measure in seen.measures}
    assert found["frames"] == [5, 40, 60]
    assert found["duration"] == pytest.approx([5 / 30, 40 / 30, 2], abs=0.02)
    assert found["rate"] == [30, 30, 30]
    assert found["width"] == [96, 96, 100]
    names = ("wide", "long", "short")
    assert found["size"] == sorted((manifest.root / f"{name}.mp4").stat().st_size for name in names)
    assert found["keyframe distance"] == [5, 12, 25]


def test_probes_of_other_clips_do_not_count(manifest: Manifest) -> None:
    table = probed(manifest)
    seen = files_seen(manifest.head(1), table)
    assert (seen.files, seen.probed, seen.good) == (1, 1, 1)


def test_nothing_probed_has_no_distributions(tmp_path: Path) -> None:
    split = write_manifest(tmp_path, [("x", "x.mp4", "a")])
    seen = files_seen(split, read_probes(split))
    assert (seen.files, seen.probed, seen.good, seen.sizes, seen.measures) == (1, 0, 0, (), ())


def test_folders_of_images_have_neither_sound_nor_size_nor_keyframes(tmp_path: Path) -> None:
    write_images(tmp_path / "x", 3)
    split = write_manifest(tmp_path, [("x", "x", "a")], media="frames")
    how = HowToProbe(str(tmp_path), "frames", split.frame_template)
    table = pa.Table.from_pylist([vars(probe) for probe in probe_clips(how, ("x",))], schema=SCHEMA)
    seen = files_seen(split, table)
    assert seen.with_sound is None
    assert [measure.name for measure in seen.measures] == ["frames", "width", "height"]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sets(st.integers(1, 40), max_size=6), st.integers(41, 60)), max_size=8))
def test_the_distance_of_keyframes_is_the_longest_of_each_file(files: list[tuple[set[int], int]]) -> None:
    keyframes = [[0, *sorted(later)] if later else [] for later, _ in files]
    table = pa.table(
        {"keyframes": pa.array(keyframes, pa.list_(pa.int32())), "frames": pa.array([n for _, n in files], pa.int32())}
    )
    expected = [max(np.diff([*keys, n])) for keys, (_, n) in zip(keyframes, files, strict=True) if keys]
    assert keyframe_distances(table).tolist() == expected


def test_a_row_has_the_quantiles() -> None:
    row = Measure("x", "s", np.arange(101, dtype=np.float64)[::-1]).row()
    assert row == {"of": "x", "unit": "s", "count": 101, "min": 0, "5%": 5, "median": 50, "95%": 95, "max": 100}


def test_brightness_is_the_luma_of_the_middle_frame(manifest: Manifest) -> None:
    clips: list[int] = []
    measure = brightness(manifest, [0, 3, 1], DecodeSettings(), clips.append)
    truth = [
        np.asarray(Image.fromarray(decode_all(manifest.root / f"{name}.mp4")[middle]).convert("L")).mean()
        for name, middle in (("wide", 20), ("long", 30))
    ]
    assert measure.values.tolist() == pytest.approx(truth, abs=1)
    assert clips == [1, 1, 1]


def test_rows_are_drawn_once_each_and_the_same_for_a_seed(manifest: Manifest) -> None:
    assert drawn_rows(manifest, 99, 0) == list(range(6))
    assert len(set(drawn_rows(manifest, 4, 1))) == 4
    assert drawn_rows(manifest, 4, 1) == drawn_rows(manifest, 4, 1)
    assert drawn_rows(manifest.head(0), 4, 1) == []


def test_a_plot_of_another_kind_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="kind that is not written"):
        check_plot(tmp_path / "x.pdf")


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match="matplotlib is not installed") as caught:
        check_plot(tmp_path / "x.png")
    assert "tinkit[plot]" in str(caught.value)


class TestPlot:
    plotted = Plotted(
        "train of /data/$x$_{",
        np.array([3, 0, 5]),
        np.array([0, 2, 3]),
        [("a$b^ + <c>", 3), ("\u4e2d\u6587 + \u202e" + "x" * 99, 1)],
        [Measure("duration", "s", np.array([1.0, 2.0, 9.0])), Measure("rate", "frames/s", np.array([30.0]))],
    )

    @pytest.fixture(autouse=True)
    def _needs_matplotlib(self) -> None:
        pytest.importorskip("matplotlib")

    def test_svg_has_every_panel_and_names_as_they_are(self, tmp_path: Path) -> None:
        file = tmp_path / "deep" / "x.svg"
        check_plot(file)
        write_plot(file, self.plotted)
        text = file.read_text("utf-8")
        for words in ("train of /data/$x$_{", "clips a class", "labels a clip", "a$b^ + &lt;c&gt;", "duration", "rate"):
            assert words in text
        assert "\\u202e" in text
        write_plot(tmp_path / "y.svg", self.plotted)
        assert (tmp_path / "y.svg").read_text("utf-8") == text
        assert not re.search(r"<script|<image", text)

    def test_png_and_little_to_show(self, tmp_path: Path) -> None:
        write_plot(tmp_path / "x.PNG", self.plotted)
        nothing = replace(self.plotted, label_counts=np.zeros(3, int), labels_a_clip=np.zeros(0, int), pairs=())
        write_plot(tmp_path / "y.png", nothing)
        with Image.open(tmp_path / "x.PNG") as full, Image.open(tmp_path / "y.png") as less:
            assert full.format == less.format == "PNG"
            assert full.height > less.height
        write_plot(tmp_path / "z.png", replace(nothing, measures=()))
