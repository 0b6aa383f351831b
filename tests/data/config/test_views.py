from __future__ import annotations

import pytest
from pydantic import ValidationError

from tinkit.data.config.views import ClipConfig, ViewConfig, Views, override_views, parse_views
from tinkit.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1x1", (1, 1)), ("2x3", (2, 3)), (" 10X3 ", (10, 3)), ("1x5", (1, 5)), ("999x10", (999, 10))],
)
def test_views_are_temporal_by_spatial(text: str, expected: tuple[int, int]) -> None:
    views = parse_views(text)
    assert (views.temporal, views.spatial) == expected
    assert views.count == expected[0] * expected[1]
    assert parse_views(str(views)) == views


@pytest.mark.parametrize(
    "text", ["", "3", "0x1", "1x0", "1x2", "1x15", "1x100", "-1x1", "2x3x1", "axb", "1x", "1000x1", "²x3"]
)
def test_other_words_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="10x3"):
        parse_views(text)


def test_defaults_are_the_published_ones() -> None:
    clip, test = ClipConfig(), ViewConfig()
    assert (clip.num_segments, clip.size, clip.scales) == (8, 224, (1.0, 0.875, 0.75, 0.66))
    assert (test.parsed, test.scale, test.crop, test.average) == (Views(1, 1), 256, 224, "logits")


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        (ClipConfig, {"segment": 8}, "segment"),
        (ClipConfig, {"num_segments": 0}, "num_segments"),
        (ClipConfig, {"scales": ()}, "scales"),
        (ClipConfig, {"scales": (1.5,)}, "scales"),
        (ClipConfig, {"crop": "five"}, "crop"),
        (ViewConfig, {"views": "2x4"}, "KxS"),
        (ViewConfig, {"sampling": "twice", "views": "3x1"}, "two temporal samples"),
        (ViewConfig, {"flip": True, "views": "1x10"}, "mirror images already"),
        (ViewConfig, {"num_segments": 0}, "num_segments"),
        (ViewConfig, {"stride": 0}, "stride"),
        (ClipConfig, {"flip_labels": "up_down"}, "left_right"),
        (ClipConfig, {"flip_labels": ((1, 2, 3),)}, "flip_labels"),
        (ViewConfig, {"scale": 224, "crop": 256}, "larger than"),
        (ViewConfig, {"sampling": "centre", "views": "2x1"}, "one temporal sample"),
        (ViewConfig, {"average": "ranks"}, "average"),
        (ClipConfig, {"area": (0.5, 0.2)}, "least, then the largest"),
        (ClipConfig, {"area": (0.0, 0.2)}, "area"),
        (ClipConfig, {"ratio": (2.0, 0.5)}, "least, then the largest"),
        (ClipConfig, {"rand_augment": "m7-n4"}, "rand-m7-n4"),
        (ClipConfig, {"rand_augment": "rand-x3"}, "rand-m7-n4"),
        (ClipConfig, {"rand_augment": "rand-m7", "modality": "flow"}, "flow"),
        (ClipConfig, {"colour_jitter": (0.4, 0.4, 0.4, 0.6)}, "colour_jitter"),
        (ClipConfig, {"colour_jitter": (0.4, 0.4, 0.4, 0.1), "modality": "flow"}, "flow"),
        (ViewConfig, {"fps": 15}, "belongs to sampling = 'dense'"),
        (ClipConfig, {"fps": 15}, "belongs to sampling = 'dense'"),
        (ClipConfig, {"fps": 0, "sampling": "dense"}, "fps"),
        (ClipConfig, {"fps": float("inf"), "sampling": "dense"}, "fps"),
    ],
)
def test_impossible_tables_are_refused(model: type[ClipConfig | ViewConfig], values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        model(**values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "."),
        ({"views": "2x3"}, "......"),
        ({"flip": True}, ".m"),
        ({"views": "2x3", "flip": True}, "......mmmmmm"),
        ({"views": "1x5", "flip": True}, ".....mmmmm"),
        ({"views": "1x10"}, ".....mmmmm"),
        ({"views": "2x10"}, ".....mmmmm.....mmmmm"),
    ],
)
def test_which_views_are_mirror_images(values: dict, expected: str) -> None:
    config = ViewConfig(**values)
    assert config.mirrored == tuple(letter == "m" for letter in expected)
    assert config.count == len(expected)


def test_tables_are_frozen_and_views_are_normalised() -> None:
    config = ViewConfig(views="2X3")
    assert config.views == "2x3"
    with pytest.raises(ValidationError):
        config.views = "1x1"  # type: ignore[misc]


def test_changes_from_the_command_line_are_checked_by_their_option() -> None:
    config = ViewConfig(scale=256, crop=224)
    assert override_views(config) == config
    changed = override_views(config, views="10x3", scale=None, crop=256)
    assert (changed.views, changed.scale, changed.crop) == ("10x3", 256, 256)
    assert override_views(config, num_segments=16, sampling="dense", stride=4, flip=True).num_segments == 16
    with pytest.raises(UsageError, match="--segments 0"):
        override_views(config, num_segments=0)
    with pytest.raises(UsageError, match="--sampling often"):
        override_views(config, sampling="often")
    with pytest.raises(UsageError, match="--views 2by3"):
        override_views(config, views="2by3")
    with pytest.raises(UsageError, match="larger than"):
        override_views(config, crop=300)
    with pytest.raises(UsageError, match="--average means"):
        override_views(config, average="means")


def test_one_way_to_space_frames_takes_the_place_of_the_other() -> None:
    by_rate = ViewConfig(sampling="dense", fps=7.5)
    assert override_views(by_rate, views="5x1").fps == 7.5
    assert override_views(by_rate, sampling="dense").fps == 7.5
    assert override_views(by_rate, sampling="even").fps is None
    assert (override_views(by_rate, stride=4).fps, override_views(by_rate, stride=4).stride) == (None, 4)
    assert override_views(ViewConfig(sampling="dense", stride=4), fps=15).fps == 15
    with pytest.raises(UsageError, match="--stride and --fps"):
        override_views(by_rate, stride=4, fps=15)
    with pytest.raises(UsageError, match="belongs to sampling = 'dense'"):
        override_views(ViewConfig(), fps=15)
