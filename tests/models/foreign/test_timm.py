"""Files of weights in timm's own names, for backbones of any family, and this package's for the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers.named_weights import give_named_weights
from tests.helpers.small_backbones import BY_NAME, SEGMENTS, small
from tinkit.errors import UserError
from tinkit.models import VideoClassifier, load_foreign
from tinkit.timm_import import import_timm

timm = import_timm()
NAMES = ["resnetv2_18", "regnetx_002", "mobilenetv3_small_050", "test_convnext", "densenet121", "test_vit"]
NAMES += ["swin_tiny_patch4_window7_224", "deit_tiny_distilled_patch16_224"]


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [5, 9])
def test_a_file_of_any_backbone(name: str, classes: int, tmp_path: Path) -> None:
    case = BY_NAME[name]
    plain = timm.create_model(name, num_classes=classes, **case.kwargs)
    give_named_weights(plain)
    torch.save(plain.state_dict(), tmp_path / "weights.pth")
    model = VideoClassifier(name, "tin", 5, SEGMENTS, backbone_kwargs=case.kwargs, pretrained=tmp_path / "weights.pth")
    report, own, theirs = model.pretrained_report, model.state_dict(), plain.state_dict()
    assert report is not None
    assert report.layout == "timm"
    assert set(report.used) | set(report.dropped) == set(theirs)
    for key, target in report.used.items():  # ResNet-v2's classifier is a convolution of one pixel
        assert torch.equal(own[target], theirs[key].flatten(1) if target == "classifier.weight" else theirs[key])
    new = {key for key in report.new if ".temporal." not in key}
    head = {
        key for key, value in theirs.items() if key.startswith(("head", "fc", "classifier")) and len(value) == classes
    }
    second = {key for key in head if key.startswith("head_dist")}
    if classes == 5:
        assert (new, set(report.dropped)) == (set(), second)
    else:
        assert (new, set(report.dropped)) == ({"classifier.weight", "classifier.bias"}, head)
        assert any("a classifier of 9 classes" in reason for reason in report.dropped.values())


@pytest.mark.parametrize("name", ["test_vit", "mobilenetv2_050"])
def test_across_kinds_of_temporal_modules(name: str) -> None:
    case = BY_NAME[name]
    ours = small(case).state_dict()
    model = small(case, "tsm")
    report = load_foreign({f"module.{key}": value for key, value in ours.items()}, model)
    assert report.layout == "tinkit"
    assert report.new == ()
    assert set(report.dropped.values()) == {"a steering network, and a tsm model has none"}
    assert len(report.dropped) == 8 * case.places
    again = small(case)
    assert load_foreign(ours, again).dropped == {}
    assert all(torch.equal(value, ours[key]) for key, value in again.state_dict().items())


def test_another_backbone_is_refused() -> None:
    state = timm.create_model("test_vit", num_classes=5).state_dict()
    with pytest.raises(UserError, match="unknown layout"):
        load_foreign(state, small(BY_NAME["mobilenetv2_050"]))
    with pytest.raises(UserError, match="another backbone"):
        load_foreign(state, small(BY_NAME["eva02_tiny_patch14_224"]))
