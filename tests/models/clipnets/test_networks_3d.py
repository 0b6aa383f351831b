"""3D networks: what every one of them does, compilers, and settings that cannot be."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.helpers.named_weights import give_named_weights, named_tensor_normal, named_video
from tinkit.architectures import ARCHS, VARIANTS_OF
from tinkit.errors import UserError
from tinkit.models.clipnets.video3d import Video3D
from tinkit.models.foreign.names_3d import foreign_keys

EVERY = [(arch, variant) for arch in ARCHS for variant in VARIANTS_OF[arch.rsplit("_", 1)[0]]]
ONE_EACH = [
    ("slowfast_50", "pyslowfast"),
    ("r3d_10", "x_temporal"),
    ("r2plus1d_10", "torchvision"),
    ("mc3_18", "torchvision"),
]
SMALL = [(arch, variant) for arch, variant in EVERY if arch in ("slowfast_50", "r3d_10", "r2plus1d_10", "mc3_18")]


def small_model(arch: str, variant: str | None = None, frames: int = 8, **settings: object) -> Video3D:
    model = Video3D(arch, num_classes=7, num_frames=frames, variant=variant, **settings)  # type: ignore[arg-type]
    give_named_weights(model)
    return model.eval()


def meta_model(arch: str, **settings: object) -> Video3D:
    with torch.device("meta"):
        return Video3D(arch, num_classes=400, **settings).eval()  # type: ignore[arg-type]


@pytest.mark.thorough
@pytest.mark.parametrize(("arch", "variant"), EVERY)
def test_keys_are_one_to_one_and_logits_have_their_shape(arch: str, variant: str) -> None:
    model = meta_model(arch, variant=variant, num_frames=16)
    keys = foreign_keys(model)
    assert list(keys.values()) == list(model.state_dict())
    assert not any(
        name in key for key in keys for name in ("classifier", "backbone.lateral", ".slow.", ".spatial.", "None")
    )
    if model.depth in (10, 50):  # the deeper ones have more of the same blocks
        assert model(torch.empty(2, 16, 3, 64, 64, device="meta")).shape == (2, 400)


@pytest.mark.thorough
@pytest.mark.parametrize(("arch", "variant"), SMALL)
def test_order_of_time_matters_and_layout_does_not(arch: str, variant: str) -> None:
    model, clips = small_model(arch, variant), named_video(arch, 2, 8, 32)
    with torch.inference_mode():
        logits = model(clips)
        assert float((model(clips.flip(1)) - logits).abs().max()) > 1e-2
        assert torch.allclose(model(clips[1:]), logits[1:], atol=1e-5)  # clips do not see each other
        model = model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        assert torch.allclose(model(clips), logits, atol=1e-5)


@pytest.mark.parametrize(("arch", "variant"), ONE_EACH)
def test_one_step_reaches_every_parameter(arch: str, variant: str) -> None:
    model = small_model(arch, variant, dropout=0.0).train()
    loss = functional.cross_entropy(model(named_video(arch, 2, 8, 48)), torch.tensor([1, 4]))
    loss.backward()  # type: ignore[no-untyped-call]
    idle = [name for name, weight in model.named_parameters() if weight.grad is None or not bool(weight.grad.any())]
    assert idle == []


@pytest.mark.thorough
@pytest.mark.parametrize(("arch", "variant"), ONE_EACH)
def test_export_is_the_same(arch: str, variant: str) -> None:
    model = small_model(arch, variant)
    batch = torch.export.Dim("batch", min=1, max=8)
    program = torch.export.export(model, (named_video("export", 2, 8, 32),), dynamic_shapes=({0: batch},))
    clips = named_video("other", 3, 8, 32)
    with torch.inference_mode():
        assert torch.allclose(program.module()(clips), model(clips), atol=1e-5)


@pytest.mark.parametrize("arch", ["r3d_10", "r2plus1d_10"])
def test_compiles_whole(arch: str) -> None:
    """In one graph; what a backend then makes of it is PyTorch's matter. SlowFast takes long and is exported above."""
    model, clips = small_model(arch), named_video(arch, 1, 8, 32)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        assert torch.allclose(compiled(clips), model(clips), atol=1e-5)


def test_start() -> None:
    """zero_init_last makes every block its shortcut; without it none is."""
    plain = Video3D("r3d_10", 5, 8)
    zeroed = Video3D("r3d_10", 5, 8, zero_init_last=True)
    at_zero = {name for name, weight in zeroed.named_parameters() if not bool(weight.any()) and name.endswith("weight")}
    assert at_zero == {f"backbone.layer{stage}.0.bn2.weight" for stage in (1, 2, 3, 4)}
    assert all(bool(weight.any()) for name, weight in plain.named_parameters() if name.endswith("weight"))
    assert Video3D("slowfast_50", 5, 8).classifier.bias is None
    kernel = plain.backbone.get_submodule("layer4.0.conv2").weight
    assert float(kernel.detach().std()) == pytest.approx((2 / (512 * 27)) ** 0.5, rel=0.01)


def test_bfloat16_gives_float32_logits() -> None:
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        assert small_model("r2plus1d_10")(named_video("half", 1, 8, 32)).dtype == torch.float32


def test_weights_serve_any_number_of_frames() -> None:
    short, long = small_model("slowfast_50", "mmaction2", 8), Video3D("slowfast_50", 7, 16, "mmaction2").eval()
    long.load_state_dict(short.state_dict())
    with torch.inference_mode():
        assert long(named_tensor_normal("long", (1, 16, 3, 32, 32))).shape == (1, 7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arch": "slowfast50"}, "did you mean 'slowfast_50'"),
        ({"arch": "mc3_50"}, "no 3D network is called 'mc3_50'"),
        ({"arch": "slowfast_18"}, "no 3D network is called"),
        ({"arch": "r3d_18", "variant": "pyslowfast"}, "r3d has no variant 'pyslowfast'"),
        ({"arch": "slowfast_50", "variant": "xtemporal"}, "did you mean 'x_temporal'"),
        ({"arch": "slowfast_50", "num_frames": 30}, "speed_ratio 4 does not divide the clip's 30 frames"),
        ({"arch": "slowfast_50", "speed_ratio": 0}, "speed_ratio 0"),
        ({"arch": "slowfast_50", "lateral_kernel": 4}, "lateral_kernel is 4"),
        ({"arch": "slowfast_50", "stem_pool": True}, "stem_pool is an option of R"),
        ({"arch": "r3d_18", "stem_pool": False}, "stem_pool is an option of R"),
        ({"arch": "r2plus1d_18", "variant": "torchvision", "stem_pool": True}, "stem_pool is an option of R"),
        ({"arch": "r3d_18", "speed_ratio": 4}, "speed_ratio is an option of SlowFast"),
        ({"arch": "mc3_18", "lateral_kernel": 5}, "lateral_kernel is an option of SlowFast"),
        ({"arch": "r3d_18", "num_classes": 0}, "num_classes is 0"),
        ({"arch": "r3d_18", "num_frames": 0}, "num_frames is 0"),
        ({"arch": "r3d_18", "dropout": 1.5}, "dropout is 1.5"),
    ],
)
def test_bad_settings_say_what_to_do(settings: dict[str, object], message: str) -> None:
    with torch.device("meta"), pytest.raises(UserError, match=r"expected|fix") as caught:
        Video3D(**settings)  # type: ignore[arg-type]
    assert message in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 4, 3, 32, 32), (8, 3, 32, 32), (1, 3, 8, 32, 32)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected clips \(B, 8, 3, H, W\)"):
        meta_model("r3d_10", num_frames=8)(torch.empty(shape, device="meta"))
