"""Synthetic scenes: what moves where, that time can be turned round bit for bit, and that only its order tells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tinkit.data.synth import SynthSpec
from tinkit.data.synth.actions import MOTIONS
from tinkit.data.synth.clips import draw_clip
from tinkit.data.synth.imitations import IMITATIONS, SynthLayout
from tinkit.data.synth.render import digit_images, digit_targets, render
from tinkit.data.synth.scenes import Scene, SynthClip, digit_pools, draw_scene, seeded_rng

KEYS = [action.key for action in MOTIONS]
action_index = KEYS.index
PAIRS = {"left": "right", "up": "down", "approach": "retreat", "clockwise": "back", "appear": "vanish"}


def scene(key: str, number: int, frames: int = 24, size: int = 64) -> Scene:
    pool = np.arange(1797)
    rng = seeded_rng("test", number)
    return draw_scene(rng, (action_index(key),), pool, size=size, frames=frames, texture_seed=number)


def reversed_labels(labels: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(MOTIONS.partner(label) for label in labels))


def reversed_scene(drawn: Scene) -> Scene:
    """The scene played backwards: every track reversed, every action its partner."""
    tracks = ("x", "y", "side", "angle", "opacity")
    digits = [
        replace(digit, action=MOTIONS.partner(digit.action), **{track: getattr(digit, track)[::-1] for track in tracks})
        for digit in drawn.digits
    ]
    return replace(drawn, pan=drawn.pan[::-1], digits=tuple(digits))


def masks(drawn: Scene) -> np.ndarray:
    """(F, H, W): how far each frame is from the same scene without its digits."""
    images = digit_images()
    bare = render(Scene(drawn.width, drawn.height, drawn.texture_seed, drawn.pan, ()), images)
    return np.abs(render(drawn, images).astype(float) - bare).sum(-1)


def test_partners() -> None:
    for key, other in PAIRS.items():
        assert MOTIONS.partner(action_index(key)) == action_index(other)
        assert MOTIONS.partner(action_index(other)) == action_index(key)
    assert MOTIONS.partner(action_index("shake")) == action_index("shake")
    assert MOTIONS.partner(action_index("blink")) == action_index("blink")
    assert [KEYS[index] for index in MOTIONS.order_classes] == [key for key in KEYS if key not in ("shake", "blink")]


@pytest.mark.parametrize("layout", IMITATIONS)
def test_class_names(layout: SynthLayout) -> None:
    names, ordered = IMITATIONS[layout].class_names(MOTIONS), IMITATIONS[layout].order_class_names(MOTIONS)
    assert len(set(names)) == 12
    assert list(names) != sorted(names)  # so that the order of classes matters
    assert any("/" in name for name in names)
    assert any("+" in name for name in names)
    assert not any("[" in name for name in names)
    assert set(ordered) < set(names)
    assert len(ordered) == 10


@pytest.mark.parametrize("key", KEYS)
def test_a_scene_reversed_is_a_scene_of_the_partner_and_its_frames_are_the_reversed_frames(key: str) -> None:
    images = digit_images()
    for number in range(3):
        drawn = scene(key, number)
        turned = reversed_scene(drawn)
        assert turned.labels == reversed_labels(drawn.labels)
        assert np.array_equal(render(turned, images), render(drawn, images)[::-1])
        assert not np.array_equal(render(turned, images), render(drawn, images))
        if MOTIONS.partner(action_index(key)) == action_index(key):
            continue
        # The partner drawn with the same chances: the same digit on the reversed tracks.
        partner = scene(MOTIONS[MOTIONS.partner(action_index(key))].key, number)
        for track in ("x", "y", "side", "angle", "opacity"):
            assert np.array_equal(getattr(partner.digits[0], track), getattr(turned.digits[0], track)), track
        assert partner.digits[0].image == turned.digits[0].image
        assert np.array_equal(partner.digits[0].colour, turned.digits[0].colour)


def test_a_clip_of_several_digits_reversed() -> None:
    images, pool = digit_images(), np.arange(1797)
    labels = tuple(action_index(key) for key in ("left", "clockwise", "appear"))
    drawn = draw_scene(seeded_rng("several"), labels, pool, size=96, frames=17, texture_seed=5)
    turned = reversed_scene(drawn)
    assert turned.labels == tuple(sorted(action_index(key) for key in ("right", "back", "vanish")))
    assert np.array_equal(render(turned, images), render(drawn, images)[::-1])
    assert render(drawn, images).shape == (17, 96, 120, 3)


def test_every_frame_is_a_function_of_its_own_numbers() -> None:
    """In a random order of time, the frames come in that order too: nothing depends on neighbours."""
    drawn, images = scene("clockwise", 3), digit_images()
    order = np.random.default_rng(0).permutation(drawn.frames)
    digit = drawn.digits[0]
    tracks = {track: getattr(digit, track)[order] for track in ("x", "y", "side", "angle", "opacity")}
    shuffled = Scene(
        drawn.width,
        drawn.height,
        drawn.texture_seed,
        drawn.pan[order],
        (type(digit)(digit.action, digit.image, digit.colour[order], **tracks),),
    )
    assert np.array_equal(render(shuffled, images), render(drawn, images)[order])


@pytest.mark.parametrize("key", KEYS)
def test_what_is_seen_is_what_the_class_says(key: str) -> None:
    """Judged from the pixels: the centre, spread, turn and brightness of what differs from the background."""
    for number in range(6):
        mask = masks(scene(key, number))
        weight = mask.sum((1, 2))
        ys, xs = np.arange(mask.shape[1]), np.arange(mask.shape[2])
        seen = weight > 0.2 * weight.max()
        x = (mask.sum(1) @ xs)[seen] / weight[seen]
        y = (mask.sum(2) @ ys)[seen] / weight[seen]
        area = (mask > 60).sum((1, 2))
        match key:
            case "left":
                assert x[-1] < x[0] - 16
            case "right":
                assert x[-1] > x[0] + 16
            case "up":
                assert y[-1] < y[0] - 16
            case "down":
                assert y[-1] > y[0] + 16
            case "approach":
                assert area[-1] > 3 * area[0]
            case "retreat":
                assert area[0] > 3 * area[-1]
            case "appear":
                assert weight[-1] > 10 * weight[0]
            case "vanish":
                assert weight[0] > 10 * weight[-1]
            case "shake":
                assert (np.diff(np.sign(np.diff(x))) != 0).sum() >= 4  # it turns back at least four times
                assert np.ptp(x) > 4
            case "blink":
                on = weight > 0.5 * weight.max()
                assert (np.diff(on.astype(int)) != 0).sum() >= 4


@pytest.mark.parametrize(("key", "sign"), [("clockwise", 1), ("back", -1)])
def test_the_sense_of_turning(key: str, sign: int) -> None:
    """The axis of the ink, from its second moments, turns clockwise on the screen (y points down) or against it."""
    agree = 0
    for number in range(40):
        mask = masks(scene(key, number))
        ys, xs = np.mgrid[: mask.shape[1], : mask.shape[2]]
        angles = []
        for frame in mask:
            total = frame.sum()
            dx, dy = xs - (frame * xs).sum() / total, ys - (frame * ys).sum() / total
            angles.append(0.5 * np.arctan2(2 * (frame * dx * dy).sum(), (frame * (dx**2 - dy**2)).sum()))
        turned = np.unwrap(angles, period=np.pi)[-1] - angles[0]
        agree += np.sign(turned) == sign
    assert agree >= 36  # round digits have no axis to speak of


def features(drawn: Scene, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What no order of the frames can change, and what the order changes: means over time, and later minus earlier."""
    small = render(drawn, images).astype(np.float32).mean(-1).reshape(-1, 8, 4, 10, 4).mean((2, 4))
    half = len(small) // 2
    # Sorted first, so that not even the order of summation is known.
    unordered = np.sort(small, axis=0)
    blind = np.concatenate([unordered.mean(0).ravel(), unordered.std(0).ravel(), unordered[0].ravel()])
    return blind, (small[half:].mean(0) - small[:half].mean(0)).ravel()


