"""Non-local blocks: published numbers, every pair of positions one by one, and where they stand."""

from __future__ import annotations

import copy
import json
import re
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.named_weights import GOLDEN, give_named_weights, named_state, named_video
from tinkit.errors import UserError
from tinkit.models import VideoClassifier, freeze_partial_bn
from tinkit.models.temporal.non_local import NonLocal, add_non_local
from tinkit.models.temporal.pool import stage_segments
from tinkit.timm_import import import_timm

timm = import_timm()
KINDS = ("embedded_gaussian", "gaussian", "dot_product")


def our_name(name: str) -> str:
    """Of an entry in the TSM repository, where a wrapper holds the block and the non-local block behind it."""
    name = name.replace("base_model.", "backbone.").replace("new_fc.", "classifier.").replace(".net.", ".")
    name = re.sub(r"(layer\d)\.(\d+)\.nl\.", r"\1.non_local\2.", name.replace(".block.", "."))
    for theirs, ours in (("g.0", "g"), ("phi.0", "phi"), ("W.0", "out"), ("W.1", "norm")):
        name = name.replace(f".{theirs}.", f".{ours}.") if ".non_local" in name else name
    return name


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 3e-6), (torch.float32, 3e-5)])
def test_golden_logits(dtype: torch.dtype, limit: float) -> None:
    """The logits reach 273. What the published code rounds in float32 leaves it 4e-4 from ours in float64."""
    spec = json.loads((GOLDEN / "zoo.json").read_text())["tsm_nl_r50"]
    model = VideoClassifier(
        spec["arch"], "tsm", spec["num_classes"], spec["num_segments"], spec["shift_div"], non_local="embedded_gaussian"
    )
    model.load_state_dict({our_name(name): value for name, value in named_state(spec["keys"]).items()})
    with torch.inference_mode():
        logits = model.to(dtype).eval()(named_video("tsm_nl_r50", 1, spec["num_segments"], spec["size"]).to(dtype))
    expected = torch.from_numpy(np.load(GOLDEN / "zoo.npz")["tsm_nl_r50.logits"])
    far, largest = float((logits - expected).abs().max()), float(expected.abs().max())
    print(f"{far:.1e} from the published code's, up to {largest:.2f}")
    assert far <= limit * largest


def block(kind: Any, subsample: bool, channels: int = 6, frames: int = 3) -> NonLocal:
    module = NonLocal(channels, frames, kind, subsample=subsample).double()
    give_named_weights(module)
    return module.eval()


