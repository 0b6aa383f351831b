"""`tinkit export`: what a run gives, other runtimes give from one file, for any number of clips."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from tests.helpers.scored_runs import QUIET, command, untrained
from tinkit.data.clips.testing import TestClips
from tinkit.data.config.views import ViewConfig
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.evaluation.test import run_test
from tinkit.engine.exchange import export as engine_export
from tinkit.engine.exchange.export import Exported, export_run, read_metadata
from tinkit.engine.runs.checkpoint import load_weights
from tinkit.engine.runs.run import Run
from tinkit.engine.runtime.build import build_model
from tinkit.errors import UserError
from tinkit.scores import read_scores

RECIPES = ("demo_tin", "demo_tsm", "demo_tsn")
Exports = Callable[[str, str], Exported]


@pytest.fixture(scope="module")
def runs(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    return {recipe: untrained(challenge, folder, recipe=recipe) for recipe in RECIPES}


@pytest.fixture(scope="module")
def exports(runs: dict[str, Run]) -> Exports:
    """A run's network in a format, exported when it is first asked for."""
    return cache(lambda recipe, form: export_run(runs[recipe], "best", form))


def network(run: Run, frames: int = 4) -> nn.Module:
    """The run's model, built and loaded here."""
    model = build_model(run.load_recipe(), 12, pretrained=False, num_segments=frames).eval()
    model.load_state_dict(load_weights(run.checkpoint("best")))
    return model


