"""Whole classifiers against the reference implementations', through the loader of their checkpoints."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.named_weights import golden_models, named_state, named_video
from tinkit.models import VideoClassifier, load_foreign, record_steering

SPECS, NUMBERS = golden_models()


@pytest.mark.slow
@pytest.mark.parametrize("tag", SPECS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_logits_and_offsets(tag: str, layout: torch.memory_format) -> None:
    spec = SPECS[tag]
    model = VideoClassifier(
        spec["arch"],
        spec["kind"],
        num_classes=spec["num_classes"],
        num_segments=spec["num_segments"],
        shift_div=spec["shift_div"],
    )
    report = load_foreign(named_state(spec["keys"]), model)
    assert (report.layout, report.new, report.dropped) == (spec["kind"], (), {})
    assert set(report.used) == set(spec["keys"])
    model = model.eval().to(memory_format=layout)  # type: ignore[call-overload]  # torch's stub lacks it
    video = named_video(tag, spec["batch"], spec["num_segments"], spec["size"])
    with torch.inference_mode(), record_steering(model) as steering:
        logits = model(video)
    worst = {"logits": float((logits - torch.from_numpy(NUMBERS[f"{tag}.logits"])).abs().max())}
    if spec["kind"] == "tin":
        offsets = torch.stack([entries[0][0] for entries in steering.values()])
        worst["offsets"] = float((offsets - torch.from_numpy(NUMBERS[f"{tag}.offsets"])).abs().max())
    else:
        assert steering == {}
    print(f"{tag}: worst {worst}, logits up to {logits.abs().max():.2f}")
    assert max(worst.values()) <= 1e-4
