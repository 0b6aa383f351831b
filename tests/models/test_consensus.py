"""From frames to logits, against published numbers and against relations taken one by one."""

from __future__ import annotations

import copy
import json
from collections import Counter
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.named_weights import GOLDEN, give_named_weights, named_state, named_tensor_normal
from tinkit.errors import UserError
from tinkit.models.consensus import MultiscaleRelation, Relation, Scale, make_consensus

SPECS = json.loads((GOLDEN / "zoo.json").read_text())


def our_name(name: str) -> str:
    """Of a parameter in the TRN repository."""
    head, layer, kind = name.rsplit(".", 2)
    place = {"1": "fc1", "3": "fc2"}[layer]
    return f"{place}.{kind}" if head == "classifier" else f"{head.replace('fc_fusion_scales', 'scales')}.{place}.{kind}"


@pytest.mark.parametrize("tag", ["trn", "trn_multiscale_3"])
@pytest.mark.parametrize("training", [False, True])
def test_golden_logits(tag: str, training: bool) -> None:
    """Three segments have no more relations a scale than training draws, so that nothing is left to chance."""
    spec = SPECS[tag]
    kind: Any = tag.removesuffix("_3")
    model = make_consensus(kind, spec["num_segments"], spec["num_classes"], spec["feature_dim"]).train(training)
    names = {name: our_name(name) for name in spec["keys"]}
    model.load_state_dict({names[name]: value for name, value in named_state(spec["keys"]).items()})
    video = named_tensor_normal(f"{tag}.video", (2, spec["num_segments"], spec["feature_dim"]))
    with torch.no_grad():
        logits = model(video)
    far = float((logits - torch.from_numpy(np.load(GOLDEN / "zoo.npz")[f"{tag}.logits"])).abs().max())
    print(f"{tag}: {far:.1e} from the published code's, up to {float(logits.abs().max()):.2f}")
    assert far <= 1e-4


def one_by_one(model: MultiscaleRelation, frames: Tensor, chosen: dict[int, list[tuple[int, ...]]]) -> Tensor:
    """The sum over chosen relations by scale, each going through its scale's network with its frames in a row."""
    total = torch.zeros(len(frames), model.scales[0].fc2.out_features, dtype=frames.dtype)
    for scale, size in zip(model.scales, range(frames.shape[1], 1, -1), strict=True):
        for relation in chosen[size]:
            row = torch.cat([frames[:, t] for t in relation], dim=1)
            total += scale.fc2(F.relu(scale.fc1(F.relu(row))))
    return total


