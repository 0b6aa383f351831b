"""`tinkit convert` and `tinkit test CHECKPOINT --recipe R`: out of the house, back in, and the same scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.helpers.scored_runs import command as tinkit
from tests.helpers.tiny_runs import QUIET, TINY, tiny, train
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.runs.checkpoint import load_weights
from tinkit.engine.runs.run import Run
from tinkit.engine.training.start import Trial, start_training
from tinkit.errors import UserError
from tinkit.models import read_checkpoint
from tinkit.models.foreign.files import read_file
from tinkit.scores import read_scores

# A ResNet as torchvision has it, small: other code bases have no other one.
RESNET = ["model.backbone=resnet18", "model.backbone_kwargs={layers = [1, 1, 1, 1], channels = [16, 16, 32, 32]}"]
SETS = [word for key in (*TINY, *RESNET) for word in ("--set", key)]


@pytest.fixture(scope="module")
def made(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run ``tin``, one step old."""
    runs = tmp_path_factory.mktemp("runs")
    train(challenge, runs, "tin", *RESNET, recipe="demo_tin", steps=1)
    return runs


def scores_of(run: Path, weights: str = "last") -> np.ndarray[Any, Any]:
    return np.asarray(read_scores(run / "scores" / f"val-1x1-{weights}.arrow").scores)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("to", "file", "inside", "conv1"),
    [
        ("tin", "a.pth.tar", "state_dict", "module.base_model.layer1.0.conv1.net2.weight"),
        ("x_temporal", "a.pth.tar", "model", "module.base_model.layer1.0.conv1.net2.weight"),
        ("mmaction2", "a.pth", "state_dict", "backbone.layer1.0.conv1.conv.net2.weight"),
        ("tinkit", "a.safetensors", None, "backbone.layer1.0.conv1.weight"),
        ("mmaction2", "a.safetensors", None, "backbone.layer1.0.conv1.conv.net2.weight"),
    ],
)
def test_out_and_back_in(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, file: str, inside: str | None, conv1: str
) -> None:
    out, back = tmp_path / file, tmp_path / "back.safetensors"
    assert tinkit(monkeypatch, "convert", "tin", "--runs", made, "--to", to, "--out", out, "-q") == 0
    content = load_file(out) if inside is None else torch.load(out, weights_only=True)[inside]
    assert conv1 in content
    assert tinkit(monkeypatch, "convert", out, "--recipe", "demo_tin", *SETS, "--out", back, "-q") == 0
    ours, again = load_weights(Run(made / "tin").checkpoint("last")), read_checkpoint(back)
    assert ours.keys() == again.keys()
    assert all(torch.equal(value, ours[name]) for name, value in again.items())
    account = json.loads(back.with_name("back.safetensors.json").read_text())
    assert account["layout"] == {"x_temporal": "tin"}.get(to, to)
    assert len(account["used"]) == len(ours)
    assert account["new"] == [] == list(account["dropped"])


