"""Which scores a published number fits: those made by its protocol, however that is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.sampling import frames as sampling
from tinkit.engine.evaluation.protocol import canonical_json, fits, protocol_of, published_views
from tinkit.recipe import Published, load_recipe
from tinkit.scores import ScoreInfo
from tinkit.scores.protocol import protocol_words

CLIP = ClipConfig(num_segments=8)


def entry(**keys: Any) -> Published:
    return Published.model_validate({"number": 50, "metric": "sample_map", "views": "1x1", "source": "paper"} | keys)


def made(views: ViewConfig, **keys: Any) -> ScoreInfo:
    facts: dict[str, Any] = {"kind": "logits", "task": "multi-label", "classes": ("a",), "dataset": "d"}
    facts |= {"dataset_version": "1", "split": "val", "views": views.views, "average": views.average}
    return ScoreInfo(**facts | {"protocol": protocol_of(views, CLIP)} | keys)


@pytest.mark.parametrize(
    ("published", "views", "wanted"),
    [
        ({}, {}, True),
        ({"split": "test"}, {}, False),
        ({"views": "2x3"}, {}, False),
        ({"scale": 256, "crop": 224, "num_segments": 8, "sampling": "centre"}, {}, True),
        ({"crop": 256}, {}, False),
        ({"crop": 256}, {"crop": 256}, True),
        ({"num_segments": 16}, {}, False),
        ({"num_segments": 16}, {"num_segments": 16}, True),
        # With one sample all rules but dense are the segments' centres, and there is nothing to average.
        ({"sampling": "twice"}, {"sampling": "even"}, True),
        ({"sampling": "dense"}, {}, False),
        ({"average": "probabilities"}, {}, True),
        ({"average": "probabilities"}, {"flip": True}, False),
        ({"views": "2x1", "sampling": "twice"}, {"views": "2x1"}, False),
        ({"views": "2x1", "sampling": "twice"}, {"views": "2x1", "sampling": "twice"}, True),
        ({"views": "2x1", "average": "probabilities"}, {"views": "2x1"}, False),
        ({"views": "2x1", "average": "probabilities"}, {"views": "2x1", "average": "probabilities"}, True),
        ({"sampling": "dense", "stride": 8}, {"sampling": "dense", "stride": 2}, False),
        ({"sampling": "dense", "stride": 8}, {"sampling": "dense", "stride": 8}, True),
        ({"sampling": "centre", "stride": 8}, {}, True),
        ({"flip": False}, {}, True),
        ({"flip": True}, {}, False),
        ({"flip": True}, {"flip": True}, True),
    ],
)
def test_a_number_fits_scores_that_were_made_as_it_was(
    published: dict[str, Any], views: dict[str, Any], wanted: bool
) -> None:
    assert fits(entry(**published), made(ViewConfig(**views))) is wanted


def test_scores_of_an_unknown_protocol_fit_only_what_states_none() -> None:
    older = made(ViewConfig(), protocol={})
    assert fits(entry(), older)
    assert not fits(entry(crop=224), older)


rules = st.sampled_from(["even", "centre", "random", "twice", "dense"])


@given(
    pair=st.tuples(rules, rules),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    count=st.sampled_from([1, 1, 2]),
    segments=st.tuples(st.sampled_from([None, 8, 4]), st.sampled_from([None, 8, 4])),
)
def test_two_ways_to_say_one_protocol_take_the_same_frames(
    pair: tuple[Any, Any], strides: tuple[int, int], count: int, segments: tuple[int | None, int | None]
) -> None:
    if count > 1 and "centre" in pair:
        return
    both = [
        ViewConfig(views=f"{count}x1", sampling=rule, stride=stride, num_segments=frames)
        for rule, stride, frames in zip(pair, strides, segments, strict=True)
    ]

    def frames_of(config: ViewConfig) -> list[Any]:
        frames = config.num_segments or CLIP.num_segments
        return [
            sampling.test_frames(
                config.sampling, length, frames, count, config.stride, np.random.default_rng(length)
            ).tolist()
            for length in (3, 20, 50, 300)
        ]

    same = canonical_json(both[0], CLIP) == canonical_json(both[1], CLIP)
    assert same == (frames_of(both[0]) == frames_of(both[1]))
    if same:
        assert protocol_of(both[0], CLIP) == protocol_of(both[1], CLIP)


def test_score_files_of_earlier_releases_are_known_again() -> None:
    # What was hashed when there was no rule but even.
    text = '{"views":"10x3","sampling":"even","scale":256,"crop":224,"average":"logits"}'
    assert canonical_json(ViewConfig(views="10x3", batch=3, stride=5), CLIP) == text


def test_a_protocol_in_words() -> None:
    assert protocol_words(protocol_of(ViewConfig(), CLIP)) == "8 frames, 256/224"
    dense = ViewConfig(views="10x3", sampling="dense", stride=8, flip=True, num_segments=16, crop=256)
    assert protocol_words(protocol_of(dense, CLIP)) == "16 frames, 256/256, dense, stride 8, flipped too"
    assert protocol_words({"crop": 256, "average": "probabilities"}) == "?/256, mean of probabilities"
    assert protocol_words({}) == ""


def test_a_frame_rate_is_part_of_the_protocol_and_the_stride_beside_it_is_not() -> None:
    one, other, strided = (
        ViewConfig(views="5x1", sampling="dense", **keys)
        for keys in ({"fps": 7.5, "stride": 3}, {"fps": 7.5}, {"stride": 3})
    )
    assert canonical_json(one, CLIP) == canonical_json(other, CLIP) != canonical_json(strided, CLIP)
    assert protocol_of(one, CLIP) == protocol_of(other, CLIP) != protocol_of(strided, CLIP)
    stated = entry(views="5x1", sampling="dense", fps=7.5)
    assert fits(stated, made(one))
    assert not fits(stated, made(strided))
    assert not fits(stated, made(one.model_copy(update={"fps": 15.0})))
    recipe = load_recipe("k400_tsm_r50_dense").recipe
    assert published_views(recipe, stated).fps == 7.5
    by_rate = recipe.model_copy(update={"test": one})
    assert published_views(by_rate, entry(views="5x1", sampling="dense", stride=4)).fps is None


def test_a_frame_rate_is_said_in_words() -> None:
    by_rate = ViewConfig(views="5x1", sampling="dense", stride=3, fps=7.5)
    assert protocol_words(protocol_of(by_rate, CLIP)) == "8 frames, 256/224, dense, 7.5 a second"
