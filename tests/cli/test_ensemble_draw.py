"""A fusion fitted on a draw of the labelled clips says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.ensembles import ensemble
from tests.helpers.fusion_members import write_run
from tinkit.fusion.choosing import crossfit


def test_the_size_of_the_draw_is_recorded_and_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for run, strength in (("good", 3.0), ("noise", 0.0)):
        write_run(tmp_path / "runs", run, strength=strength)
    monkeypatch.setattr(crossfit, "FIT_ROWS", 40)
    shown = ensemble("good", "noise", "--method", "search", "--parts", "3", "--name", "f")
    assert "fitted on 40 of 60 labelled clips" in shown
    assert "better than the equal mean on all of val, too" in shown
    record = json.loads(Path("fusions/f/fusion.json").read_text())
    assert (record["fitted_on_clips"], record["labelled_clips"]) == (40, 60)
    counts = {name: record["metrics"][name]["counts"]["measured"] for name in ("fused", "cross_validated")}
    assert counts == {"fused": 60, "cross_validated": 40}
    monkeypatch.setattr(crossfit, "FIT_ROWS", 60)
    shown = ensemble("good", "noise", "--method", "stack", "--parts", "2", "--name", "g")
    assert "of 60 labelled clips" not in shown