def test_the_scores_of_a_checkpoint_are_those_of_its_run(
    made: Path, challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    out = Path("tin.v1.pth.tar")
    assert tinkit(monkeypatch, "convert", "tin", "--runs", made, "--to", "tin", "--out", out, "-q") == 0
    assert tinkit(monkeypatch, "test", "tin", "--runs", made, "--data", challenge, "-q") == 0
    command = ["test", out, "--recipe", "demo_tin", *SETS, "--data", challenge]
    capsys.readouterr()
    assert tinkit(monkeypatch, *command, "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)[0]["run"] == "demo_tin-tin.v1"
    assert "layout tin" in said.err
    run = Path("runs/demo_tin-tin.v1")
    np.testing.assert_array_equal(scores_of(run), scores_of(made / "tin"))
    assert json.loads((run / "weights.json").read_text())["layout"] == "tin"
    written = (run / "checkpoints" / "last.safetensors").stat().st_mtime_ns
    assert tinkit(monkeypatch, *command, "-q", "--split", "train") == 0  # it is there already
    assert written == (run / "checkpoints" / "last.safetensors").stat().st_mtime_ns
    assert tinkit(monkeypatch, *command, "-q", "--set", "model.offset_init=0.7") == 2
    assert "is not of this checkpoint with this recipe" in capsys.readouterr().err
    assert tinkit(monkeypatch, *command, "-q", "--set", "model.offset_init=0.7", "--name", "other") == 0
    assert Path("runs/other/recipe.toml").is_file()
    assert tinkit(monkeypatch, "train", "--resume", "demo_tin-tin.v1", "--data", challenge) == 2
    assert "no training to go on with" in capsys.readouterr().err
    assert tinkit(monkeypatch, "test", out) == 2
    assert "--recipe" in capsys.readouterr().err
    assert tinkit(monkeypatch, "test", "tin", "--runs", made, "--class-order", "alphabetical") == 2
    assert tinkit(monkeypatch, *command, "--weights", "last") == 2


def test_what_is_not_whole_is_not_tested(
    made: Path, challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["--recipe", "demo_tsn", *SETS, "--out", "tsn.pth", "-q"]
    assert tinkit(monkeypatch, "convert", made / "tin" / "checkpoints" / "last.safetensors", *command) == 0
    assert tinkit(monkeypatch, "test", "tsn.pth", "--recipe", "demo_tin", *SETS, "--data", challenge) == 1
    assert "lacks 32 entries of the model (backbone.layer1.0.conv1.temporal." in capsys.readouterr().err
    assert not Path("runs").exists()
    assert tinkit(monkeypatch, "test", "tsn.pth", "--recipe", "demo_tsn", *SETS, "--data", challenge, "-q") == 0


@pytest.mark.slow
def test_classes_go_by_name(
    made: Path, challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    classes = open_manifest(tiny(challenge).data, "val").classes
    Path("reversed.txt").write_text("\n".join(reversed(classes)))
    turned = ["convert", "tin", "--runs", made, "--classes", "reversed.txt", "--out"]
    assert tinkit(monkeypatch, *turned, "a.safetensors", "-q") == 0
    assert tinkit(monkeypatch, *turned, "a.pth", "--to", "mmaction2") == 0
    assert "have another number here than in the checkpoint" in capsys.readouterr().err
    assert read_file("a.safetensors").classes == tuple(reversed(classes))
    weights = load_weights(Run(made / "tin").checkpoint("last"))["classifier.weight"]
    assert torch.equal(load_file("a.safetensors")["classifier.weight"], weights.flip(0))
    assert tinkit(monkeypatch, "test", "tin", "--runs", made, "--data", challenge, "-q") == 0
    command = ["--recipe", "demo_tin", *SETS, "--data", challenge, "-q", "--name"]
    # Files of ours tell their classes, others must be told.
    torch.save(torch.load("a.pth", weights_only=True)["state_dict"], "bare.pth")
    assert tinkit(monkeypatch, "test", "a.safetensors", *command, "a") == 0
    assert tinkit(monkeypatch, "test", "a.pth", *command, "d") == 0
    assert tinkit(monkeypatch, "test", "bare.pth", "--class-order", "reversed.txt", *command, "b") == 0
    assert tinkit(monkeypatch, "test", "bare.pth", *command, "c") == 0
    wanted = scores_of(made / "tin")
    for name in ("a", "b", "d"):
        np.testing.assert_allclose(scores_of(Path("runs") / name), wanted, atol=1e-6)
        notes = json.loads((Path("runs") / name / "weights.json").read_text())["notes"]
        assert notes[0].startswith(f"classes: {len(classes) // 2 * 2} of {len(classes)} have another number here")
    np.testing.assert_allclose(scores_of(Path("runs/c")), wanted[:, ::-1], atol=1e-6)
    # What is in the file of names counts, not what it is called.
    Path("reversed.txt").write_text("\n".join(classes))
    assert tinkit(monkeypatch, "test", "bare.pth", "--class-order", "reversed.txt", *command, "b", "--force") == 2
    assert "is not of this checkpoint" in capsys.readouterr().err
    # Training from it puts them in order, too, in both ways.
    for name, recipe, source in (
        ("tuned", tiny(challenge, *RESNET), "a.safetensors"),
        ("started", tiny(challenge, *RESNET, "model.pretrained=a.safetensors"), None),
    ):
        run = Run(tmp_path / "runs" / name)
        start_training(run, recipe, QUIET, tune_from=source, trial=Trial(max_steps=1))
        assert "another number" in json.loads(run.weights_path.read_text())["notes"][0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "recipe", "problem"),
    [
        ("tin", "demo_tsn", "no place for: a steering network"),
        ("tsm", "demo_tsn", "of a network that shifts features"),
        ("tsn", "demo_tsm", "of a network that does not shift features"),
        ("deeper", "demo_tsn", "no place for: the model has no backbone.layer1.1.conv1"),
    ],
)
@pytest.mark.parametrize("to", ["tin", "mmaction2"])
def test_a_file_of_another_network_is_not_tested(
    challenge: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    source: str,
    recipe: str,
    problem: str,
    to: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    deep = [RESNET[0], RESNET[1].replace("[1, 1, 1, 1]", "[2, 1, 1, 1]")]
    made_by, kind = (deep, "tsn") if source == "deeper" else (RESNET, source)
    train(challenge, Path("theirs"), "x", *made_by, recipe=f"demo_{kind}", steps=1)
    to = "tsm" if (to, kind) == ("tin", "tsm") else to
    assert tinkit(monkeypatch, "convert", "x", "--runs", "theirs", "--to", to, "--out", "x.pth", "-q") == 0
    command = ["test", "x.pth", *SETS, "--data", challenge, "-q", "--recipe"]
    assert tinkit(monkeypatch, *command, recipe) == 1
    said = capsys.readouterr().err
    assert f"x.pth: {'has' if 'place' in problem else 'is'}" in said
    assert problem in said
    assert not Path("runs").exists()
    if source != "deeper":
        assert tinkit(monkeypatch, *command, f"demo_{kind}") == 0


def test_nothing_that_is_there_is_lost(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["convert", "tin", "--runs", made, "-q", "--out"]
    Path("mine.pth").write_text("mine")
    Path("b.pth.json").write_text("mine")
    Path("folder").mkdir()
    best = made / "tin" / "checkpoints" / "best.safetensors"
    for place, problem in (
        ("mine.pth", "--force"), ("b.pth", "--force"), ("folder", "not a file"), ("mine.pth/x.pth", "mine.pth"),
        (f"{'x' * 300}.pth", "too long"),
    ):  # fmt: skip
        assert tinkit(monkeypatch, *command, place) != 0
        assert problem in capsys.readouterr().err
    assert Path("mine.pth").read_text() == Path("b.pth.json").read_text() == "mine"
    if best.is_file():
        assert tinkit(monkeypatch, "convert", best, "--out", best, "--force", "-q") == 2
    assert tinkit(monkeypatch, *command, "mine.pth", "--force") == 0
    assert tinkit(monkeypatch, *command, "b.pth", "--force") == 0


def test_a_network_is_never_half_random(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = made / "tin" / "checkpoints" / "last.safetensors"
    command = ["convert", source, "--recipe", "demo_tin", *SETS, "--out", "b.safetensors", "-q"]
    assert tinkit(monkeypatch, *command, "--set", "clip.num_segments=6") == 1
    assert "last.safetensors: lacks" in capsys.readouterr().err
    assert not Path("b.safetensors").exists()
    weights = load_weights(source)
    torch.save(weights | {"classifier.weight": weights["classifier.weight"].int()}, "int.pth")
    command[1] = Path("int.pth")
    assert tinkit(monkeypatch, *command) == 1
    assert "int.pth: the checkpoint has a classifier of torch.int32 numbers" in capsys.readouterr().err
    torch.save(weights | {"classifier.weight": torch.zeros(())}, "flat.pth")
    command[1] = Path("flat.pth")
    assert tinkit(monkeypatch, *command) in (1, 2)


def test_a_classifier_starts_anew_only_when_asked(
    made: Path, challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("two.txt").write_text("cat\ndog\n")
    command = ["convert", "tin", "--runs", made, "--classes", "two.txt", "--out", "two.safetensors"]
    assert tinkit(monkeypatch, *command) == 1
    assert "--replace-head" in capsys.readouterr().err
    assert not Path("two.safetensors").exists()
    assert tinkit(monkeypatch, *command, "--replace-head", "-q") == 0
    assert load_file("two.safetensors")["classifier.weight"].shape[0] == 2
    recipe = tiny(challenge, *RESNET)
    how: dict[str, Any] = {"tune_from": "two.safetensors", "trial": Trial(max_steps=1)}
    with pytest.raises(UserError, match="a classifier of 2 classes"):
        start_training(Run(tmp_path / "runs" / "x"), recipe, QUIET, **how)
    start_training(Run(tmp_path / "runs" / "y"), recipe, QUIET, replace_head=True, **how)
    # A backbone alone has no classes.
    save_file({k: v for k, v in load_file("two.safetensors").items() if "classifier" not in k}, "bare.safetensors")
    bare = ["convert", "bare.safetensors", "--recipe", "demo_tin", *SETS, "--out", "b.safetensors", "-q"]
    assert tinkit(monkeypatch, *bare) == 2
    assert tinkit(monkeypatch, *bare, "--classes", "two.txt") == 0


def test_mistakes(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"backbone.conv1.weight": torch.zeros(2, 2)}, "a.pth")
    out = ["--out", "b.pth", "-q"]
    assert tinkit(monkeypatch, "convert", "a.pth", *out) == 2  # of which network?
    assert tinkit(monkeypatch, "convert", "none.pth", "--recipe", "demo_tin", *out) == 2
    assert tinkit(monkeypatch, "convert", "a.pth", "--recipe", "demo_tin", *out) == 1
    run = ["convert", "tin", "--runs", made]
    assert tinkit(monkeypatch, *run, "--to", "mmaction", *out) == 1
    assert tinkit(monkeypatch, *run, "--to", "tsm", *out) == 1
    assert tinkit(monkeypatch, *run, "--class-order", "alphabetical", *out) == 2  # it tells its own
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


def test_averaged_weights_of_a_foreign_file_are_chosen_by_their_key(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = load_weights(made / "tin" / "checkpoints" / "last.safetensors")
    averaged = weights | {"classifier.bias": weights["classifier.bias"] + 1}
    torch.save({"state_dict": weights, "state_dict_ema": averaged, "args": Path("x")}, "theirs.pth.tar")
    command = ["convert", "theirs.pth.tar", "--recipe", "demo_tin", *SETS, "-q", "--out"]
    assert tinkit(monkeypatch, *command, "raw.safetensors") == 0
    assert tinkit(monkeypatch, *command, "ema.safetensors", "--weights", "state_dict_ema") == 0
    assert tinkit(monkeypatch, *command, "x.safetensors", "--weights", "model_ema") == 1
    assert "state_dict_ema (" in capsys.readouterr().err
    for name, wanted in (("raw", weights), ("ema", averaged)):
        assert torch.equal(load_file(f"{name}.safetensors")["classifier.bias"], wanted["classifier.bias"])
