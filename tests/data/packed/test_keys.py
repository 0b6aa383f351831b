"""Sample keys: reversible, safe as names, and different for different ids."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tinkit.data.packed.keys import MOST, id_of, key_of, member_name

IDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=120)


@given(IDS)
def test_a_key_is_read_back(clip_id: str) -> None:
    key = key_of(clip_id)
    assert len(key.encode()) <= MOST
    assert key.isascii()
    assert not set(key) & set("./\\\0 \n")
    assert not key.startswith("-")
    assert len(member_name(key, 123_456)) < 255
    assert id_of(key) == clip_id if "%%" not in key else id_of(key) is None


@given(IDS, IDS)
def test_keys_differ(one: str, other: str) -> None:
    assert (key_of(one) == key_of(other)) == (one == other)


def test_long_ids_that_differ_at_the_end() -> None:
    assert key_of("x" * 1000 + "a") != key_of("x" * 1000 + "b")
    assert key_of("abc_DEF-9") == "abc_DEF-9"
    assert key_of("v/a.mp4") == "v%2Fa%2Emp4"
    assert id_of("v%2fa") is None
    assert id_of("%FF") is None
    assert id_of("") is None
