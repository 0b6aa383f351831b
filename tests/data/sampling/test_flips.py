"""Labels of mirrored clips: which classes change places, by published lists and by a slow search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinkit.data.sampling.flips import flip_permutation
from tinkit.errors import UserError

# Something-Something V2: mmaction2's list of pairs, and the classes at these indices
V2_PAIRS = ((86, 87), (93, 94), (166, 167))
V2_NAMES = {
    86: "Pulling [something] from left to right",
    87: "Pulling [something] from right to left",
    93: "Pushing [something] from left to right",
    94: "Pushing [something] from right to left",
    166: "Turning the camera left while filming [something]",
    167: "Turning the camera right while filming [something]",
}


def v2_classes() -> list[str]:
    return [V2_NAMES.get(index, f"Doing [something] {index}") for index in range(174)]


def test_left_and_right_of_something_v2_are_the_published_pairs() -> None:
    found = flip_permutation(v2_classes(), "left_right")
    assert found.dtype == np.int64
    assert found.shape == (174,)
    moved = {(index, int(other)) for index, other in enumerate(found) if index != other}
    assert moved == {*V2_PAIRS, *((b, a) for a, b in V2_PAIRS)}
    assert np.array_equal(found, flip_permutation(v2_classes(), V2_PAIRS))


def test_nothing_to_exchange_is_the_identity() -> None:
    for labels in ((), "left_right"):
        assert flip_permutation(["singing", "running"], labels).tolist() == [0, 1]
        assert flip_permutation([], labels).tolist() == []


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (["Swiping Left", "Drumming Fingers", "Swiping Right"], [2, 1, 0]),  # Jester's
        (["turn_left", "turn_right"], [1, 0]),
        (["left2", "right2"], [1, 0]),
        (["LEFT", "right"], [1, 0]),
        (["left"], [0]),  # the other one is missing
        (["left hand up", "right hand down"], [0, 1]),
        (["brightening", "bleftening"], [0, 1]),  # not words
        (["upright", "upleft", "leftover", "rightover"], [0, 1, 2, 3]),
        (["from left to right", "from right to left", "from left to left"], [1, 0, 2]),
        (["moving/sliding left", "moving/sliding right"], [1, 0]),
        (["left", "Left", "right"], [0, 2, 1]),  # at most one of two that differ in case: it stays a permutation
    ],
)
def test_words_are_exchanged_as_people_would(classes: list[str], expected: list[int]) -> None:
    assert flip_permutation(classes, "left_right").tolist() == expected


words = st.lists(st.sampled_from(["left", "right", "up", "bright"]), min_size=1, max_size=4)


@given(st.lists(words, unique_by=tuple, max_size=30))
def test_left_right_against_a_search_over_all_pairs(names: list[list[str]]) -> None:
    other = {"left": "right", "right": "left"}
    found = flip_permutation([" ".join(name) for name in names], "left_right")
    for a, name in enumerate(names):
        partners = [b for b, second in enumerate(names) if second == [other.get(word, word) for word in name]]
        assert found[a] == (partners[0] if partners else a)
    assert np.array_equal(found[found], np.arange(len(names)))


@given(st.permutations(range(12)), st.integers(0, 6))
def test_pairs_are_exchanged_and_all_others_stay(order: list[int], count: int) -> None:
    pairs = [(order[2 * i], order[2 * i + 1]) for i in range(count)]
    expected = list(range(12))
    for a, b in pairs:
        expected[a], expected[b] = expected[b], expected[a]
    assert flip_permutation([str(i) for i in range(12)], pairs).tolist() == expected


@pytest.mark.parametrize("pair", [(0, 3), (3, 0), (-1, 0)])
def test_a_pair_of_classes_that_are_not_there(pair: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=r"clip\.flip_labels.*of which there are 3") as caught:
        flip_permutation(["a", "b", "c"], [pair])
    assert "from 0 to 2" in str(caught.value)


@pytest.mark.parametrize("pairs", [[(1, 1)], [(0, 1), (1, 2)], [(0, 1), (0, 1)]])
def test_a_class_named_twice(pairs: list[tuple[int, int]]) -> None:
    with pytest.raises(UserError, match="named twice"):
        flip_permutation(["a", "b", "c"], pairs)
