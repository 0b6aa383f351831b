"""Optical flow as it lies on disk, in the three layouts, against the images that were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from tests.helpers.flow_folders import files_of, flow_pairs, write_flow
from tests.helpers.video_files import write_manifest
from tinkit.data.config.dataset import DataConfig, FlowLayout
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.flow.folders import FlowFiles, FlowFolder
from tinkit.errors import UserError

LAYOUTS: tuple[FlowLayout, ...] = ("flow_x", "x_suffix", "packed")


def open_folder(folder: Path, layout: FlowLayout, start: int = 0, frames: int | None = None) -> FlowFolder:
    return FlowFolder(folder, files_of(layout).templates(folder), start, frames)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_is_read_as_it_was_written(tmp_path: Path, layout: FlowLayout, first: int) -> None:
    pairs = flow_pairs(7)
    folder = write_flow(tmp_path / "000123", pairs, layout, first)
    with open_folder(folder, layout) as reader:
        assert reader.num_frames == 7
        found = reader.read([3, 0, 6, 3])
    assert [frame.shape for frame in found] == [(40, 60, 2)] * 4
    for frame, index in zip(found, (3, 0, 6, 3), strict=True):
        assert np.array_equal(frame, pairs[index])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_window_of_a_folder(tmp_path: Path, layout: FlowLayout) -> None:
    pairs = flow_pairs(7)
    folder = write_flow(tmp_path / "9", pairs, layout)
    with open_folder(folder, layout, start=2, frames=4) as reader:  # frames 2 to 5, of eight
        assert reader.num_frames == 3
        assert np.array_equal(reader.read([2])[0], pairs[4])
    with open_folder(folder, layout, start=6, frames=9) as reader:
        assert reader.num_frames == 1
    with open_folder(folder, layout, start=2, frames=1) as reader:  # nothing moves in one frame
        assert reader.num_frames == 0


def test_grey_jpegs_are_read_as_pillow_reads_them(tmp_path: Path) -> None:
    """TSN's way: each image as grey levels, whether it was written as grey or as colours."""
    pair = flow_pairs(1)[0]
    Image.fromarray(pair[..., 0]).save(tmp_path / "flow_x_00001.jpg", quality=90)
    Image.fromarray(pair[..., 1]).convert("RGB").save(tmp_path / "flow_y_00001.jpg", quality=90)
    with open_folder(tmp_path, "flow_x") as reader:
        found = reader.read([0])[0]
    for axis, letter in enumerate("xy"):
        truth = np.asarray(Image.open(tmp_path / f"flow_{letter}_00001.jpg").convert("L"))
        assert np.abs(found[..., axis].astype(int) - truth).max() <= 1


def test_flow_may_lie_among_the_frames(tmp_path: Path) -> None:
    """UCF101 as TSN has it: img_00001.jpg beside flow_x_00001.jpg, one frame more than pairs."""
    write_flow(tmp_path / "v", flow_pairs(4), "flow_x")
    for number in range(1, 6):
        Image.new("RGB", (60, 40)).save(tmp_path / "v" / f"img_{number:05d}.jpg")
    assert open_folder(tmp_path / "v", "flow_x").num_frames == 4


def test_where_a_clip_s_flow_lies(tmp_path: Path) -> None:
    mmit = FlowFiles.of(DataConfig(dataset="mmit"))
    assert mmit.clip_folder(tmp_path, "videos/a+b/yt-1.2_3.mp4") == tmp_path / "flow/a+b/yt-1.2_3"
    v1 = FlowFiles.of(DataConfig(dataset="sthv1", flow_layout="x_suffix", flow_folder="v1-flow"))
    folder = v1.clip_folder(tmp_path, "20bn-something-something-v1/123")
    assert folder == tmp_path / "v1-flow/000123"
    assert v1.templates(folder) == ("000123-x_{:05d}.jpg", "000123-y_{:05d}.jpg")
    v2 = FlowFiles.of(DataConfig(dataset="sthv2", flow_layout="packed"))
    assert v2.templates(tmp_path / "flow/7") == ("{:06d}.jpg",)
    frames = FlowFiles.of(DataConfig(dataset="list", flow_folder=""))
    assert frames.clip_folder(tmp_path, "Class/v_1.x") == tmp_path / "Class/v_1.x"
    braces = FlowFiles("flow", "x_suffix", "frames", "", "{:05d}.jpg")
    with pytest.raises(BrokenClip, match="brace"):
        braces.templates(Path("a{b}"))


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    folder = write_flow(tmp_path / "a", flow_pairs(4), "flow_x")
    (folder / "flow_y_00004.jpg").unlink()
    with pytest.raises(BrokenClip, match="4 images of flow in x, 3 in y"):
        open_folder(folder, "flow_x")
    (folder / "flow_x_00002.jpg").unlink()
    with pytest.raises(BrokenClip, match=r"flow_x_00002\.jpg is missing"):
        open_folder(folder, "flow_x")
    with pytest.raises(BrokenClip, match="no such folder"):
        open_folder(tmp_path / "none", "flow_x")
    with pytest.raises(BrokenClip, match="no image is named like"):
        open_folder(folder, "packed")
    folder = write_flow(tmp_path / "b", flow_pairs(2), "flow_x")
    Image.new("L", (30, 20)).save(folder / "flow_y_00002.jpg")
    (folder / "flow_x_00001.jpg").write_bytes(b"no image")
    with open_folder(folder, "flow_x") as reader:
        with pytest.raises(BrokenClip, match="differ in size"):
            reader.read([1])
        with pytest.raises(BrokenClip, match=r"flow_x_00001\.jpg: "):
            reader.read([0])


def test_a_split_without_flow_is_said_beforehand(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, [("a", "a.mp4", "a"), ("b", "b.mp4", "b")])
    with pytest.raises(UserError, match="tinkit data flow"):
        files_of().require(manifest)
    (tmp_path / "flow/b").mkdir(parents=True)
    files_of().require(manifest)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValidationError, match="flow_folder lies below the root"):
        DataConfig(dataset="mmit", flow_folder="../flow")
    with pytest.raises(ValidationError, match="flow_x"):
        DataConfig.model_validate({"dataset": "mmit", "flow_layout": "flow"})
    with pytest.raises(UserError, match="frame_template"):
        FlowFiles("flow", "packed", "video", "", "frame.jpg")
