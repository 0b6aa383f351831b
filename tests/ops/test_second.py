"""Derivatives of derivatives, and torch.func's transforms, of every operator that tinkit registers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd import gradcheck as check_once
from torch.autograd import gradgradcheck as check_twice

from tinkit.models import TemporalShift, VideoClassifier
from tinkit.ops import fold_mean, interlace, interlace_fold, interlaced_conv, steer, steered_conv

CLIPS, FRAMES, CHANNELS, FOLD, SIDE = 1, 3, 6, 4, 2
Case = tuple[Callable[..., Tensor | tuple[Tensor, ...]], tuple[Tensor, ...]]


def leaf(*shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
    return (torch.rand(shape, dtype=torch.float64) * (high - low) + low).requires_grad_()


def cases() -> dict[str, Case]:
    """Functions of float64 leaves. Offsets lie off whole frames, where they have no derivative."""
    torch.manual_seed(3)
    x = leaf(CLIPS * FRAMES, CHANNELS, SIDE, SIDE)
    offset = torch.tensor([[0.4, -0.7, 1.6, -1.3]], dtype=torch.float64).requires_grad_()
    gain = leaf(CLIPS, FRAMES, 4, low=0.2, high=1.8)
    weight, bias = leaf(2, CHANNELS, 3, 3), leaf(2)
    shapes = [(1, FOLD, 3), (1,), (FRAMES, FRAMES), (FRAMES,), (2, FRAMES), (2,), (2, FOLD, 3), (2,)]
    steering = tuple(leaf(*shape) for shape in shapes)
    settings = ((1, 1), (1, 1), (1, 1), 1)
    strided = ((2, 1), (1, 1), (1, 1), 2)
    half = leaf(2, CHANNELS // 2, 3, 3)
    return {
        "interlace": (lambda *given: interlace(*given, FOLD), (x, offset, gain)),
        "interlace_fold": (lambda *given: interlace_fold(*given, FOLD), (x, offset, gain)),
        "fold_mean": (lambda given: fold_mean(given, FOLD), (x,)),
        "steer": (lambda pooled, *rest: steer(pooled, rest), (leaf(CLIPS * FRAMES, FOLD), *steering)),
        "interlaced_conv": (
            lambda x, offset, gain, *conv: interlaced_conv(x, offset, gain, FOLD, *conv, *settings),
            (x, offset, gain, weight, bias),
        ),
        "interlaced_conv in groups, no bias": (
            lambda x, offset, gain, weight: interlaced_conv(x, offset, gain, FOLD, weight, None, *strided),
            (x, offset, gain, half),
        ),
        "steered_conv": (
            lambda x, weight, bias, *rest: steered_conv(x, FOLD, rest, weight, bias, *settings),
            (x, weight, bias, *steering),
        ),
        "shift": (TemporalShift(FRAMES, 3), (x,)),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", cases())
def test_second_derivatives(name: str) -> None:
    function, inputs = cases()[name]
    assert check_once(function, inputs)
    assert check_twice(function, inputs, atol=1e-4)


@pytest.mark.parametrize("name", cases())
def test_transforms_of_torch_func(name: str) -> None:
    """A product with the Jacobian forwards is the transpose of one backwards, and vmap is a loop."""
    function, inputs = cases()[name]
    plain = tuple(tensor.detach() for tensor in inputs)

    def first(*given: Tensor) -> Tensor:
        found = function(*given)
        return found if isinstance(found, Tensor) else found[0]

    along = tuple(torch.randn_like(tensor) for tensor in plain)
    out, moved = torch.func.jvp(first, plain, along)
    grads = torch.autograd.grad(first(*inputs), inputs, weights := torch.randn_like(out), materialize_grads=True)
    forwards = (moved * weights).sum()
    assert forwards.abs() > 1e-6
    torch.testing.assert_close(sum((a * b).sum() for a, b in zip(along, grads, strict=True)), forwards)

    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(tensor, tangent) for tensor, tangent in zip(plain, along, strict=True)]
        torch.testing.assert_close(forward_ad.unpack_dual(first(*duals)).tangent, moved)

    doubled = tuple(torch.stack([tensor, 0.5 * tensor]) for tensor in plain)
    together = torch.func.vmap(first)(*doubled)
    for index in range(2):
        torch.testing.assert_close(together[index], first(*(tensor[index] for tensor in doubled)).detach())


INNER = (
    *("interlace_backward", "interlace_fold_backward", "interlace_write_", "fold_restore_", "interlace_products"),
    *("interlace_transpose_", "steer_backward", "interlaced_conv_backward", "steered_conv_backward"),
    *("add_relu_", "normalise_into_"),
)


def test_every_operator_is_differentiated_or_refuses() -> None:
    names = {name.split("::")[1].split(".")[0] for name in torch._C._dispatch_get_all_op_names() if "tinkit::" in name}
    names = {name for name in names if not name.startswith("probe_")}  # of other tests
    outer = {name.split(" ")[0] for name in cases()} - {"shift"}
    assert names == outer | set(INNER)


@pytest.mark.parametrize("name", INNER)
def test_inner_operators_refuse_gradients(name: str) -> None:
    """As many tensors as the schema asks for: the refusal comes before anything is looked at."""
    overload = getattr(torch.ops.tinkit, name).default
    arguments: list[object] = []
    for argument in overload._schema.arguments:
        kind = str(argument.type)
        filler: dict[str, object] = {"int": 4, "bool": False, "List[int]": [1, 1], "List[bool]": [True] * 4}
        arguments.append(filler.get(kind, torch.zeros(4, 4, 1, 1, requires_grad=True)))
    with pytest.raises(RuntimeError, match=f"tinkit::{name} has no gradients"):
        overload(*arguments)


@pytest.mark.parametrize("temporal", ["tin", "tsm"])
def test_a_gradient_penalty_of_a_network(temporal: str) -> None:
    """Its derivative by one weight of steering and one of the stem is that of differences."""
    torch.manual_seed(0)
    model = VideoClassifier("resnet18", temporal, 3, 4, dropout=0, zero_init_last=False, classifier_std=0.1)  # type: ignore[arg-type]
    model.double().eval()
    video = torch.randn(1, 4, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    names = ["backbone.conv1.weight", "backbone.layer2.0.conv1.weight"]
    if temporal == "tin":
        names.append("backbone.layer2.0.conv1.temporal.gain_net.conv.bias")
    parameters = dict(model.named_parameters())

    def penalty() -> Tensor:
        (slope,) = torch.autograd.grad(model(video).square().sum(), video, create_graph=True)
        return slope.square().sum()

    found = torch.autograd.grad(penalty(), [parameters[name] for name in names])
    for name, gradient in zip(names, found, strict=True):
        weight, step = parameters[name], 1e-6
        index = tuple(int(i) for i in torch.unravel_index(gradient.abs().argmax(), gradient.shape))
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[index] += sign * step
            values.append(float(penalty().detach()))
            with torch.no_grad():
                weight[index] -= sign * step
        assert float(gradient[index]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-3)
