"""Prints of tensors: the same for the same numbers, others after any change, wherever in memory and however long."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinkit.ops import native
from tinkit.ops.prints import prints

pytestmark = pytest.mark.skipif(not native.load(), reason="computed by native kernels")


@settings(max_examples=100)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=5), st.data())
def test_a_changed_bit_changes_its_print_alone(sizes: list[int], data: st.DataObject) -> None:
    tensors = [torch.randn(size) for size in sizes]
    before = prints(tensors)
    assert prints([tensor.clone() for tensor in tensors]) == before
    which = data.draw(st.integers(0, len(sizes) - 1))
    if not sizes[which]:
        return
    at, bit = data.draw(st.integers(0, 4 * sizes[which] - 1)), data.draw(st.integers(0, 7))
    tensors[which].view(torch.uint8).numpy()[at] ^= 1 << bit
    after = prints(tensors)
    assert [index for index, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]] == [which]


def test_changes_that_sums_do_not_see() -> None:
    x = torch.randn(200_000)  # several pieces
    changed = [-x, x.flip(0), x.roll(1), x.roll(65536), torch.cat([x[65536:131072], x[:65536], x[131072:]])]
    seen = [one.bytes for one in prints([x, *changed])]
    assert len(set(seen)) == len(seen)


def test_layouts_lengths_and_what_lies_between() -> None:
    x = torch.randn(4, 6, 3, 3)
    last = x.to(memory_format=torch.channels_last)
    zeros = [torch.zeros(size) for size in (0, 1, 63, 64, 65)]
    seen = prints([x, last, x.bfloat16(), *zeros])
    assert len(set(seen)) == len(seen)
    wide = torch.randn(8, 10)
    part = wide[:, 2:5]
    before = prints([part])
    wide[7, 4] += 1
    assert prints([part]) != before