def accuracy(x: np.ndarray, y: np.ndarray) -> float:
    half = len(x) // 2
    scaler = StandardScaler().fit(x[:half])
    model = LogisticRegression(C=0.01, max_iter=2000).fit(scaler.transform(x[:half]), y[:half])
    return float(model.score(scaler.transform(x[half:]), y[half:]))


@pytest.mark.slow
@pytest.mark.parametrize(("key", "other"), PAIRS.items())
def test_without_order_partners_are_told_apart_by_chance_only(key: str, other: str) -> None:
    images, count = digit_images(), 400
    drawn = [scene(key if number % 2 else other, 1000 + number, frames=12, size=32) for number in range(count)]
    blind, ordered = (np.stack(part) for part in zip(*(features(one, images) for one in drawn), strict=True))
    labels = np.arange(count) % 2
    # 200 clips are judged: chance has a standard deviation of 3.5 points.
    assert abs(accuracy(blind, labels) - 0.5) < 0.125
    if key != "clockwise":  # what a linear rule on two averages cannot see
        assert accuracy(ordered, labels) > 0.75


def test_the_background_moves_both_ways_alike() -> None:
    speeds = np.array([(one.pan[-1] - one.pan[0]) for one in (scene("shake", number) for number in range(2000))])
    assert np.abs((speeds > 0).mean(0) - (speeds < 0).mean(0)).max() < 0.08
    assert (np.abs(speeds).max(1) > 2).mean() > 0.5  # and it does move


