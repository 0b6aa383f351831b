"""The challenge of lags: a frame, and a frame with the next, tell nothing; frames a lag apart do. Also once encoded."""

from __future__ import annotations

import colorsys
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2
from sklearn.ensemble import RandomForestClassifier
from typer.testing import CliRunner

from tinkit.cli.app import app
from tinkit.data.config.dataset import DataConfig
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.manifest.manifest import open_manifest
from tinkit.data.synth import SynthSpec, order_classes_path, synthesise
from tinkit.data.synth.actions import LAGS
from tinkit.data.synth.clips import draw_clip
from tinkit.data.synth.imitations import IMITATIONS, SynthLayout
from tinkit.data.synth.lags import FASTEST, SLOWEST, STEP, colours_of, hues, lag_of
from tinkit.data.synth.render import digit_images, digit_targets, render
from tinkit.data.synth.scenes import Scene, draw_scene, seeded_rng
from tinkit.errors import UsageError, UserError

KEYS = [action.key for action in LAGS]
TWINS = [("two_on", "two_back"), ("half_on", "half_back"), ("speed_on", "speed_back")]
TRACKS = ("x", "y", "side", "angle", "opacity", "colour")


def scene(key: str, number: int, frames: int = 8) -> Scene:
    rng = seeded_rng("lags", number)
    return draw_scene(rng, (KEYS.index(key),), np.arange(1797), size=32, frames=frames, texture_seed=number, among=LAGS)


def unevenness(first: np.ndarray, second: np.ndarray) -> float:
    """The chance of pairs of numbers in 0 to 1 that are as unevenly spread over 6 x 6 boxes, were they independent."""
    table = np.histogram2d(first, second, bins=6, range=((0, 1), (0, 1)))[0]
    return float(chi2.sf(((table - table.mean()) ** 2 / table.mean()).sum(), 35))


@pytest.mark.parametrize("lag", [2.0, 2.5, FASTEST, 3.2, SLOWEST])
def test_neighbours_are_independent_and_a_lag_apart_is_a_step(lag: float) -> None:
    rng = np.random.default_rng(round(10 * lag))
    drawn = np.stack([hues(rng, lag, 24) for _ in range(1500)])
    for time in (0, 1, 2, 3, 7):  # whenever the clip is looked at
        assert unevenness(drawn[:, time], drawn[:, time + 1]) > 1e-4
    turns = next(turns for turns in range(1, 6) if abs(turns * lag - round(turns * lag)) < 1e-9)
    ahead = drawn[:, round(turns * lag) :] - drawn[:, : -round(turns * lag)] - STEP * turns
    np.testing.assert_allclose(ahead, np.rint(ahead), atol=1e-9)
    apart = round(lag)
    assert unevenness(drawn[:, 0], drawn[:, apart]) < 1e-12  # so that what was shown above could have failed


def test_a_lag_below_two_would_tell_neighbours() -> None:
    """Why no action has one: the same colours, half a frame or a frame and a half apart."""
    for lag in (0.5, 1.5):
        rng = np.random.default_rng(1)
        drawn = np.stack([hues(rng, lag, 8) for _ in range(1500)])
        assert unevenness(drawn[:, 0], drawn[:, 1]) < 1e-12


@pytest.mark.parametrize(("on", "back"), TWINS)
def test_the_twin_is_the_clip_played_backwards(on: str, back: str) -> None:
    images = digit_images()
    assert LAGS.partner(KEYS.index(on)) == KEYS.index(back)
    for number in range(4):
        drawn, twin = scene(on, number), scene(back, number)
        assert drawn.digits[0].lag == twin.digits[0].lag
        for track in TRACKS:
            assert np.array_equal(getattr(drawn.digits[0], track)[::-1], getattr(twin.digits[0], track)), track
        reverse = replace(twin, pan=twin.pan[::-1])
        assert np.array_equal(render(reverse, images)[::-1], render(replace(drawn, pan=drawn.pan), images))


def test_the_lag_is_what_the_action_says_and_the_speed_shows() -> None:
    for key, lag in (("two_on", 2.0), ("half_back", 2.5)):
        assert {scene(key, number).digits[0].lag for number in range(20)} == {lag}
    digits = [scene("speed_on", number).digits[0] for number in range(300)]
    lags = np.array([digit.lag for digit in digits])
    assert lags.min() < FASTEST + 0.05
    assert lags.max() > SLOWEST - 0.05
    assert np.corrcoef(lags, [digit.side[0] for digit in digits])[0, 1] < -0.8  # large is fast, and comes back soon
    with pytest.raises(ValueError, match="turn is told by no lag"):
        lag_of("turn", 0.5)


