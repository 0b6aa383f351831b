"""3D networks against other people's: torchvision's modules, and PySlowFast written out from its table of layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.helpers.named_weights import give_named_weights, named_state, named_video
from tinkit.models.clipnets.slowfast import slow_frames
from tinkit.models.clipnets.video3d import Video3D
from tinkit.models.foreign.names_3d import foreign_keys
from tinkit.timm_import import import_timm


def meta_model(arch: str, **settings: object) -> Video3D:
    with torch.device("meta"):
        return Video3D(arch, num_classes=400, **settings).eval()  # type: ignore[arg-type]


@pytest.mark.thorough
@pytest.mark.parametrize("arch", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_torchvision_logits(arch: str) -> None:
    import_timm()
    from torchvision.models import video as torchvision_video

    reference = getattr(torchvision_video, arch)(weights=None, num_classes=7)
    give_named_weights(reference)
    model = Video3D(arch, num_classes=7, num_frames=9, variant="torchvision").eval()
    keys = foreign_keys(model)
    assert sorted(keys) == sorted(reference.state_dict())
    state = reference.state_dict()
    model.load_state_dict({ours: state[key] for key, ours in keys.items()})
    clips = named_video(arch, 2, 9, 40)
    with torch.inference_mode():
        expected = reference.eval()(clips.transpose(1, 2))
        assert float((model(clips) - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


@pytest.mark.parametrize("kind", ["r3d", "r2plus1d"])
def test_torchvision_bottlenecks(kind: str) -> None:
    import_timm()
    from torchvision.models.video import resnet

    convolution, stem = {
        "r3d": (resnet.Conv3DSimple, resnet.BasicStem),
        "r2plus1d": (resnet.Conv2Plus1D, resnet.R2Plus1dStem),
    }[kind]
    with torch.device("meta"):
        reference = resnet.VideoResNet(resnet.Bottleneck, [convolution] * 4, [3, 4, 6, 3], stem)
    model = meta_model(f"{kind}_50", variant="torchvision")
    own = model.state_dict()
    expected = {key: value.shape for key, value in reference.state_dict().items()}
    assert {key: own[ours].shape for key, ours in foreign_keys(model).items()} == expected


# PySlowFast, written out from its table of layers


class PlainPySlowFast:
    """A slow, obvious PySlowFast of 50 or 101 layers on a state dict of its names, in evaluation mode."""

    def __init__(self, state: dict[str, Tensor], alpha: int, kernel: int) -> None:
        self.state, self.alpha, self.kernel = state, alpha, kernel

    def conv_bn(self, x: Tensor, conv: str, bn: str, stride: tuple[int, int, int] = (1, 1, 1)) -> Tensor:
        weight = self.state[f"{conv}.weight"]
        padding = [side // 2 for side in weight.shape[2:]]
        mean, var, gain, shift = (
            self.state[f"{bn}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        x = functional.conv3d(x, weight, None, stride, padding)
        column = (1, -1, 1, 1, 1)
        return (x - mean.view(column)) / (var.view(column) + 1e-5).sqrt() * gain.view(column) + shift.view(column)

    def block(self, x: Tensor, name: str, side: int) -> Tensor:
        y = functional.relu(self.conv_bn(x, f"{name}.branch2.a", f"{name}.branch2.a_bn"))
        y = functional.relu(self.conv_bn(y, f"{name}.branch2.b", f"{name}.branch2.b_bn", (1, side, side)))
        y = self.conv_bn(y, f"{name}.branch2.c", f"{name}.branch2.c_bn")
        if f"{name}.branch1.weight" in self.state:
            x = self.conv_bn(x, f"{name}.branch1", f"{name}.branch1_bn", (1, side, side))
        return functional.relu(x + y)

    def __call__(self, clip: Tensor) -> Tensor:
        number = clip.shape[2]
        count = number // self.alpha
        picked = [int(index * (number - 1) / (count - 1)) for index in range(count)]
        paths = [clip[:, :, picked], clip]
        for way, x in enumerate(paths):
            stem = f"s1.pathway{way}_stem"
            y = functional.relu(self.conv_bn(x, f"{stem}.conv", f"{stem}.bn", (1, 2, 2)))
            paths[way] = functional.max_pool3d(y, (1, 3, 3), (1, 2, 2), (0, 1, 1))
        for stage in (2, 3, 4, 5):
            fuse = f"s{stage - 1}_fuse"
            brought = functional.relu(self.conv_bn(paths[1], f"{fuse}.conv_f2s", f"{fuse}.bn", (self.alpha, 1, 1)))
            paths[0] = torch.cat([paths[0], brought], 1)
            for way in (0, 1):
                block = 0
                while f"s{stage}.pathway{way}_res{block}.branch2.a.weight" in self.state:
                    side = 2 if stage > 2 and block == 0 else 1
                    paths[way] = self.block(paths[way], f"s{stage}.pathway{way}_res{block}", side)
                    block += 1
        pooled = torch.cat([path.flatten(2).mean(2) for path in paths], 1)
        return pooled @ self.state["head.projection.weight"].T + self.state["head.projection.bias"]


@pytest.mark.parametrize(("alpha", "frames", "kernel"), [(4, 32, 7), (8, 16, 5)])
def test_pyslowfast_is_its_layers_written_out(alpha: int, frames: int, kernel: int) -> None:
    model = Video3D("slowfast_50", 7, num_frames=frames, variant="pyslowfast", speed_ratio=alpha).eval()
    own = model.state_dict()
    state = named_state({theirs: own[ours].shape for theirs, ours in foreign_keys(model).items()})
    assert state["s3_fuse.conv_f2s.weight"].shape == (128, 64, kernel, 1, 1)
    model.load_state_dict({ours: state[theirs] for theirs, ours in foreign_keys(model).items()})
    clips = named_video("pyslowfast", 1, frames, 32)
    with torch.inference_mode():
        expected = PlainPySlowFast(state, alpha, kernel)(clips.transpose(1, 2))
        assert float((model(clips) - expected).abs().max()) <= 1e-4


def test_pyslowfast_keys_of_101_layers() -> None:
    """The released networks of 101 layers look at neighbouring frames in six blocks of the third stage only."""
    model = meta_model("slowfast_101", variant="pyslowfast")
    own = model.state_dict()
    shapes = {theirs: tuple(own[ours].shape) for theirs, ours in foreign_keys(model).items()}
    for block, frames in ((0, 3), (5, 3), (6, 1), (22, 1)):
        for way in (0, 1):
            assert shapes[f"s4.pathway{way}_res{block}.branch2.a.weight"][2] == frames
    assert shapes["s1_fuse.bn.running_mean"] == (16,)
    assert shapes["s2.pathway0_res0.branch1_bn.weight"] == (256,)


def test_slow_frames() -> None:
    assert slow_frames(32, 4, spread=False).tolist() == [0, 4, 8, 12, 16, 20, 24, 28]
    assert slow_frames(32, 4, spread=True).tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    assert slow_frames(8, 8, spread=False).tolist() == slow_frames(8, 8, spread=True).tolist() == [0]
