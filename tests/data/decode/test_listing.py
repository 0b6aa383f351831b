"""Which images a folder holds, against an obvious loop over the numbers that there may be."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.open_clip import find_numbers

TEMPLATES = ("{:05d}.jpg", "img_{:d}.png", "{:02d}.jpg", "{}.jpg")
STRANGERS = ("notes.txt", "1.jpg", "0000.jpg", "000001.jpg", "img_01.png", "\udcff.jpg", "100.jpg")
MOST = 120


@given(
    template=st.sampled_from(TEMPLATES),
    first=st.integers(0, 2),
    count=st.integers(0, MOST - 3),
    gap=st.none() | st.integers(0, MOST),
    strangers=st.sets(st.sampled_from(STRANGERS)),
)
def test_the_numbers_of_a_folder(template: str, first: int, count: int, gap: int | None, strangers: set[str]) -> None:
    names = {template.format(n) for n in range(first, first + count) if n != gap} | strangers
    there = [n for n in range(10 * MOST) if template.format(n) in names]
    whole = bool(there) and there[0] <= 1 and there == list(range(there[0], there[-1] + 1))
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            (Path(folder) / name).touch()
        if whole:
            assert list(find_numbers(Path(folder), template)) == there
        else:
            with pytest.raises(BrokenClip, match="is missing" if there else "no image is named"):
                find_numbers(Path(folder), template)
