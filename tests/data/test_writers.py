"""What makes data completes after a kill, leaves nothing behind, and has one writer: a short form of the proof."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults import data_writers


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["mmit", "sthv1"])
def test_a_challenge_is_completed(tmp_path: Path, layout: str) -> None:
    spec = data_writers.SynthSpec(layout, clips=1, val=1, test=1, seed=3, size=32, frames=8)  # type: ignore[arg-type]

    def synth(base: Path) -> None:
        data_writers.synthesise(spec, base / "data", workers=0)

    outcomes = list(data_writers.completed(layout, tmp_path, lambda base: None, synth, step=11))
    assert len(outcomes) > 5
    assert [outcome for outcome in outcomes if not outcome.survived] == []


def test_a_manifest_is_completed(tmp_path: Path) -> None:
    outcomes = list(data_writers.completed("m", tmp_path, data_writers.with_data, data_writers.manifest, step=3))
    assert len(outcomes) > 5
    assert [outcome for outcome in outcomes if not outcome.survived] == []


def test_flow_is_completed(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    outcomes = list(data_writers.completed("f", tmp_path, data_writers.with_data, data_writers.flow, step=13))
    assert len(outcomes) > 5
    assert [outcome for outcome in outcomes if not outcome.survived] == []


def test_a_challenge_has_one_writer(tmp_path: Path) -> None:
    assert data_writers.in_use(tmp_path, 0).survived
