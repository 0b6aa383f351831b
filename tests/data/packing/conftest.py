"""Six films, one file that is none, and one that is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers.packed_clips import IDS
from tests.helpers.video_files import write_manifest, write_video
from tinkit.data.manifest.manifest import Manifest


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("films")
    for number in range(len(IDS)):
        write_video(root / f"{number}.mp4", count=4 + number, seed=number)
    (root / "broken.mp4").write_text("not a film")
    return root


@pytest.fixture
def manifest(films: Path, tmp_path: Path) -> Manifest:
    root = tmp_path / "data"
    shutil.copytree(films, root)
    rows = [(clip_id, f"{number}.mp4", "a") for number, clip_id in enumerate(IDS)]
    return write_manifest(root, [*rows, ("broken", "broken.mp4", "a"), ("gone", "gone.mp4", "b")])
