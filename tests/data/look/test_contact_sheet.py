"""Contact sheets: what is drawn is what the data sets give; faults are marked; nothing is fetched."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.flow_folders import files_of, flow_pairs, write_flow
from tests.helpers.video_files import write_manifest, write_video
from tinkit.data.clips.testing import TestClips
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.look.clips import About, ShownClip, as_tested, as_trained, view_captions
from tinkit.data.look.page import html_page
from tinkit.data.look.pictures import pictures
from tinkit.data.look.sheet import png_sheet
from tinkit.data.manifest.manifest import Manifest
from tinkit.errors import UsageError, UserError

CLIP = ClipConfig(num_segments=4, size=32)
ABOUT = About("a <title>", "facts & more", clips=9, strips=6, frames=4, side=32)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp("look")
    write_video(root / "good.mp4", width=100, height=70)
    (root / "broken.mp4").write_bytes((root / "good.mp4").read_bytes()[:1500])
    rows = [("good", "good.mp4", "a;c"), ('<b>"bad"</b>\u202e', "broken.mp4", "b"), ("absent", "absent.mp4", "a")]
    return write_manifest(root, rows)


class Elements(HTMLParser):
    """The elements of a page as (tag, attributes), and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_training_frames_are_those_of_the_epoch_and_mirroring_is_said(manifest: Manifest) -> None:
    clips = TrainClips(manifest, CLIP, seed=3)
    unflipped = TrainClips(manifest, CLIP.model_copy(update={"flip": False}), seed=3)
    seen = set()
    for epoch in range(12):
        (shown,) = as_trained(clips, [0], epoch, 112)
        (strip,) = shown.strips
        given, plain = (one[epoch, 0]["frames"].numpy().transpose(0, 2, 3, 1) for one in (clips, unflipped))
        np.testing.assert_array_equal(strip.frames, given)
        np.testing.assert_array_equal(strip.frames[:, :, ::-1] if strip.mirrored else strip.frames, plain)
        assert (strip.caption, shown.labels, shown.fault) == (f"epoch {epoch + 1}", ("a", "c"), "")
        seen.add(strip.mirrored)
    assert seen == {True, False}


def test_a_mirrored_clip_has_the_labels_that_it_is_trained_with(manifest: Manifest) -> None:
    clips = TrainClips(manifest, CLIP.model_copy(update={"flip_labels": ((0, 1),)}), seed=3)
    labels = {shown.strips[0].mirrored: shown.labels for e in range(12) for shown in as_trained(clips, [0], e, 32)}
    assert labels == {False: ("a", "c"), True: ("b", "c")}


def test_every_view_of_a_test_is_shown_and_named(manifest: Manifest) -> None:
    views = ViewConfig(views="2x3", scale=40, crop=32, flip=True)
    clips = TestClips(manifest, CLIP, views)
    (shown,) = as_tested(clips, [0], 112)
    frames = clips[0]["frames"].numpy().transpose(0, 1, 3, 4, 2)
    assert len(shown.strips) == 12
    for strip, view in zip(shown.strips, frames, strict=True):
        np.testing.assert_array_equal(strip.frames, view)
    named = {strip.caption + str(strip.mirrored): strip.frames for strip in shown.strips}
    for sample in (1, 2):
        for crop in (1, 2, 3):
            name = f"sample {sample} of 2, crop {crop} of 3"
            np.testing.assert_array_equal(named[f"{name}True"], named[f"{name}False"][:, :, ::-1])
    wide = [named[f"sample 1 of 2, crop {crop} of 3False"][0] for crop in (1, 2)]  # 57 wide: 0, and 4 steps of 6
    np.testing.assert_array_equal(wide[0][:, 24:], wide[1][:, :8])


def test_ten_crops_are_five_and_their_mirror_images() -> None:
    captions = view_captions(ViewConfig(views="2x10", scale=40, crop=32))
    assert [mirrored for _, mirrored in captions] == ([False] * 5 + [True] * 5) * 2
    assert len({caption for caption, _ in captions}) == 20


