"""Frames numbered by presentation time: against a slow count, packet by packet."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tinkit.data.decode.numbering import number_by_time


@given(
    times=st.lists(st.integers(-20, 40), min_size=1, max_size=20, unique=True),
    hidden=st.sets(st.integers(0, 19)),
    more_keys=st.sets(st.integers(0, 19)),
    until=st.none() | st.integers(-25, 45),
)
def test_numbers_are_ranks_among_the_times_that_are_shown(
    times: list[int], hidden: set[int], more_keys: set[int], until: int | None
) -> None:
    keys = sorted(key for key in more_keys if key < len(times)) or [0]
    visible = [time for packet, time in enumerate(times) if packet not in hidden and time >= times[keys[0]]]
    early = [time for packet, time in enumerate(times) if packet not in hidden and time < times[keys[0]]]
    found = number_by_time(list(times), keys, [*early, *visible], until)
    assert found is not None
    assert found.shown == len(visible)
    numbered = [time for time in visible if until is None or time <= until]
    assert found.rank == {time: sum(other < time for other in numbered) for time in numbered}
    assert (found.starts[0], found.keys[0]) == (0, keys[0])
    furthest = 0
    groups = [(0, keys[0])]
    for key in keys[1:]:
        before = sum(time < times[key] for time in numbered)
        if before > furthest:
            furthest = before
            groups.append((before, key))
    assert list(zip(found.starts, found.keys, strict=True)) == groups


def test_times_that_do_not_tell_the_order_give_no_numbers() -> None:
    assert number_by_time([0, 1, 1], [0], [0, 1, 1], None) is None
    assert number_by_time([0, None, 1], [0], [0, None, 1], None) is None
    assert number_by_time([None, 0, 1], [0], [0, 1], None) is None
    assert number_by_time([0, None, 1], [0], [0, 1], None) is not None  # the unknown one is not shown
