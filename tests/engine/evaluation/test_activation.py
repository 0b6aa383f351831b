"""Class activation: its mean is the logit, it says where it does not apply, and it comes with the clip's frames."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers.scored_runs import untrained
from tinkit.data.clips.testing import TestClips
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.evaluation.activation import class_activation, look_at
from tinkit.models import VideoClassifier


@pytest.mark.parametrize("backbone", ["test_resnet", "test_efficientnet", "test_convnext"])
def test_the_mean_of_an_activation_is_the_logit_less_the_bias(backbone: str) -> None:
    model = VideoClassifier(backbone, "tsn", num_classes=5, num_segments=4, classifier_std=1.0).eval()
    clip = torch.randn(1, 4, 3, 64, 96)
    found = class_activation(model, clip, 3)
    if found is None:  # norm or convolutions behind the pooling
        assert backbone == "test_convnext"
        return
    assert found.shape[0] == 4
    assert found.shape[1] < found.shape[2]
    with torch.inference_mode():
        assert found.mean() + float(model.classifier.bias[3]) == pytest.approx(float(model(clip)[0, 3]), abs=1e-4)


def test_what_speaks_for_a_class_is_found_in_its_place_and_frame() -> None:
    """A network of one convolution that passes brightness on: it can look only where the clip is bright."""
    model = VideoClassifier("test_resnet", "tsn", num_classes=2, num_segments=4, classifier_std=1.0).eval()
    dark = torch.zeros(1, 4, 3, 64, 64)
    lit = dark.clone()
    lit[0, 2, :, 32:, 32:] = 3.0
    changed = class_activation(model, lit, 0)
    plain = class_activation(model, dark, 0)
    assert changed is not None
    assert plain is not None
    difference = abs(changed - plain)
    assert difference[[0, 1, 3]].max() == 0  # TSN looks at each frame by itself
    height, width = difference.shape[1:]
    assert difference[2, height // 2 :, width // 2 :].sum() > difference[2, : height // 2, : width // 2].sum()


def test_a_network_that_joins_frames_otherwise_has_none() -> None:
    model = VideoClassifier("test_resnet", "tsn", num_classes=2, num_segments=4, consensus="trn").eval()
    assert class_activation(model, torch.randn(1, 4, 3, 64, 64), 0) is None


def test_clips_come_as_a_test_sees_them_and_unknown_ones_are_said(challenge: Path, tmp_path: Path) -> None:
    run = untrained(challenge, tmp_path)
    recipe = run.load_recipe()
    manifest = open_manifest(recipe.data, "val")
    name = manifest.row(2).id
    seen, lost = look_at(run, "best", "val", [(name, manifest.classes[0]), ("gone.mp4", None)])
    views = recipe.test.model_copy(update={"views": "1x1", "flip": False})
    wanted = TestClips(manifest, recipe.clip, views)[2]["frames"][0].numpy()
    assert seen.frames is not None
    assert (seen.frames == wanted).all()
    assert seen.activation is not None
    assert lost.frames is None
    assert "no such clip" in lost.reason