def test_what_cannot_be_read_keeps_its_place_with_the_reason(manifest: Manifest) -> None:
    shown = list(as_trained(TrainClips(manifest, CLIP, 0), range(3), 0, 32))
    assert [clip.row for clip in shown] == [0, 1, 2]
    assert [len(clip.strips) for clip in shown] == [1, 0, 0]
    assert shown[1].fault.startswith("broken: ")
    assert "no such file" in shown[2].fault
    assert shown[2].labels == ("a",)


def test_clips_that_training_leaves_out_are_not_called_broken(manifest: Manifest) -> None:
    unlabelled = write_manifest(manifest.root, [("x", "good.mp4", "")], "test")
    (shown,) = as_trained(TrainClips(unlabelled, CLIP, 0), [0], 0, 32)
    assert (shown.fault, shown.labels) == ("left out: no label", None)
    short = write_manifest(manifest.root, [("x", "good.mp4", "a")], "val", min_frames="41")
    assert next(as_trained(TrainClips(short, CLIP, 0), [0], 0, 32)).fault.startswith("left out: 40 frames")
    assert not next(as_tested(TestClips(short, CLIP, ViewConfig(scale=40, crop=32)), [0], 32)).fault


def test_a_thumbnail_is_smaller_and_never_larger_than_the_frame() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 60), np.uint8)
    assert pictures(frames, "rgb", 30).shape == (2, 20, 30, 3)
    np.testing.assert_array_equal(pictures(frames, "rgb", 500), frames.transpose(0, 2, 3, 1))
    by_pillow = Image.fromarray(frames[1].transpose(1, 2, 0)).resize((30, 20), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(pictures(frames, "rgb", 30)[1], np.asarray(by_pillow))


@pytest.mark.parametrize(
    ("x", "y", "colour"),
    [
        (255, 127, (255, 0, 0)),
        (127, 255, (128, 255, 0)),
        (0, 127, (0, 255, 255)),
        (128, 0, (128, 0, 255)),
        (127, 128, (255, 255, 255)),
    ],
)
def test_flow_has_a_hue_for_each_direction_and_is_white_where_still(x: int, y: int, colour: tuple[int, ...]) -> None:
    stack = np.full((1, 6, 8, 8), 127, np.uint8)
    stack[0, 2], stack[0, 3] = x, y  # the middle one of three pairs
    drawn = pictures(stack, "flow", 8)
    assert np.abs(drawn.astype(int) - colour).max() <= 1


def test_slow_flow_is_pale() -> None:
    stack = np.full((2, 2, 8, 8), 127, np.uint8)
    stack[0, 0], stack[1, 0] = 255, 191
    fast, slow = pictures(stack, "flow", 8)[:, 0, 0]
    assert fast.tolist() == [255, 0, 0]
    assert 100 < slow[1] < 150


def test_the_middle_difference_is_drawn_around_grey() -> None:
    frames = np.zeros((1, 12, 4, 4), np.uint8)  # four frames, three differences
    frames[0, 3:6] = np.array((0, 100, 255))[:, None, None]
    frames[0, 6:9] = np.array((200, 0, 0))[:, None, None]
    red, green, blue = pictures(frames, "rgb_diff", 4)[0, 0, 0].tolist()
    assert (red, green, blue) == (128 + 100, 128 - 50, 0)
    np.testing.assert_array_equal(pictures(np.full((1, 12, 4, 4), 9, np.uint8), "rgb_diff", 4), 128)


def test_a_clip_of_flow_is_drawn(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", count=9)
    write_flow(tmp_path / "flow" / "v", flow_pairs(8), "flow_x")
    manifest = write_manifest(tmp_path, [("v", "v.mp4", "a")])
    clip = ClipConfig(num_segments=3, size=32, modality="flow", flow_length=2)
    (shown,) = as_trained(TrainClips(manifest, clip, 0, files_of()), [0], 0, 20)
    assert shown.strips[0].frames.shape == (3, 20, 20, 3)


def test_the_page_is_one_file_that_needs_no_other(manifest: Manifest, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "page.html"
    shown = list(as_trained(TrainClips(manifest, CLIP, 0), range(3), 0, 32))
    with html_page(file, ABOUT) as add:
        for clip in shown:
            add(clip)
        assert not file.exists()
    page = Elements(file.read_text("utf-8"))
    assert not {"script", "link", "iframe", "b"} & {tag for tag, _ in page.elements}
    assert not re.search(r"https?:|url\(|@import", file.read_text("utf-8"))
    assert "prefers-color-scheme: dark" in page.text
    images = page.of("img")
    assert [image["alt"] for image in images] == [f"good, epoch 1{m}, frame {n} of 4" for n in range(1, 5) for m in [
        ", mirrored" if shown[0].strips[0].mirrored else ""
    ]]  # fmt: skip
    for image, frame in zip(images, shown[0].strips[0].frames, strict=True):
        head, _, data = str(image["src"]).partition(",")
        assert head == "data:image/jpeg;base64"
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)
        assert np.abs(pixels - frame).mean() < 4
    assert [article["class"] for article in page.of("article")] == ["clip", "fault", "fault"]
    assert shown[2].fault in page.text
    assert '<b>"bad"</b>\\u202e' in page.text
    assert "a <title>" in page.text
    assert list(file.parent.iterdir()) == [file]


def test_the_png_holds_the_frames_to_the_pixel(manifest: Manifest, tmp_path: Path) -> None:
    shown = list(as_trained(TrainClips(manifest, CLIP, 0), range(3), 0, 32))
    with png_sheet(tmp_path / "sheet.png", ABOUT) as add:
        for clip in shown:
            add(clip)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    for frame in shown[0].strips[0].frames:
        found = np.lib.stride_tricks.sliding_window_view(sheet, (32, 32, 3))[:, :, 0]
        assert (found[..., 0, 0, :] == frame[0, 0]).all(-1).any()
        places = np.argwhere((found[..., 0, 0, :] == frame[0, 0]).all(-1))
        assert any(np.array_equal(sheet[y : y + 32, x : x + 32], frame) for y, x in places)
    red = (sheet == (176, 0, 32)).all(-1).sum()
    with png_sheet(tmp_path / "one.png", ABOUT) as add:
        add(shown[0])
    one = np.asarray(Image.open(tmp_path / "one.png"))
    assert red > 0
    assert (one == (176, 0, 32)).all(-1).sum() == 0
    assert one.shape[0] < sheet.shape[0]


def test_long_texts_of_any_script_fit_the_sheet(tmp_path: Path) -> None:
    clip = ShownClip(0, "\u4e2d\u6587" * 3000, ("\U0001f600", "x" * 9000), "broken: " + "y" * 9000, (), ())
    with png_sheet(tmp_path / "s.png", ABOUT) as add:
        add(clip)
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.width == 640


def test_a_sheet_beyond_memory_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    about = About("", "", clips=1000, strips=30, frames=32, side=112)
    with pytest.raises(UsageError, match="pixels") as caught, png_sheet(tmp_path / "s.png", about):
        raise AssertionError("not refused")
    assert "--count" in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("draw", [png_sheet, html_page])
def test_an_error_leaves_what_was_there(draw: object, tmp_path: Path) -> None:
    file = tmp_path / "s"
    file.write_text("old")
    with pytest.raises(ZeroDivisionError), draw(file, ABOUT):  # type: ignore[operator]
        raise ZeroDivisionError
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("draw", [png_sheet, html_page])
def test_a_place_that_cannot_be_written_is_said(draw: object, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"), draw(tmp_path / "file" / "s", ABOUT):  # type: ignore[operator]
        pass