def test_testing_expects_what_training_draws() -> None:
    segments, sampled = 6, 3
    model = MultiscaleRelation(segments, 5, in_features=4, sampled=sampled).double().eval()
    give_named_weights(model)
    frames = torch.randn(3, segments, 4, dtype=torch.float64)
    expected = torch.zeros(3, 5, dtype=torch.float64)
    for size in range(segments, 1, -1):
        relations = list(combinations(range(segments), size))
        only = {k: relations if k == size else [] for k in range(2, segments + 1)}
        expected += min(sampled, len(relations)) / comb(segments, size) * one_by_one(model, frames, only)
    torch.testing.assert_close(model(frames), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mode", ["training", "sample_in_test"])
def test_what_is_drawn(mode: str) -> None:
    """Draws are of distinct relations of every scale, the same for all clips, and every relation gets its turn."""
    model = MultiscaleRelation(4, 3, in_features=2, sample_in_test=mode == "sample_in_test").double()
    give_named_weights(model)
    model.train(mode == "training")
    frames = torch.randn(2, 4, 2, dtype=torch.float64)
    whole, triples, pairs = (list(combinations(range(4), size)) for size in (4, 3, 2))
    candidates = {
        (a, b): one_by_one(model, frames, {4: whole, 3: list(a), 2: list(b)})
        for a in combinations(triples, 3)
        for b in combinations(pairs, 3)
    }
    torch.manual_seed(0)
    seen: Counter[Any] = Counter()
    for _ in range(60):
        logits = model(frames)
        found = [key for key, value in candidates.items() if torch.allclose(logits, value, rtol=1e-9, atol=1e-12)]
        assert len(found) == 1
        seen.update(found[0][1])
    assert set(seen) == set(pairs)
    torch.manual_seed(0)
    first = model(frames)
    torch.manual_seed(0)
    assert torch.equal(first, model(frames))


def test_testing_is_the_same_every_time_and_draws_nothing() -> None:
    model = MultiscaleRelation(5, 3, in_features=4).eval()
    frames = torch.randn(2, 5, 4)
    state = torch.get_rng_state()
    assert torch.equal(model(frames), model(frames))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", ["trn", "trn_multiscale"])
def test_relations_see_the_order_of_frames(kind: Any) -> None:
    model = make_consensus(kind, 5, 3, 8).eval()
    give_named_weights(model)
    frames = torch.randn(2, 5, 8)
    assert float((model(frames) - model(frames.flip(1))).detach().abs().max()) > 1e-2
    alone = torch.cat([model(clip[None]) for clip in frames])
    torch.testing.assert_close(model(frames), alone, rtol=1e-4, atol=1e-5)
    assert model(frames[:0]).shape == (0, 3)
    assert torch.equal(copy.deepcopy(model)(frames), model(frames))


def test_average_and_every_frame() -> None:
    frames = torch.randn(2, 5, 7)
    average, every = make_consensus("avg", 5, 7), make_consensus("identity", 5, 7)
    assert torch.equal(average(frames), frames.mean(1))
    assert every(frames) is frames
    assert [model(frames.bfloat16()).dtype for model in (average, every)] == [torch.float32] * 2
    assert [model.in_features for model in (average, every, make_consensus("trn", 5, 7))] == [7, 7, 256]
    assert not average.state_dict()


@pytest.mark.parametrize("kind", ["trn", "trn_multiscale"])
def test_logits_are_float32_under_autocast_and_every_parameter_learns(kind: Any) -> None:
    model = make_consensus(kind, 4, 3, 8)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(torch.randn(2, 4, 8))
    assert logits.dtype == torch.float32
    F.cross_entropy(logits, torch.tensor([0, 2])).backward()
    assert all(bool(parameter.grad.abs().sum() > 0) for parameter in model.parameters())


def test_state_dict_holds_weights_only() -> None:
    shapes = {name: tuple(value.shape) for name, value in MultiscaleRelation(4, 9, in_features=8).state_dict().items()}
    assert shapes == {
        f"scales.{index}.{name}": shape
        for index, size in enumerate((4, 3, 2))
        for name, shape in {
            "fc1.weight": (256, size * 8), "fc1.bias": (256,), "fc2.weight": (9, 256), "fc2.bias": (9,)
        }.items()
    }  # fmt: skip
    assert {name: tuple(value.shape) for name, value in Relation(4, 9, 8).state_dict().items()} == {
        "fc1.weight": (512, 32), "fc1.bias": (512,), "fc2.weight": (9, 512), "fc2.bias": (9,)
    }  # fmt: skip


def test_all_relations_of_sixteen_segments() -> None:
    model = MultiscaleRelation(16, 3, in_features=4).eval()
    assert sum(len(scale.relations) for scale in model.scales) == 2**16 - 16 - 1
    with torch.inference_mode():
        assert model(torch.randn(1, 16, 4)).isfinite().all()


@pytest.mark.parametrize("kind", ["avg", "identity", "trn", "trn_multiscale"])
def test_compiled_and_exported(kind: Any) -> None:
    model, frames = make_consensus(kind, 4, 3, 8).eval(), torch.randn(2, 4, 3 if kind in ("avg", "identity") else 8)
    expected = model(frames)
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")(frames)
        batch = {0: torch.export.Dim("batch")}
        exported = torch.export.export(model, (frames,), dynamic_shapes=(batch,)).module()
    torch.testing.assert_close(compiled, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(exported(frames.repeat(2, 1, 1))[:2], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_consensus("mean", 8, 3), r"no consensus is called 'mean'"),  # type: ignore[arg-type]
        (lambda: make_consensus("trn_multi_scale", 8, 3), r"did you mean 'trn_multiscale'"),  # type: ignore[arg-type]
        (lambda: MultiscaleRelation(17, 3), "trn_multiscale of 17 segments"),
        (lambda: MultiscaleRelation(1, 3), "trn_multiscale of 1 segments"),
        (lambda: MultiscaleRelation(4, 3, sampled=0), "0 relations a scale"),
    ],
)
def test_settings_that_cannot_be(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def _low_rank(layer: nn.Linear) -> nn.Module:
    class LowRank(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) + torch.tanh(x).sum(-1, keepdim=True)

    return LowRank()


@pytest.mark.parametrize("name", ["fc1", "fc2"])
@pytest.mark.parametrize("change", ["hook", "swapped", "patched", "quantised"])
def test_a_changed_layer_of_a_relation_has_its_effect(name: str, change: str) -> None:
    scale = Scale(2, 4, 5, 8).eval()
    frames = torch.randn(3, 4, 8)
    scale.fc2.weight.data.normal_(generator=torch.Generator().manual_seed(0))
    before = scale(frames, 6, draw=False)
    layer = getattr(scale, name)
    match change:
        case "hook":
            layer.register_forward_hook(lambda module, given, out: out.abs())
            changed = lambda x: F.linear(x, layer.weight, layer.bias).abs()  # noqa: E731
        case "swapped":
            setattr(scale, name, _low_rank(layer))
            changed = getattr(scale, name)
        case "patched":
            layer.forward = lambda x: F.linear(x, layer.weight, layer.bias) ** 2
            changed = layer.forward
        case _:
            scale = torch.ao.quantization.quantize_dynamic(scale, {nn.Linear})
            changed = None
    found = scale(frames, 6, draw=False)
    if changed is None:
        torch.testing.assert_close(found, before, rtol=0.05, atol=0.05 * float(before.abs().max()))
        return
    calls = {"fc1": scale.fc1, "fc2": scale.fc2} | {name: changed}
    wanted = sum(
        calls["fc2"](F.relu(calls["fc1"](F.relu(torch.cat([frames[:, i], frames[:, j]], 1)))))
        for i, j in combinations(range(4), 2)
    )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert (found - before).abs().max() > 0.05 * before.abs().max()