class TestClips:
    spec = SynthSpec("mmit", seed=3)

    def clip(self, split: str, number: int, spec: SynthSpec | None = None) -> SynthClip:
        spec = spec or self.spec
        pool = digit_pools(spec.seed, 1797)[split]  # type: ignore[index]
        return draw_clip(spec, split, number, pool, digit_targets())  # type: ignore[arg-type]

    def test_digits_of_the_splits_are_disjoint(self) -> None:
        pools = digit_pools(3, 1797)
        assert sorted(np.concatenate(list(pools.values())).tolist()) == list(range(1797))
        assert {len(pool) for pool in pools.values()} == {1078, 359, 360}
        for split, pool in pools.items():
            shown = {digit.image for number in range(200) for digit in self.clip(split, number).scene.digits}
            assert shown <= set(pool.tolist())
            assert len(shown) > 100

    def test_a_clip_depends_on_its_own_seed_only(self) -> None:
        images = digit_images()
        alone = render(self.clip("val", 7).scene, images)
        for number in range(5):
            self.clip("val", number)
        assert np.array_equal(render(self.clip("val", 7).scene, images), alone)
        assert not np.array_equal(render(self.clip("val", 8).scene, images), alone)
        assert not np.array_equal(render(self.clip("test", 7).scene, images), alone)
        assert not np.array_equal(render(self.clip("val", 7, SynthSpec("mmit", seed=4)).scene, images), alone)

    def test_labels_are_one_to_three_and_partners_as_frequent(self) -> None:
        labels = [self.clip("train", number).labels for number in range(2000)]
        assert {len(set(one)) for one in labels} == {1, 2, 3}
        counts = np.bincount(np.concatenate(labels), minlength=12)
        assert counts.min() > 0.8 * counts.max()
        single = SynthSpec("sthv2")
        assert {len(self.clip("train", number, single).labels) for number in range(100)} == {1}

    def test_the_folder_tells_nothing_of_the_action_and_neighbours_share_a_source(self) -> None:
        clips = [self.clip("train", number) for number in range(1500)]
        table = np.zeros((10, 12))
        folders = sorted({clip.id.split("/")[0] for clip in clips})
        assert len(folders) == 10
        for clip in clips:
            table[folders.index(clip.id.split("/")[0]), list(clip.labels)] += 1
        expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
        assert ((table - expected) ** 2 / expected).sum() < 160  # chi-squared, 99 degrees of freedom: 1 in 10,000
        first, second = clips[0].id.split("/")[1], clips[1].id.split("/")[1]
        assert first.rpartition("_")[0] == second.rpartition("_")[0]
        assert first != second
        assert clips[0].scene.texture_seed == clips[1].scene.texture_seed
        assert len({clip.id for clip in clips}) == 1500
