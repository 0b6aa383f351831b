"""Clips seen at a number of frames a second: real files of two rates, folders of images, and what states no rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.video_files import decode_all, write_images, write_manifest, write_video
from tinkit.data.clips.opening import clip_rng, resampling_of
from tinkit.data.clips.testing import TestClips, load_views
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.decode.clip_reader import BrokenClip, ClipFacts, ClipReader
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.sampling.rates import Resampling
from tinkit.errors import UserError

CLIP = ClipConfig(num_segments=4, size=32, crop="centre", flip=False, sampling="dense", fps=10)
VIEWS = ViewConfig(views="3x1", sampling="dense", scale=40, crop=32, fps=10)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures at 30 and at 15 frames a second."""
    folder = tmp_path_factory.mktemp("rates")
    write_video(folder / "fast.mp4", g="1", qp="0")
    write_video(folder / "slow.mp4", g="1", qp="0", times=list(range(0, 80, 2)))
    return folder


def small(frame: np.ndarray) -> np.ndarray:
    """The middle square of 64 pixels of a frame of 96 x 64, at 32 pixels."""
    return np.asarray(Image.fromarray(frame).crop((16, 0, 80, 64)).resize((32, 32), Image.Resampling.BILINEAR))


@pytest.mark.parametrize(("name", "step", "ticks"), [("fast", 3.0, 13), ("slow", 1.5, 26)])
def test_a_training_clip_is_frames_a_tenth_of_a_second_apart(root: Path, name: str, step: float, ticks: int) -> None:
    clips = TrainClips(write_manifest(root, [(name, f"{name}.mp4", "a")]), CLIP, 1)
    truth = decode_all(root / f"{name}.mp4")
    starts = set()
    for epoch in range(20):
        start = int(clip_rng(1, epoch, name).integers(ticks - 4 + 1))
        starts.add(start)
        expected = [small(truth[int((start + i) * step)]) for i in range(4)]
        found = clips[epoch, 0]["frames"].permute(0, 2, 3, 1).numpy()
        assert np.array_equal(found, expected)
    assert len(starts) > 5


def test_views_begin_evenly_spread(root: Path) -> None:
    clips = TestClips(write_manifest(root, [("fast", "fast.mp4", "a")]), CLIP, VIEWS)
    plain = TestClips(clips.manifest, CLIP, VIEWS.model_copy(update={"fps": None, "stride": 1, "num_segments": 40}))
    every = plain[0]["frames"][0]  # all forty frames
    expected = [[3 * (start + i) for i in range(4)] for start in (0, 4, 9)]
    found = clips[0]["frames"]
    assert torch.equal(found, torch.stack([every[indices] for indices in expected]))
    assert torch.equal(load_views(root / "fast.mp4", "video", CLIP, VIEWS, "{:05d}.jpg"), found)


def test_images_need_a_rate_and_take_it_from_the_data_table(root: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "one", 30)
    manifest = write_manifest(tmp_path, [("one", "one", "a")], media="frames")
    for make in (lambda: TrainClips(manifest, CLIP, 1), lambda: TestClips(manifest, CLIP, VIEWS)):
        with pytest.raises(UserError, match="folders of images have none") as caught:
            make()
        assert "data.rate" in str(caught.value.fix)
    by_rate = TestClips(manifest, CLIP, VIEWS, None, DecodeSettings(rate=20.0))[0]["frames"]
    by_stride = VIEWS.model_copy(update={"fps": None, "stride": 2})  # 15 ticks, from 0 to 11; 30 frames, from 0 to 22
    assert torch.equal(by_rate[::2], TestClips(manifest, CLIP, by_stride)[0]["frames"][::2])
    with pytest.raises(BrokenClip, match=r"data\.rate"):
        load_views(tmp_path / "one", "frames", CLIP, VIEWS, "{:05d}.jpg")


class _Stating(ClipReader):
    """A clip whose file states a rate."""

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def facts(self) -> ClipFacts:
        return ClipFacts(self._rate)

    def _decode(self, wanted: list[int]) -> None:  # type: ignore[override]
        raise AssertionError

    def close(self) -> None: ...


def test_a_file_s_own_rate_comes_first() -> None:
    given = DecodeSettings(rate=20.0)
    assert resampling_of(_Stating(25.0), 10, given) == Resampling(25.0, 10)
    assert resampling_of(_Stating(0.0), 10, given) == Resampling(20.0, 10)
    assert resampling_of(_Stating(1e-9), 10, given) == Resampling(20.0, 10)
    assert resampling_of(_Stating(0.0), None, DecodeSettings()) is None
    with pytest.raises(BrokenClip, match="states no frame rate"):
        resampling_of(_Stating(0.0), 10, DecodeSettings())


def test_computed_flow_keeps_the_rate_of_its_clip(root: Path) -> None:
    pytest.importorskip("cv2")
    clip = ClipConfig(modality="flow", num_segments=2, flow_length=1, size=32)
    by_rate = load_views(root / "fast.mp4", "video", clip, VIEWS, "")
    by_stride = load_views(root / "fast.mp4", "video", clip, VIEWS.model_copy(update={"fps": None, "stride": 3}), "")
    assert torch.equal(by_rate[0], by_stride[0])
    assert len(by_rate.unique()) > 1
