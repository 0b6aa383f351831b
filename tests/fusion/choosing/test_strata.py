"""The draw that large splits are fitted on: every class has its share, whatever the order of the clips."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from tinkit.fusion.choosing.strata import drawn, rarest_labels


def test_every_stratum_has_its_share_rounded_up_or_down() -> None:
    random = np.random.default_rng(0)
    strata = np.repeat(np.arange(40), random.integers(1, 400, size=40))
    random.shuffle(strata)
    for size in (1, 7, 500, strata.size - 1, strata.size):
        rows = drawn(size, strata, seed=3)
        assert rows.size == size
        assert (np.diff(rows) > 0).all()  # in order, none twice
        counts = Counter(strata[rows].tolist())
        for stratum, whole in Counter(strata.tolist()).items():
            assert abs(counts[stratum] - whole * size / strata.size) < 1


def test_a_draw_is_random_within_its_strata_and_the_same_for_a_seed() -> None:
    strata = np.zeros(1000, np.int64)
    assert np.array_equal(drawn(100, strata, 1), drawn(100, strata, 1))
    assert not np.array_equal(drawn(100, strata, 1), drawn(100, strata, 2))
    taken = np.zeros(1000)
    for seed in range(400):
        taken[drawn(100, strata, seed)] += 1
    assert taken.sum() == 40_000
    assert taken.std() == pytest.approx((400 * 0.1 * 0.9) ** 0.5, rel=0.15)  # as independent draws have it


def test_a_clip_counts_by_the_rarest_of_its_labels() -> None:
    labels = pa.array([[0], [0, 1], [0, 1, 2], [1], [0]], pa.list_(pa.int32()))
    assert rarest_labels(labels, 4).tolist() == [0, 1, 2, 1, 0]