def one_by_one(module: NonLocal, x: Tensor) -> Tensor:
    """Equations 1 and 6 for clips (T, C, H, W), position after position."""

    def embed(layer: nn.Module, vector: Tensor) -> Tensor:
        return vector if isinstance(layer, nn.Identity) else layer.weight.flatten(1) @ vector + layer.bias

    def seen(layer: nn.Module) -> list[Tensor]:
        """``layer`` of every position; sub-sampled, the largest of each 2 x 2 by channel, what is left over unseen."""
        height, width = x.shape[2:]
        embedded = {(t, i, j): embed(layer, x[t, :, i, j]) for t, i, j in product(*map(range, (len(x), height, width)))}
        if not module.subsample:
            return list(embedded.values())
        corners = product(range(len(x)), range(0, height - 1, 2), range(0, width - 1, 2))
        return [
            torch.stack([embedded[t, i + a, j + b] for a, b in product((0, 1), (0, 1))]).amax(0) for t, i, j in corners
        ]

    keys, values, norm = seen(module.phi), seen(module.g), module.norm
    out = torch.empty_like(x)
    for t, i, j in product(*map(range, (len(x), *x.shape[2:]))):
        theta = embed(module.theta, x[t, :, i, j])
        f = torch.stack([theta @ key for key in keys])
        f = f / len(keys) if module.kind == "dot_product" else f.exp() / f.exp().sum()
        y = sum(weight * value for weight, value in zip(f, values, strict=True))
        branch = (embed(module.out, y) - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        out[t, :, i, j] = x[t, :, i, j] + branch * norm.weight + norm.bias
    return out


@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_of_positions(kind: str, subsample: bool) -> None:
    module = block(kind, subsample)
    x = torch.randn(6, 6, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        expected = torch.cat([one_by_one(module, clip) for clip in x.split(3)])
        torch.testing.assert_close(module(x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind: str, subsample: bool) -> None:
    """By finite differences, with batch statistics, as in training."""
    module = block(kind, subsample, channels=2, frames=2).train()
    parameters = list(module.parameters())
    x = torch.randn(4, 2, 2, 3, dtype=torch.float64, requires_grad=True)

    def run(x: Tensor, *_parameters: Tensor) -> Tensor:
        return module(x)

    assert torch.autograd.gradcheck(run, (x, *parameters), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_starts_as_the_identity_and_leaves_it(kind: Any) -> None:
    module = NonLocal(8, 2, kind)
    x = torch.randn(4, 8, 6, 6)
    assert torch.equal(module(x), x)
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    for _ in range(2):  # in the first step only the norm's weight, which was zero, can move
        optimizer.zero_grad()
        (module(x) * torch.randn_like(x)).sum().backward()
        optimizer.step()
    silent = [
        name
        for name, parameter in module.named_parameters()
        # Batch statistics take what is added to a channel away again; in a softmax so does what all positions share.
        if not (parameter.grad.abs().sum() > 0) and name not in ("out.bias", "g.bias", "phi.bias")
    ]
    assert silent == []


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", KINDS)
def test_layout_and_autocast(kind: str, layout: torch.memory_format) -> None:
    module = block(kind, True, channels=8).float()
    x = torch.randn(6, 8, 6, 6).contiguous(memory_format=layout)
    with torch.no_grad():
        out = module(x)
        assert out.is_contiguous(memory_format=layout)
        assert module(x[:0]).shape == x[:0].shape
        with torch.autocast("cpu", torch.bfloat16):
            half = module(x)
    torch.testing.assert_close(half.float(), out, rtol=0.1, atol=0.1)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_exported_and_copied(kind: str) -> None:
    module = block(kind, True).float()
    x = torch.randn(6, 6, 4, 4)
    expected = module(x)
    torch.testing.assert_close(torch.compile(module, fullgraph=True, backend="aot_eager")(x), expected)
    assert torch.equal(copy.deepcopy(module)(x), expected)
    with torch.no_grad():
        exported = torch.export.export(module, (x,), dynamic_shapes=({0: 3 * torch.export.Dim("clips")},)).module()
        torch.testing.assert_close(exported(x.repeat(2, 1, 1, 1))[:6], expected)


def names_of(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, NonLocal)]


@pytest.mark.parametrize(
    ("backbone", "depths"), [("resnet18", (2, 2)), ("resnet50", (4, 6)), ("resnet101", (4, 23)), ("resnet152", (8, 36))]
)
def test_published_places_at_any_depth(backbone: str, depths: tuple[int, int]) -> None:
    """No block is lost: the TSM repository keeps six blocks of the third stage, however many there are."""
    with torch.device("meta"):
        model = VideoClassifier(backbone, "tsm", 3, 4, non_local="gaussian")
        plain = timm.create_model(backbone, num_classes=0)
    places = [("layer2", n) for n in (0, 2) if n < depths[0]] + [("layer3", n) for n in (0, 2, 4) if n < depths[1]]
    assert names_of(model) == [f"backbone.{stage}.non_local{n}" for stage, n in places]
    own = {name for name in model.state_dict() if ".non_local" not in name}
    assert own == {f"backbone.{name}" for name in plain.state_dict()} | {"classifier.weight", "classifier.bias"}
    for stage, depth in zip(("layer2", "layer3"), depths, strict=True):
        order = [name for name, _ in getattr(model.backbone, stage).named_children()]
        expected = [
            name for n in range(depth) for name in (str(n), *([f"non_local{n}"] if (stage, n) in places else []))
        ]
        assert order == expected
    assert model(torch.empty(1, 4, 3, 64, 64, device="meta")).shape == (1, 3)


def test_behind_the_block_that_was_named() -> None:
    backbone = timm.create_model("test_resnet", num_classes=0)
    give_named_weights(backbone)
    x = torch.randn(4, 3, 64, 64)
    plain = copy.deepcopy(backbone.eval())
    add_non_local(backbone, stage_segments(2), "dot_product", places={"layer1": [0], "layer4": (0,)})
    first, last = backbone.layer1.non_local0, backbone.layer4.non_local0
    for module in (first, last):
        give_named_weights(module)
    with torch.no_grad():
        stem = plain.maxpool(plain.act1(plain.bn1(plain.conv1(x))))
        behind = plain.layer3(plain.layer2(plain.layer1[1:](first.eval()(plain.layer1[0](stem)))))
        expected = plain.forward_head(plain.layer4[1:](last.eval()(plain.layer4[0](behind))))
        torch.testing.assert_close(backbone.eval()(x), expected)


@pytest.mark.parametrize("synchronised", [False, True])
def test_learns_under_partial_bn(synchronised: bool) -> None:
    from timm.layers import convert_sync_batchnorm

    model = VideoClassifier("resnet10t", "tin", 3, 2, non_local="embedded_gaussian", non_local_places={"layer2": [0]})
    if synchronised:
        model = convert_sync_batchnorm(model)
    freeze_partial_bn(model.train())
    free = {name.rpartition(".")[0] for name, p in model.named_parameters() if p.requires_grad and p.ndim == 1}
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)}
    assert norms & free == {"backbone.conv1.1", "backbone.layer2.non_local0.norm"}
    assert {name for name in norms if model.get_submodule(name).training} == norms & free


def test_gives_and_takes_the_whole_clip_and_no_other() -> None:
    module = block("gaussian", False).float()
    x = torch.randn(6, 6, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(module(x[3:]), module(x)[3:])
        changed = x.clone()
        changed[0, :, 0, 0] += 1
        moved = (module(changed) - module(x)).abs().amax((1, 2, 3))
        assert bool((moved[:3] > 1e-4).all())
        assert float(moved[3:].max()) == 0
        # Time has no direction in it: frames in another order give the same in that order.
        torch.testing.assert_close(module(x[:3].flip(0)), module(x[:3]).flip(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"non_local": "gausian"}, r"no non-local block is called 'gausian'.*did you mean 'gaussian'"),
        ({"non_local_places": {"layer2": [7]}}, "no block 7 in layer2"),
        ({"non_local_places": {"layer5": [0]}}, "has no stage 'layer5'"),
        ({"non_local_places": {"layer2": [0, 0]}}, "layer2 names block 0 more than once"),
        ({"backbone": "test_convnext"}, r"\(ConvNeXt\) has no stage 'layer2'"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"backbone": "test_resnet", "temporal": "tsn", "non_local": "gaussian"}
    with pytest.raises(UserError, match=message):
        VideoClassifier(**(given | settings))


def test_softmax_of_large_features_is_finite() -> None:
    """The Gaussian is of features that nothing keeps small."""
    out = F.relu(block("gaussian", False).float()(1e3 * torch.randn(3, 6, 4, 4)))
    assert bool(out.isfinite().all())
