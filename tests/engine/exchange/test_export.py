"""What leaves for other runtimes: torch.export and ONNX get plain operations, and give the same logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.named_weights import give_named_weights, named_video
from tinkit.models import VideoClassifier
from tinkit.ops import interlace_reference
from tinkit.ops.reference import interlace_over_time

CLIPS = ({0: torch.export.Dim("clips", min=1, max=64)},)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    model = VideoClassifier("test_resnet", "tin", num_classes=7, num_segments=4)
    give_named_weights(model)
    return model.eval()


@pytest.fixture(scope="module")
def program(model: nn.Module) -> torch.export.ExportedProgram:
    return torch.export.export(model, (named_video("export", 2, 4, 32),), dynamic_shapes=CLIPS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_product_over_time_is_the_operator(dtype: torch.dtype) -> None:
    x = torch.randn(24, 9, 2, 3, dtype=torch.float64).to(dtype)
    offset = torch.cat([torch.rand(3, 3) * 12 - 6, torch.tensor([[1.0], [-8.0], [float("nan")]])], 1).double()
    gain = torch.rand(3, 8, 4).double()
    found, wanted = interlace_over_time(x, offset, gain, 8), interlace_reference(x.double(), offset, gain, 8)
    assert found.dtype == dtype
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 1e-2}[dtype]
    torch.testing.assert_close(found.double(), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
def test_exported_program_has_no_operator_of_this_package(program: torch.export.ExportedProgram) -> None:
    targets = [str(node.target) for node in program.run_decompositions().graph.nodes]
    assert targets
    assert not any("tinkit" in target for target in targets)


@pytest.mark.parametrize("clips", [1, 3])
def test_exported_program_agrees_for_any_number_of_clips(
    model: nn.Module, program: torch.export.ExportedProgram, clips: int
) -> None:
    video = named_video("other", clips, 4, 32)
    with torch.inference_mode():
        torch.testing.assert_close(program.module()(video), model(video), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_onnx_agrees_for_any_number_of_clips(
    model: nn.Module, program: torch.export.ExportedProgram, tmp_path: Path
) -> None:
    exported = torch.onnx.export(program, dynamo=True, verbose=False)
    assert exported is not None
    exported.save(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for clips in (1, 3):
        video: Tensor = named_video("onnx", clips, 4, 32)
        (logits,) = session.run(None, {session.get_inputs()[0].name: video.numpy()})
        with torch.inference_mode():
            torch.testing.assert_close(torch.from_numpy(logits), model(video), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"temporal": "tin", "consensus": "identity"},
        {"temporal": "tsm", "consensus": "trn_multiscale"},
        {"temporal": "tsm", "non_local": "embedded_gaussian", "non_local_places": {"layer2": [0]}},
        {"temporal": "tsm", "temporal_pool": True},
        {"temporal": "rtcn"},
        {"temporal": "tin", "modality": "flow"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_networks_of_every_kind_leave(settings: dict[str, Any]) -> None:
    model = VideoClassifier("test_resnet", num_classes=7, num_segments=4, **settings)
    give_named_weights(model)
    channels = 10 if model.modality == "flow" else 3
    example, other = torch.randn(2, 4, channels, 32, 32), torch.randn(3, 4, channels, 32, 32)
    program = torch.export.export(model.eval(), (example,), dynamic_shapes=CLIPS)
    with torch.inference_mode():
        torch.testing.assert_close(program.module()(other), model(other), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("temporal", ["tin", "tsm"])
def test_channels_are_not_cut_apart_and_joined(temporal: str) -> None:
    """Programs that run the export took longer for that than for the convolution behind it."""
    model = VideoClassifier("test_resnet", temporal, num_classes=7, num_segments=4).eval()  # type: ignore[arg-type]
    program = torch.export.export(model, (torch.randn(2, 4, 3, 32, 32),), dynamic_shapes=CLIPS)
    targets = [node.target for node in program.run_decompositions().graph.nodes]
    features = [
        node
        for node in program.run_decompositions().graph.nodes
        if node.target == torch.ops.aten.cat.default and node.meta["val"].ndim == 4
    ]
    assert torch.ops.aten.constant_pad_nd.default in targets
    assert features == []