def logits(model: nn.Module, video: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(video)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_onnx_runs_any_number_of_clips(runs: dict[str, Run], exports: Exports, recipe: str) -> None:
    written = exports(recipe, "onnx")
    assert written.path == runs[recipe].folder / "export" / "best.onnx"
    assert written.difference is not None
    assert written.difference < 1e-5
    session = onnxruntime.InferenceSession(written.path, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["clips"]
    assert [one.name for one in session.get_outputs()] == ["logits"]
    for clips in (1, 2, 5):
        video = torch.randn(clips, 4, 3, 32, 32)
        (found,) = session.run(None, {"clips": video.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), logits(network(runs[recipe]), video), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_torch_program_runs_any_number_of_clips(runs: dict[str, Run], exports: Exports, recipe: str) -> None:
    written = exports(recipe, "torch")
    assert written.path == runs[recipe].folder / "export" / "best.pt2"
    program = torch.export.load(written.path)
    assert not any("tinkit" in str(node.target) for node in program.graph.nodes)
    for clips in (1, 2, 5):
        video = torch.randn(clips, 4, 3, 32, 32)
        wanted = logits(network(runs[recipe]), video)
        torch.testing.assert_close(logits(program.module(), video), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_torch_program_needs_no_tinkit(runs: dict[str, Run], exports: Exports, tmp_path: Path) -> None:
    written = exports("demo_tin", "torch")
    video = torch.randn(3, 4, 3, 32, 32)
    torch.save(video, tmp_path / "video.pt")
    code = (
        "import sys, torch; sys.modules['tinkit'] = sys.modules['timm'] = None\n"
        f"model = torch.export.load({str(written.path)!r}).module()\n"
        f"torch.save(model(torch.load({str(tmp_path / 'video.pt')!r})), {str(tmp_path / 'logits.pt')!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    wanted = logits(network(runs["demo_tin"]), video)
    torch.testing.assert_close(torch.load(tmp_path / "logits.pt"), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("recipe", "form"), [("demo_tsn", "onnx"), ("demo_tin", "torch")])
def test_the_file_says_all_that_a_prediction_needs(
    runs: dict[str, Run], exports: Exports, recipe: str, form: str
) -> None:
    """From the file alone: frames as uint8 are normalised, scored and named as `tinkit test` does."""
    run = runs[recipe]
    table = read_scores(run_test(run, "val", run.load_recipe().test, "best", QUIET).path)
    path = exports(recipe, form).path
    said = read_metadata(path)
    assert said["classes"] == list(table.info.classes)
    assert (said["task"], said["num_segments"], said["scale"], said["size"]) == ("multi-label", 4, 40, 32)
    assert said["input"]["shape"] == [None, 4, 3, 32, 32]
    settings = run.load_recipe()
    frames = TestClips(open_manifest(settings.data, "val"), settings.clip, settings.test)[5]["frames"].float() / 255
    mean, std = (torch.tensor(said[name]).view(3, 1, 1) for name in ("mean", "std"))
    video = (frames - mean) / std
    if form == "onnx":
        found = onnxruntime.InferenceSession(path).run(None, {"clips": video.numpy()})[0]
    else:
        found = torch.export.load(path).module()(video).detach().numpy()
    np.testing.assert_allclose(found[0], table.scores[5], rtol=1e-3, atol=1e-4)


def test_onnx_metadata_is_found_by_the_runtime(exports: Exports) -> None:
    path = exports("demo_tsn", "onnx").path
    found = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert json.loads(found["tinkit"]) == read_metadata(path)


@pytest.mark.slow
def test_another_number_of_frames_and_another_size(runs: dict[str, Run], tmp_path: Path) -> None:
    run = runs["demo_tsm"]
    views = ViewConfig.model_validate(run.load_recipe().test.model_dump() | {"num_segments": 6, "crop": 40})
    written = export_run(run, "best", "torch", views, tmp_path / "here" / "net.pt2")
    assert written.path == tmp_path / "here" / "net.pt2"
    video = torch.randn(2, 6, 3, 40, 40)
    found = logits(torch.export.load(written.path).module(), video)
    torch.testing.assert_close(found, logits(network(run, 6), video), rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match="sees 4 frames, as in training"):
        export_run(runs["demo_tin"], "best", "torch", views)


@pytest.mark.slow
def test_a_3d_network(challenge: Path, tmp_path: Path) -> None:
    changes = ["model.backbone=r3d_10", "model.temporal=3d", "test.sampling=dense", "train.channels_last=false"]
    run = untrained(challenge, tmp_path, *changes, recipe="demo_tsn")
    written = export_run(run, "best", "onnx")
    video = torch.randn(2, 4, 3, 32, 32)
    (found,) = onnxruntime.InferenceSession(written.path).run(None, {"clips": video.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), logits(network(run), video), rtol=1e-3, atol=1e-3)


def test_the_command(
    runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = runs["demo_tsn"], tmp_path / "tsn.pt2"
    words = ("export", run.folder, "--format", "torch", "--out", out, "--segments", "5", "--json")
    assert command(monkeypatch, *words) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["clips"], row["file"]) == ("N x 5 x 3 x 32 x 32", str(out))
    assert row["largest difference"] < 1e-5
    assert command(monkeypatch, *words) == 0  # again
    assert command(monkeypatch, "export", runs["demo_tin"].folder, "--format", "torch", "--out", out) == 2
    assert "is not an export of this run" in capsys.readouterr().err
    best = run.checkpoint("best").read_bytes()
    for form in ("onnx", "torch"):
        assert command(monkeypatch, "export", run.folder, "--format", form, "--out", run.checkpoint("best")) == 2
    assert run.checkpoint("best").read_bytes() == best
    capsys.readouterr()
    assert command(monkeypatch, "export", run.folder, "--format", "onxx") == 2
    assert "did you mean 'onnx'" in capsys.readouterr().err


def test_without_onnx_it_says_what_to_install(runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(engine_export, "find_spec", lambda name: None if name.startswith("onnx") else found(name))
    with pytest.raises(UserError, match="onnx, onnxscript") as raised:
        export_run(runs["demo_tsn"], "best", "onnx")
    assert raised.value.fix is not None
    assert "pip install 'tinkit[onnx]'" in raised.value.fix


def test_without_a_runtime_nothing_is_compared(
    runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(engine_export, "find_spec", lambda name: None if name == "onnxruntime" else found(name))
    assert command(monkeypatch, "export", runs["demo_tsn"].folder, "--out", tmp_path / "a.onnx", "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)[0]["largest difference"] is None
    assert "onnxruntime is not installed" in shown.err


def test_other_logits_are_not_written(runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_export, "_runner", lambda *_: lambda video: torch.zeros(len(video), 12))
    with pytest.raises(UserError, match="nothing was written"):
        export_run(runs["demo_tsn"], "best", "torch", out=tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.onnx", "a.pt2"])
def test_other_files_have_no_metadata(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(UserError, match="not a network that tinkit exported"):
        read_metadata(tmp_path / name)
