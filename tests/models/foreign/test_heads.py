"""Classifiers of another size or order, first convolutions of another modality, and networks of another kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers.named_weights import give_named_weights, named_video
from tinkit.errors import UserError
from tinkit.models import Video3D, VideoClassifier, load_foreign
from tinkit.models.foreign.classes import named_order, read_names, reorder_classes, rows_by_name
from tinkit.models.foreign.load import classes_in
from tinkit.models.foreign.save import to_foreign

SMALL = {"layers": (1, 1, 1, 1), "channels": (16, 16, 32, 32)}


def make(temporal: Any = "tsn", classes: int = 5, **settings: Any) -> VideoClassifier:
    return VideoClassifier("resnet18", temporal, classes, 4, backbone_kwargs=SMALL, **settings)


def of_tsm(classes: int, **settings: Any) -> dict[str, Tensor]:
    model = make("tsm", classes, **settings)
    give_named_weights(model)
    return to_foreign(model, "tsm")


def test_a_head_of_another_size_must_be_asked_for() -> None:
    model = make(classes=7)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match=r"a classifier of 5 classes, and the model has 7.*\n.*--replace-head"):
        load_foreign(of_tsm(5), model, replace_head=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    report = load_foreign(of_tsm(5), model)
    assert set(report.new) == {"classifier.weight", "classifier.bias"}
    assert classes_in(of_tsm(5), model) == 5


def test_a_classifier_in_place_of_relations_must_be_asked_for_too() -> None:
    model = make(consensus="trn")
    with pytest.raises(
        UserError, match=r"a classifier whose classifier\.weight is \(5, 32\), and the model's is \(256"
    ):
        load_foreign(of_tsm(5), model, replace_head=False)
    assert {name.split(".")[0] for name in load_foreign(of_tsm(5), model).new} == {"classifier", "consensus"}
    trn = make(consensus="trn_multiscale", classes=9)
    theirs = to_foreign(trn, "mmaction2")
    assert classes_in(theirs, make(consensus="trn_multiscale")) == 9
    with pytest.raises(UserError, match="a classifier of 9 classes, and the model has 5"):
        load_foreign(theirs, make(consensus="trn_multiscale"), replace_head=False)


def test_a_first_convolution_of_rgb_is_turned_to_flow() -> None:
    rgb, flow = of_tsm(5), make("tsm", modality="flow", flow_length=5)
    report = load_foreign(rgb, flow, replace_head=False)
    weight, theirs = flow.state_dict()["backbone.conv1.weight"], rgb["base_model.conv1.weight"]
    assert weight.shape[1] == 10
    assert all(torch.equal(weight[:, channel], theirs.mean(1)) for channel in range(10))
    assert (report.new, report.dropped) == ((), {})
    assert report.notes == ("backbone.conv1.weight: the mean over RGB of the file's weights, for 10 channels",)
    assert "the mean over RGB" in report.summary()
    again = make("tsm", modality="flow")
    assert load_foreign(to_foreign(flow, "tsm"), again).notes == ()
    assert torch.equal(again.state_dict()["backbone.conv1.weight"], weight)
    assert "base_model.conv1.weight" in load_foreign(to_foreign(flow, "tsm"), make("tsm")).dropped


def test_classes_are_put_in_order_by_name(tmp_path: Path) -> None:
    theirs = ["Zoom in", "Ärger", "apple", "Zoom out"]
    ours = ["apple", "Zoom out", "Zoom in", "Ärger"]
    rows = rows_by_name(theirs, ours)
    assert [theirs[row] for row in rows] == ours
    for settings in ({}, {"consensus": "trn_multiscale"}):
        model = make(classes=4, **settings).eval()
        give_named_weights(model)
        clips = named_video("order", 2, 4, 32)
        with torch.inference_mode():
            before = model(clips)
            reorder_classes(model, rows)
            assert torch.allclose(model(clips), before[:, rows], rtol=1e-6, atol=1e-6)
    (tmp_path / "names.txt").write_text("\ufeffZoom in\nÄrger\r\n\napple\nZoom out\n", encoding="utf-8")
    assert named_order(str(tmp_path / "names.txt"), ours) == tuple(theirs)
    assert named_order("alphabetical", ours) == ("Zoom in", "Zoom out", "apple", "Ärger")
    with pytest.raises(UserError, match="one class name a line, or the word alphabetical"):
        read_names(tmp_path / "alphabetic")


@pytest.mark.parametrize(
    ("theirs", "problem"),
    [
        (["a", "b"], "the checkpoint has no class 'see'"),
        (["a", "b", "see", "d"], "the data set has no class 'd'"),
        (["a", "b", "sea"], "no class 'see'; did you mean 'sea'"),
        (["a", "b", "see", "b"], "'b' is there twice"),
    ],
)
def test_other_classes_are_refused(theirs: list[str], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        rows_by_name(theirs, ["a", "b", "see"])


def clip_network(arch: str, variant: Any, classes: int = 5) -> Video3D:
    return Video3D(arch, classes, 8, variant=variant)


def test_clip_networks_of_another_kind() -> None:
    torchvision, x_temporal = clip_network("r3d_18", "torchvision"), clip_network("r3d_18", "x_temporal")
    theirs, others = to_foreign(torchvision, "torchvision"), to_foreign(x_temporal, "x_temporal")
    assert load_foreign(theirs, torchvision, replace_head=False).layout == "torchvision"
    assert load_foreign(torchvision.state_dict(), torchvision).layout == "tinkit"
    with pytest.raises(UserError, match=r"torchvision's r3d, and the model is x_temporal's r3d.*\n.*'torchvision'"):
        load_foreign(theirs, x_temporal)
    with pytest.raises(UserError, match="x_temporal's r3d, and the model is torchvision's r3d"):
        load_foreign(others, torchvision)
    with pytest.raises(UserError, match=r"another backbone: x_temporal's r3d, a network of clips.*\n.*temporal = '3d'"):
        load_foreign(others, make())
    with pytest.raises(UserError, match="another backbone: an image network, in the layout tsm"):
        load_foreign(of_tsm(5), x_temporal)
    with pytest.raises(UserError, match=r"unknown layout; its first keys: a\.b"):
        load_foreign({"a.b": torch.zeros(2, 2)}, x_temporal)
    with pytest.raises(UserError, match="a classifier of 5 classes, and the model has 6"):
        load_foreign(others, clip_network("r3d_18", "x_temporal", 6), replace_head=False)
    assert classes_in(others, clip_network("r3d_18", "x_temporal", 6)) == 5
    with pytest.raises(UserError, match="another backbone"):
        load_foreign(theirs, clip_network("r2plus1d_18", "torchvision"))
