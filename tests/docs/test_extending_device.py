"""docs/extending/device.md: one row and one module bring an operator to a device that PyTorch does not know."""

from __future__ import annotations

import pytest

from tests.helpers.extended_tree import ExtendedTree

pytestmark = pytest.mark.slow  # each in a process of its own, which imports everything


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> ExtendedTree:
    return ExtendedTree(tmp_path_factory.mktemp("extended"), "device.md")


def test_the_operator_runs_there_and_gives_what_it_gives_here(tree: ExtendedTree) -> None:
    assert tree.changed == ["npy_device.py", "tinkit/ops/library.py", "tinkit/ops/npy.py"]
    (code,) = tree.python()
    done = tree.execute(code)
    assert done.stdout == "npy:0 True\n", done.stderr


def test_it_is_the_new_kernel_that_runs(tree: ExtendedTree) -> None:
    (code,) = tree.python()
    said = tree.execute(f"""
import torch
before = torch._C._dispatch_has_kernel_for_dispatch_key
{code}
import tinkit.ops.npy
assert before("tinkit::interlace", "PrivateUse1")
assert not before("tinkit::interlace_fold", "PrivateUse1")
tinkit.ops.npy._frame = lambda frames, t: np.full_like(frames[0], 7)
ones = np.ones((2, 4, 4))
print(interlace(*map(ArrayTensor, (x, offset * 0, ones)), fold=8).array[:, :8].mean())
""")
    assert said.stdout.splitlines()[-1] == "7.0", said.stderr