def test_a_hue_is_the_colour_of_that_hue() -> None:
    hue = np.linspace(0, 1, 24, endpoint=False)
    colours = colours_of(hue)
    told = [colorsys.rgb_to_hsv(*colour / 255) for colour in colours]
    np.testing.assert_allclose([one[0] for one in told], hue, atol=1e-9)
    np.testing.assert_allclose([one[1:] for one in told], np.tile((0.85, 1.0), (24, 1)), atol=1e-9)


def seen(path: Path) -> np.ndarray:
    """(F, 5) of what tinkit's decoder gives: the digit's hue as a point of the circle, and the mean colour."""
    with open_clip(path, "video", "") as reader:
        frames = np.stack(list(reader.read(range(reader.num_frames)))).astype(np.float64)
    spread = np.ptp(frames, axis=-1, keepdims=True) ** 2  # the digit is far more saturated than what it is before
    colour = (frames * spread).sum((1, 2)) / spread.sum((1, 2))
    x, y = colour @ [1.0, -0.5, -0.5], colour @ [0.0, 0.75**0.5, -(0.75**0.5)]
    return np.column_stack([x, y, frames.mean((1, 2))])


def told(first: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """How often a forest tells the ``labels`` of clips it has not seen by (N, P, D), P views of each; the error."""
    count, views = first.shape[:2]
    half = count // 2
    forest = RandomForestClassifier(50, min_samples_leaf=8, random_state=0)
    forest.fit(first[:half].reshape(half * views, -1), np.repeat(labels[:half], views))
    right = forest.predict(first[half:].reshape((count - half) * views, -1)) == np.repeat(labels[half:], views)
    each = right.reshape(-1, views).mean(1)
    return float(each.mean()), float(each.std() / len(each) ** 0.5)


def apart(clips: np.ndarray, lag: int) -> np.ndarray:
    """(N, F - lag, D): each frame with the one ``lag`` on, and by how much the hue differs."""
    first, second = clips[:, : clips.shape[1] - lag], clips[:, lag:]
    angle = np.arctan2(second[..., 1], second[..., 0]) - np.arctan2(first[..., 1], first[..., 0])
    return np.concatenate([first, second, np.cos(angle)[..., None], np.sin(angle)[..., None]], -1)


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "on", "back"), [("sthv2", *TWINS[0]), ("mmit", *TWINS[1]), ("sthv2", *TWINS[2])])
def test_a_decoded_frame_and_the_next_tell_nothing(layout: SynthLayout, on: str, back: str, tmp_path: Path) -> None:
    """A forest that is shown neighbours of real video files is at chance; frames farther apart it tells."""
    images, style = digit_images(), IMITATIONS[layout]
    clips, labels = [], np.arange(200) % 2
    for number, label in enumerate(labels):
        path = tmp_path / f"{number}{style.suffix or '.mp4'}"
        style.write_clip(path, render(scene((on, back)[label], number), images), None)
        clips.append(seen(path))
    frames = np.stack(clips)
    for views in (frames, apart(frames, 1)):
        share, error = told(views, labels)
        assert abs(share - 0.5) < 4 * error
    lag = 2 if on == "two_on" else 3
    share, error = told(apart(frames, lag), labels)
    assert share > (0.95 if on == "two_on" else 0.6)
    assert share - 0.5 > 4 * error


SMALL: dict[str, Any] = {"clips": 8, "val": 2, "test": 2, "size": 32, "frames": 8, "lags": True}


@pytest.mark.parametrize("layout", IMITATIONS)
def test_it_reads_as_the_official_set(layout: SynthLayout, tmp_path: Path) -> None:
    spec = SynthSpec(layout, **SMALL)
    result = synthesise(spec, tmp_path / "set", workers=0)
    manifest = open_manifest(DataConfig(dataset=layout, root=result.root), "train")
    names = IMITATIONS[layout].class_names(LAGS)
    assert set(manifest.classes) == set(names)
    assert tuple(order_classes_path(result.root, layout).read_text().splitlines()) == names
    for number in range(spec.clips):
        clip = draw_clip(spec, "train", number, np.arange(1797), digit_targets())
        row = manifest.row(number)
        assert row.labels is not None
        assert {manifest.classes[label] for label in row.labels} == {names[label] for label in clip.labels}
    manifest.require_media()
    with pytest.raises(UserError, match="another"):
        synthesise(replace(spec, lags=False), tmp_path / "set", workers=0)


def test_sound_would_tell() -> None:
    with pytest.raises(UsageError, match="sound would tell the actions"):
        SynthSpec("mmit", lags=True, sound=True)


def test_the_command(tmp_path: Path) -> None:
    words = ["synth", "sthv2", str(tmp_path / "a"), "--lags", "--clips", "3", "--val", "1", "--test", "1"]
    result = CliRunner().invoke(app, [*words, "--size", "32", "--frames", "8", "--workers", "0", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["made"] == 5
    assert json.loads((tmp_path / "a/.tinkit-synth.json").read_text())["lags"] is True
