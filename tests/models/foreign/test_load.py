"""Weights of other code bases and of other kinds of network: what is used, what is new, what is dropped and why."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers.named_weights import give_named_weights, named_state
from tinkit.errors import UserError
from tinkit.models import ForeignReport, VideoClassifier, load_foreign
from tinkit.timm_import import import_timm

timm = import_timm()


def make(temporal: Any, **settings: Any) -> VideoClassifier:
    return VideoClassifier(
        **({"backbone": "test_resnet", "temporal": temporal, "num_classes": 7, "num_segments": 4} | settings)
    )


def donor(temporal: str, **settings: Any) -> dict[str, Tensor]:
    model = make(temporal, **settings)
    give_named_weights(model)
    return model.state_dict()


THEIR_STEERING = {
    "temporal.offset_net.conv": "net1.biasnet.net.conv",
    "temporal.offset_net.fc1": "net1.biasnet.net.fc",
    "temporal.offset_net.fc2": "net1.biasnet.net.lastlayer",
    "temporal.gain_net.conv": "net1.weightnet.net.lastlayer",
}


def to_repository(state: dict[str, Tensor], kind: str, prefix: str) -> dict[str, Tensor]:
    """Our names as the repositories of TIN and TSM write them."""
    foreign = {}
    for name, value in state.items():
        name = name.replace("backbone.", "base_model.").replace("classifier.", "new_fc.")
        wrapped = {"tin": ".net2.", "tsm": ".net.", "tsn": "."}[kind]
        name = re.sub(r"(layer\d\.\d+\.conv1)\.(weight|bias)$", rf"\1{wrapped}\2", name)
        for ours, theirs in THEIR_STEERING.items():
            name = name.replace(ours, theirs)
        foreign[prefix + name] = value
    return foreign


def assert_accounted(report: ForeignReport, state: dict[str, Any], model: VideoClassifier) -> None:
    """Every entry of the file and of the model occurs once, and what was used is there, bit for bit."""
    assert set(report.used) | set(report.dropped) == set(state)
    assert not set(report.used) & set(report.dropped)
    own = model.state_dict()
    assert sorted([*report.used.values(), *report.new]) == sorted(own)
    assert all(torch.equal(own[target], state[key]) for key, target in report.used.items())


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("target", ["tin", "tsm", "tsn"])
@pytest.mark.parametrize("source", ["tin", "tsm", "tsn"])
@pytest.mark.parametrize("layout", ["repository", "tinkit"])
def test_across_kinds_and_layouts(layout: str, source: str, target: str, prefix: str) -> None:
    ours = donor(source)
    state = to_repository(ours, source, prefix) if layout == "repository" else {prefix + k: v for k, v in ours.items()}
    model = make(target)
    report = load_foreign(state, model)
    assert report.layout == (source if layout == "repository" else "tinkit")
    assert_accounted(report, state, model)
    steering = [name for name in model.state_dict() if ".temporal." in name]
    if source == "tin" and target != "tin":
        assert len(report.dropped) == 4 * 8
        assert set(report.dropped.values()) == {f"a steering network, and a {target} model has none"}
    else:
        assert report.dropped == {}
    assert list(report.new) == ([] if source == "tin" else steering)
    if source == target:
        assert all(torch.equal(value, ours[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_plain_resnet(library: str) -> None:
    plain = timm.create_model("resnet18", num_classes=1000)
    give_named_weights(plain)
    state = dict(plain.state_dict())
    if library == "torchvision":  # the same names; files older than PyTorch 0.4.1 have no counters
        state = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    model = make("tin", backbone="resnet18")
    report = load_foreign(state, model)
    assert_accounted(report, state, model)
    assert report.layout == "resnet"
    assert report.dropped == dict.fromkeys(
        ("fc.weight", "fc.bias"), "a classifier of 1000 classes, and the model has 7"
    )
    counters = [name for name in model.state_dict() if name.endswith("num_batches_tracked")]
    fresh = [name for name in report.new if ".temporal." not in name and not name.startswith("classifier.")]
    assert fresh == ([] if library == "timm" else counters)


def test_classifier_of_the_same_size_is_used_and_of_another_is_said() -> None:
    state = to_repository(donor("tsm", num_classes=9), "tsm", "module.")
    report = load_foreign(state, make("tin"))
    gone = {name for name in report.dropped if "new_fc" in name}
    assert gone == {"module.new_fc.weight", "module.new_fc.bias"}
    assert "a classifier of 9 classes, and the model has 7" in report.summary()
    assert "classifier.weight" in report.new
    same = make("tin", num_classes=9)
    assert load_foreign(state, same).used["module.new_fc.weight"] == "classifier.weight"
    # Without dropout the TSM repository keeps the classifier under the backbone's own name.
    renamed = {name.replace("new_fc", "base_model.fc"): value for name, value in state.items()}
    assert load_foreign(renamed, same).used["module.base_model.fc.bias"] == "classifier.bias"


def test_other_segments_and_folds_drop_what_depends_on_them() -> None:
    report = load_foreign(donor("tin", num_segments=8), make("tin"))
    assert all(".offset_net.fc" in name for name in report.dropped)
    assert len(report.dropped) == 4 * 3  # fc1's weight and bias and fc2's weight, in four blocks
    assert all("another number of segments" in reason for reason in report.dropped.values())
    report = load_foreign(donor("tin", shift_div=8), make("tin"))
    assert {name.rpartition("temporal.")[2] for name in report.dropped} == {
        "offset_net.conv.weight",
        "gain_net.conv.weight",
    }


def test_shape_mismatch_is_dropped_and_model_keeps_its_own() -> None:
    state = donor("tin")
    name = "backbone.layer2.0.conv2.weight"
    state[name] = torch.zeros(1, 2, 3)
    model = make("tin")
    before = model.state_dict()[name].clone()
    report = load_foreign(state, model)
    assert report.dropped == {name: f"shape (1, 2, 3), and {name} of the model is {tuple(before.shape)}"}
    assert report.new == (name,)
    assert torch.equal(model.state_dict()[name], before)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (3.5, "not a plain tensor"),
        (torch.zeros(32).to_sparse(), "not a plain tensor"),
        (torch.zeros(32, device="meta"), "not a plain tensor"),
        (torch.zeros(32, dtype=torch.int8), "torch.int8 numbers"),
        (torch.zeros(32, dtype=torch.complex64), "torch.complex64 numbers"),
    ],
)
def test_odd_values_are_dropped(value: Any, reason: str) -> None:
    state: dict[str, Any] = donor("tin")
    state["backbone.bn1.bias"] = value
    report = load_foreign(state, make("tin"))
    assert list(report.dropped) == ["backbone.bn1.bias"]
    assert reason in report.dropped["backbone.bn1.bias"]


def test_half_precision_weights_are_used() -> None:
    state = {name: value.bfloat16() if value.is_floating_point() else value for name, value in donor("tsn").items()}
    model = make("tsn")
    assert load_foreign(state, model).dropped == {}
    assert model.classifier.weight.dtype == torch.float32
    assert torch.equal(model.classifier.weight, state["classifier.weight"].float())


def test_another_depth_uses_what_fits() -> None:
    deep = named_state({name: v.shape for name, v in make("tsn", backbone="resnet34").state_dict().items()})
    report = load_foreign(deep, make("tsn", backbone="resnet18"))
    assert report.new == ()
    assert report.dropped["backbone.layer3.5.conv2.weight"] == "the model has no backbone.layer3.5.conv2"


@pytest.mark.parametrize(("theirs", "ours"), [("resnet50", "resnet18"), ("resnet18", "resnet50")])
def test_another_backbone_is_refused_and_leaves_the_model_alone(theirs: str, ours: str) -> None:
    model = make("tin", backbone=ours)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match="another backbone"):
        load_foreign(make("tin", backbone=theirs).state_dict(), model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_summary_of_another_number_of_segments_is_short() -> None:
    report = load_foreign(make("tin", num_segments=4).state_dict(), make("tin", num_segments=6))
    assert len(report.dropped) > 8
    assert len(report.summary().splitlines()) <= 4


def test_doubled_and_unknown_entries() -> None:
    state = to_repository(donor("tsn"), "tsn", "module.")
    state["base_model.bn1.bias"] = state["module.base_model.bn1.bias"]
    state["module.nonlocal.theta.weight"] = torch.zeros(1)
    report = load_foreign(state, make("tsn"))
    assert report.dropped["base_model.bn1.bias"] == "a second entry for backbone.bn1.bias"
    assert report.dropped["module.nonlocal.theta.weight"] == "the model has no backbone.nonlocal.theta"


@pytest.mark.parametrize(
    "state", [{}, {"blocks.0.attn.qkv.weight": torch.zeros(3)}, {"backbone.layer1.0.conv1.conv.weight": 1}]
)
def test_unknown_layout_shows_keys_and_layouts(state: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"unknown layout.*\n.*base_model\.layer1\.0\.conv1\.net2\.weight") as caught:
        load_foreign(state, make("tin"))
    assert next(iter(state), "(none)") in str(caught.value)


def test_nothing_that_fits_is_an_error_and_leaves_the_model_alone() -> None:
    model = make("tsn")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wide = {f"layer1.0.conv{i}.weight": torch.zeros(5, 5, 3, 3) for i in (1, 2)} | {"fc.bias": torch.ones(7)}
    with pytest.raises(UserError, match=r"another backbone: 0 of the model's.*\(5, 5, 3, 3\)"):
        load_foreign(wide, model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_summary_counts_by_reason() -> None:
    text = load_foreign(donor("tin", num_classes=9), make("tsm")).summary()
    assert text.splitlines()[0] == "layout tinkit: 90 entries used, 2 new, 34 dropped"
    assert "dropped 32: a steering network, and a tsm model has none" in text
    assert "dropped 2: a classifier of 9 classes, and the model has 7" in text
    assert "new: classifier.weight, classifier.bias" in text
