"""The checksum of blocks: what it is, in plain integers, and that the damage which files meet is always found."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tinkit.files.block_sums import BLOCK, WEIGHTS, BlockSums

DATA = np.random.default_rng(0).integers(0, 256, 2 * BLOCK + 37, np.uint8).tobytes()


def checksum(*pieces: bytes) -> str:
    sums = BlockSums()
    for piece in pieces:
        sums.update(piece)
    return sums.hexdigest()


WHOLE = checksum(DATA)


def in_plain_integers(data: bytes) -> str:
    """As the module's first lines say, without arrays."""
    weights = hashlib.shake_256(b"tinkit: sums of blocks").digest(BLOCK)
    digest = hashlib.sha256()
    for start in range(0, len(data), BLOCK):
        block = data[start : start + BLOCK].ljust(BLOCK, b"\0")
        whole = high = 0
        for at in range(0, BLOCK, 8):
            weight = int.from_bytes(weights[at : at + 8], "little") | 1
            word = int.from_bytes(block[at : at + 8], "little")
            whole, high = whole + weight * word, high + weight * (word >> 32)
        digest.update((whole % 2**64).to_bytes(8, "little") + (high % 2**64).to_bytes(8, "little"))
    digest.update(len(data).to_bytes(8, "little"))
    return digest.hexdigest()


def test_it_is_what_it_says() -> None:
    for data in (b"", b"\0", DATA[:5], DATA[:BLOCK], DATA, bytes(40 * BLOCK) + DATA):
        assert checksum(data) == in_plain_integers(data)


def test_the_constants_make_exchanges_and_equal_changes_of_half_words_show() -> None:
    # Two half words that change by d and by d or -d: (w + v) d or (w - v) d is 0 modulo 2**64 only where w and v, or w
    # and -v, are equal modulo 2**33 at least, since |d| < 2**32.
    short = WEIGHTS % np.uint64(2**32)
    assert len({*short.tolist(), *((2**32 - short) % 2**32).tolist()}) == 2 * len(WEIGHTS)
    assert (WEIGHTS % 2 == 1).all()


def test_every_byte_that_is_flipped_is_found() -> None:
    random = np.random.default_rng(1)
    data = bytearray(DATA)
    for place in range(len(data)):
        mask = int(random.integers(1, 256))
        data[place] ^= mask
        assert checksum(data) != WHOLE
        data[place] ^= mask


@settings(max_examples=100)
@given(st.lists(st.integers(0, len(DATA)), max_size=8))
def test_however_the_bytes_come(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(DATA)]
    assert checksum(*(DATA[start:end] for start, end in pairwise(ends))) == WHOLE


@settings(max_examples=200)
@given(st.data())
def test_the_damage_that_files_meet_is_found(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([1, 4, 8, 512, 4096, BLOCK]))
    first, second = (data.draw(st.integers(0, len(DATA) // size - 1)) * size for _ in range(2))
    a, b = DATA[first : first + size], DATA[second : second + size]
    swapped = bytearray(DATA)
    swapped[first : first + size], swapped[second : second + size] = b, a
    assert (checksum(swapped) == WHOLE) == (swapped == DATA)
    zeroed = DATA[:first] + bytes(size) + DATA[first + size :]
    assert (checksum(zeroed) == WHOLE) == (zeroed == DATA)
    stale = DATA[:first] + data.draw(st.binary(min_size=size, max_size=size)) + DATA[first + size :]
    assert (checksum(stale) == WHOLE) == (stale == DATA)
    assert checksum(DATA[:first]) != WHOLE
    assert checksum(DATA + bytes(size)) != WHOLE
    moved = DATA[:first] + b"\0" + DATA[first:-1]
    assert (checksum(moved) == WHOLE) == (moved == DATA)


def test_signs_that_are_turned_are_found() -> None:
    # What a plain sum of words misses: two changes of the highest bit.
    values = np.random.default_rng(2).standard_normal(BLOCK // 4).astype(np.float32)
    whole = checksum(values.tobytes())
    for count in (2, 4, 64, 512):
        for step in (1, 2, 4):
            turned = values.copy()
            turned[1 : 1 + count * step : step] *= -1
            assert checksum(turned.tobytes()) != whole
    assert checksum((-values).tobytes()) != whole
