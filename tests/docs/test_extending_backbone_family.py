"""docs/extending/backbone-family.md: one row gives a family of backbones its place."""

from __future__ import annotations

import pytest

from tests.helpers.extended_tree import ExtendedTree

pytestmark = pytest.mark.slow  # each in a process of its own, which imports everything


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> ExtendedTree:
    return ExtendedTree(tmp_path_factory.mktemp("extended"), "backbone-family.md")


def test_one_row_and_temporal_modules_have_their_places(tree: ExtendedTree) -> None:
    assert tree.changed == ["tinkit/models/backbones/families.py"]
    looked_at, made = (tree.execute(code) for code in tree.python())
    assert looked_at.stdout.splitlines()[:2] == ["norm LayerNorm", "fc1 Linear"]
    places = made.stdout.splitlines()
    assert len(places) == 6, made.stderr
    assert all(name.endswith(".norm.temporal") for name in places)


def test_clips_see_the_order_of_their_frames_and_not_each_other(tree: ExtendedTree) -> None:
    code = """
import torch
from tinkit.models import VideoClassifier

torch.manual_seed(0)
video = torch.randn(2, 4, 3, 64, 64, dtype=torch.float64)
for temporal, changes in (("tsm", True), ("tin", True), ("tsn", False)):
    model = VideoClassifier("test_mambaout", temporal, 5, 4, classifier_std=1.0).double().eval()
    with torch.inference_mode():
        forwards, backwards = model(video), model(video.flip(1))
        torch.testing.assert_close(model(video[1:]), forwards[1:])
    assert (float((forwards - backwards).abs().max()) > 1e-9) == changes, temporal
"""
    done = tree.execute(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_commands_know_it(tree: ExtendedTree) -> None:
    for command in tree.commands():
        done = tree.run(command)
        assert done.returncode == 0, done.stderr
        assert "test_mambaout" in done.stdout
