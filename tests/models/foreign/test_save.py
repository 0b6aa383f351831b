"""From a model to another code base's names and back, for everything that can be put together."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.helpers.named_weights import give_named_weights, named_video
from tests.helpers.small_backbones import BY_NAME
from tinkit.errors import UserError
from tinkit.models import Video3D, VideoClassifier, load_foreign
from tinkit.models.foreign.save import to_foreign
from tinkit.timm_import import import_timm

timm = import_timm()
NON_LOCAL = {"non_local_places": {"layer1": [0], "layer2": [0]}}
MADE: list[tuple[str, dict[str, Any]]] = [
    ("tin", {"temporal": "tin"}),
    ("x_temporal", {"temporal": "tin"}),
    ("mmaction2", {"temporal": "tin"}),
    *((code_base, {"temporal": "tsn"}) for code_base in ("tin", "x_temporal", "tsm", "trn", "mmaction2")),
    *((code_base, {"temporal": "tsm"}) for code_base in ("tin", "x_temporal", "tsm", "mmaction2")),
    ("tsm", {"temporal": "tsm", "shift_place": "block"}),
    ("tin", {"temporal": "tsm", "shift_place": "blockres_double"}),
    ("mmaction2", {"temporal": "tsm", "shift_place": "block", "temporal_pool": True}),
    *(
        (code_base, {"temporal": "tsm", "non_local": kind, "non_local_subsample": subsample, **NON_LOCAL})
        for code_base in ("tsm", "mmaction2")
        for kind in ("embedded_gaussian", "gaussian", "dot_product")
        for subsample in (True, False)
    ),
    ("tsm", {"temporal": "tsm", "temporal_pool": True, "non_local": "dot_product", **NON_LOCAL}),
    ("x_temporal", {"temporal": "tin", "non_local": "embedded_gaussian", **NON_LOCAL}),
    *((code_base, {"temporal": "tsn", "consensus": "trn_multiscale"}) for code_base in ("trn", "mmaction2")),
    *((code_base, {"temporal": "tsm", "backbone": "mobilenetv2_100"}) for code_base in ("tsm", "mmaction2")),
    *((code_base, {"temporal": "tsn", "backbone": "mobilenetv2_100"}) for code_base in ("tsm", "torchvision", "timm")),
    *((code_base, {"temporal": "tsm", "modality": "flow"}) for code_base in ("tsm", "torchvision", "timm")),
]


def make(**settings: Any) -> VideoClassifier:
    if "backbone" not in settings:
        settings |= {"backbone": "resnet18", "backbone_kwargs": {"layers": (1, 1, 1, 1), "channels": (16, 16, 32, 32)}}
    return VideoClassifier(**({"num_classes": 5, "num_segments": 4} | settings))


@pytest.mark.slow
@pytest.mark.parametrize(("code_base", "settings"), MADE)
def test_there_and_back(code_base: str, settings: dict[str, Any]) -> None:
    model, again = make(**settings).eval(), make(**settings).eval()
    give_named_weights(model)
    theirs = to_foreign(model, code_base)
    report = load_foreign({f"module.{name}": value for name, value in theirs.items()}, again, replace_head=False)
    assert report.dropped == {}
    if code_base == "mmaction2" and "non_local" in settings:  # a bias went into a mean
        assert {name.rpartition(".non_local")[2][1:] for name in report.new} == {".out.bias"}
        assert all("zero" in note for note in report.notes)
        channels = 3 if settings.get("modality", "rgb") == "rgb" else 10
        clips = named_video("save", 2, 4, 32)[:, :, :channels]
        with torch.inference_mode():
            torch.testing.assert_close(again(clips), model(clips), rtol=1e-4, atol=1e-4)
    else:
        assert report.new == ()
        own = model.state_dict()
        assert all(torch.equal(value, own[name]) for name, value in again.state_dict().items())
    assert to_foreign(again, code_base).keys() == theirs.keys()


@pytest.mark.parametrize("name", ["test_vit", "resnetv2_18", "test_convnext", "densenet121", "mobilenetv3_small_050"])
@pytest.mark.parametrize("temporal", ["tsm", "tsn"])
def test_timm_takes_its_own_names(name: str, temporal: Any) -> None:
    case = BY_NAME[name]
    model = VideoClassifier(name, temporal, 5, 4, backbone_kwargs=case.kwargs)
    plain = timm.create_model(name, num_classes=5, **case.kwargs)
    plain.load_state_dict(to_foreign(model, "timm"))
    images = named_video(name, 1, 4, case.size)
    with torch.inference_mode():
        if temporal == "tsn":
            wanted = plain.eval()(images[0]).mean(0, keepdim=True)
            torch.testing.assert_close(model.eval()(images), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_torchvision_takes_its_own_names() -> None:
    from torchvision.models import mobilenet_v2, resnet18, video

    for plain, name in ((resnet18(num_classes=5), "resnet18"), (mobilenet_v2(num_classes=5), "mobilenetv2_100")):
        model = make(backbone=name, temporal="tsn", dropout=0).eval()
        give_named_weights(model)
        plain.load_state_dict(to_foreign(model, "torchvision"))
        images = named_video(name, 1, 4, 32)
        with torch.inference_mode():
            torch.testing.assert_close(model(images)[0], plain.eval()(images[0]).mean(0), rtol=1e-4, atol=1e-4)
    for arch in ("r3d_18", "mc3_18", "r2plus1d_18"):
        with torch.device("meta"):
            plain = getattr(video, arch)(num_classes=5)
            theirs = to_foreign(Video3D(arch, 5, 8, variant="torchvision"), "torchvision")
        plain.load_state_dict(theirs)


def test_mobilenet_names_of_the_tsm_repository() -> None:
    """Its blocks are counted through and shifted where they have a shortcut; written out from its table of layers."""
    expected = {"features.0.0", "features.0.1", "features.18.0", "features.18.1"}
    number = 0
    for stage, depth in enumerate((1, 2, 3, 4, 3, 3, 1)):
        for block in range(depth):
            number += 1
            shifted = ".net" if block > 0 else ""
            layers = ["0", "1", "3", "4"] if stage == 0 else [f"0{shifted}", "1", "3", "4", "6", "7"]
            expected |= {f"features.{number}.conv.{layer}" for layer in layers}
    theirs = to_foreign(make(backbone="mobilenetv2_100", temporal="tsm"), "tsm")
    modules = {name.rpartition(".")[0].removeprefix("base_model.") for name in theirs}
    assert modules == expected | {"new_fc"}
    # Without dropout, the classifier stays in the backbone.
    moved = {name.replace("new_fc", "base_model.classifier"): value for name, value in theirs.items()}
    assert load_foreign(moved, make(backbone="mobilenetv2_100", temporal="tin")).layout == "tsm"
    assert "base_model.classifier.bias" in load_foreign(moved, make(backbone="mobilenetv2_100", temporal="tsn")).used


@pytest.mark.parametrize(
    ("code_base", "settings", "problem"),
    [
        ("mmaction", {}, "no code base is called 'mmaction'; did you mean 'mmaction2'"),
        ("tsm", {"temporal": "tin"}, "tsm has no place for the steering networks of TIN"),
        ("timm", {"temporal": "tin"}, "timm has no place for the steering"),
        ("mmaction2", {"temporal": "rtcn"}, "no place for the triangles of r-TCN"),
        ("trn", {"temporal": "tsm", "non_local": "gaussian"}, "trn has no place for non-local blocks"),
        ("tin", {"temporal": "tsn", "consensus": "trn"}, "tin has no place for relations"),
        ("mmaction2", {"temporal": "tsn", "backbone": "test_vit"}, "mmaction2 has no such backbone"),
        ("tin", {"temporal": "tsn", "backbone": "mobilenetv2_050"}, "tin has no such backbone"),
        ("torchvision", {"temporal": "tsn", "backbone": "mobilenetv3_small_050"}, "torchvision has no such backbone"),
        ("tsm", {"temporal": "tsn", "backbone": "resnet18d"}, "tsm has no such backbone"),
        ("tsm", {"temporal": "tsn", "backbone": "resnet50_gn"}, "tsm has no such backbone"),
        ("torchvision", {"temporal": "tsn", "backbone": "resnetblur50"}, "torchvision has no such backbone"),
        ("mmaction2", {"temporal": "tsn", "backbone": "resnetaa50"}, "mmaction2 has no such backbone"),
        ("pyslowfast", {"temporal": "tsn"}, "pyslowfast has no such backbone"),
        (
            "tsm",
            {"temporal": "tsm", "shift_place": "block", "non_local": "gaussian"},
            "which a non-local block follows",
        ),
    ],
)
def test_what_has_no_place_there(code_base: str, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        to_foreign(make(**settings), code_base)


def test_a_clip_network_goes_to_whom_it_is_of() -> None:
    with torch.device("meta"):
        model = Video3D("slowfast_50", 5, 32, variant="pyslowfast")
    assert "s2.pathway0_res0.branch2.a.weight" in to_foreign(model, "pyslowfast")
    assert to_foreign(model, "tinkit").keys() == model.state_dict().keys()
    with pytest.raises(UserError, match="mmaction2 has no network that computes what this slowfast does"):
        to_foreign(model, "mmaction2")


@pytest.mark.parametrize("backbone", ["resnet50c", "resnet50d"])
def test_deep_stems_go_to_x_temporal_and_back(backbone: str) -> None:
    settings: dict[str, Any] = {
        "backbone": backbone,
        "temporal": "tin",
        "backbone_kwargs": {"layers": (1, 1, 1, 1), "channels": (16, 16, 32, 32)},
    }
    model, again = make(**settings), make(**settings)
    give_named_weights(model)
    theirs = to_foreign(model, "x_temporal")
    assert {"base_model.conv1.0.weight", "base_model.conv1.6.weight", "base_model.bn1.weight"} <= theirs.keys()
    report = load_foreign({f"module.{name}": value for name, value in theirs.items()}, again, replace_head=False)
    assert (report.new, report.dropped) == ((), {})
    own = model.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in again.state_dict().items())


def test_pools_that_x_temporal_has_not_stay_refused() -> None:
    with pytest.raises(UserError, match="x_temporal has no such backbone"):
        to_foreign(make(backbone="resnetaa50d", temporal="tsn"), "x_temporal")
