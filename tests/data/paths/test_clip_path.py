"""Paths of a manifest that was changed after its annotation had been checked: nothing outside the root is touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tests.helpers.video_files import write_manifest, write_video
from tinkit.data.clips.testing import TestClips as Clips
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.flow.computed import FlowSettings
from tinkit.data.flow.folders import FlowFiles
from tinkit.data.flow.make import make_flow
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.paths.clip_path import clip_path
from tinkit.data.probe.presence import count_present, decode_one
from tinkit.errors import UserError
from tinkit.spread.engine import Engine

OUTSIDE = ["../out.mp4", "a/../../out.mp4", "/etc/passwd", "a\0b", "..\\out.mp4", "C:\\out.mp4", "..", "", "a\nb"]


def changed(root: Path, path: str) -> Manifest:
    """A manifest whose only row has ``path``, as a hand or a fault may have written it."""
    root.mkdir(exist_ok=True)
    manifest = write_manifest(root, [("1", "a.mp4", "a")])
    column = manifest.table.schema.get_field_index("path")
    return replace(manifest, table=manifest.table.set_column(column, "path", pa.array([path])))


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_outside_is_read_or_written(tmp_path: Path, path: str) -> None:
    root = tmp_path / "set"
    manifest = changed(root, path)
    write_video(tmp_path / "out.mp4", count=3)
    before = sorted(tmp_path.rglob("*"))
    files = FlowFiles(layout="flow_x", folder="flow", media="video", media_folder="", frame_template="{:05d}.jpg")
    views = ViewConfig()
    for use in (
        lambda: clip_path(root, path),
        lambda: files.clip_folder(root, path),
        manifest.require_media,
        lambda: count_present(manifest),
        lambda: decode_one(manifest),
        lambda: make_flow([manifest], files, FlowSettings(), engine=Engine(0)),
        lambda: Clips(manifest, ClipConfig(), views)[0],
    ):
        with pytest.raises(UserError, match="is not below"):
            use()
    assert sorted(tmp_path.rglob("*")) == before


def test_what_stays_below_is_joined(tmp_path: Path) -> None:
    for path in ("a.mp4", "a/b c/..d.mp4", "a/...", "~/x", "-x.mp4"):
        assert clip_path(tmp_path, path) == tmp_path / path


def test_links_of_the_user_are_followed(tmp_path: Path) -> None:
    """Media on other disks are linked into the data set's folder."""
    (tmp_path / "disk").mkdir()
    write_video(tmp_path / "disk/a.mp4", count=3)
    (tmp_path / "set").mkdir()
    (tmp_path / "set/videos").symlink_to(tmp_path / "disk")
    manifest = write_manifest(tmp_path / "set", [("1", "videos/a.mp4", "a")])
    decode_one(manifest)
    assert count_present(manifest).lacking == 0
