"""The command line as a person meets it: help, examples, completion, and mistakes without tracebacks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from typer.main import get_command

from tests.helpers.scored_runs import command as tinkit
from tinkit.cli.app import app
from tinkit.scores import read_scores

SMALL = [
    "clip.size=32", "test.scale=32", "test.crop=32", "clip.num_segments=4", "optim.batch=8", "optim.epochs=2",
    "train.workers=0",
]  # fmt: skip
SETS = [word for setting in SMALL for word in ("--set", setting)]


def commands() -> list[list[str]]:
    found = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found += [[name, sub] for sub in inner] if inner else [[name]]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_help_has_examples(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert tinkit(monkeypatch, *command, "--help") == 0
    shown = capsys.readouterr().out
    assert "Examples:" in shown
    assert f"$ tinkit {' '.join(command)}" in shown


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['tinkit', '--help']\n"
        "from tinkit.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'timm', 'pandas', 'numpy', 'pyarrow', 'scipy', 'sklearn', 'av', 'pydantic'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.rstrip().endswith("heavy: []")


def test_completion_offers_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = os.environ | {
        "_TINKIT_COMPLETE": "complete_bash",
        "COMP_WORDS": "tinkit train mmit_r50",
        "COMP_CWORD": "2",
    }
    result = subprocess.run(
        [str(Path(sys.executable).parent / "tinkit")], env=environment, capture_output=True, text=True, check=False
    )
    assert set(result.stdout.split()) == {"mmit_r50", "mmit_r50_16f", "mmit_r50_mmaction2"}


@pytest.mark.parametrize(
    ("words", "code", "wanted"),
    [
        (["train", "mmit_r55"], 2, "did you mean 'mmit_r50"),
        (["train"], 2, "RECIPE, or --resume RUN"),
        (["train", "mmit_r50", "--set", "optim.lrr=1"], 2, "did you mean 'lr'"),
        (["train", "mmit_r50"], 1, "TINKIT_DATA"),
        (["train", "mmit_r50", "--data", "nowhere"], 1, "nowhere"),
        (["train", "--resume", "none"], 2, "no run is called 'none'"),
        (["test", "none"], 2, "no run is called 'none'"),
        (["compare", "none"], 2, "no run is called 'none'"),
        (["predict", "none", "a.mp4"], 2, "no run is called 'none'"),
        (["recipes", "nothing"], 2, "nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_message(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: list[str],
    code: int,
    wanted: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TINKIT_DATA", raising=False)
    assert tinkit(monkeypatch, *words) == code
    shown = capsys.readouterr().err
    assert wanted in shown
    assert "Traceback" not in shown


def test_recipe_is_shown_with_its_sources(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert tinkit(monkeypatch, "recipes", "sthv1_tin_r50_tune", "--json") == 0
    rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["optim.lr"]["value"] == "0.008"
    assert "sthv1_tin_r50_tune.toml:" in rows["optim.lr"]["from"]
    assert rows["optim.momentum"]["mark"].startswith("published")
    assert tinkit(monkeypatch, "recipes", "--json") == 0
    listed = {row["recipe"]: row for row in json.loads(capsys.readouterr().out)}
    assert "62.2 sample_map (1x1)" in listed["mmit_r50"]["published"]


def test_doctor_finds_this_machine_well(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert tinkit(monkeypatch, "doctor", "--json") == 0
    rows = {row["what"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["operator"]["works"] == rows["import timm"]["works"] == "yes"


def test_the_road_from_a_recipe_to_a_submission(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], challenge: Path, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINKIT_DATA", str(tmp_path / "sets"))
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "demo").symlink_to(challenge)
    for member in ("demo_tsn", "demo_tin"):
        assert tinkit(monkeypatch, "train", member, *SETS, "-q") == 0
        for split in ("val", "test"):
            assert tinkit(monkeypatch, "test", member, "--split", split, "-q", "--json") == 0
    capsys.readouterr()
    assert tinkit(monkeypatch, "compare", "demo_tin", "--json") == 0
    compared = json.loads(capsys.readouterr().out)
    assert {row["metric"] for row in compared} >= {"sample_map", "class_map"}
    assert tinkit(monkeypatch, "ensemble", "demo_tsn", "demo_tin", "--parts", "2", "--name", "both") == 0
    capsys.readouterr()
    assert tinkit(monkeypatch, "compare", "both", "--json") == 0
    fused = {row["metric"]: row for row in json.loads(capsys.readouterr().out)}["sample_map"]
    choice = json.loads(Path("fusions/both/fusion.json").read_text())["choice"]
    assert fused["weights"] == "nested"  # auto chose the way: the estimate is that of its choice
    assert fused["measured"] == pytest.approx(100 * (choice["equal_mean"] + choice["improvement"]["value"]))
    ids = challenge / "annotations" / "testSet.csv"
    submit = ["submit", "both", "--challenge", "mmit", "--ids", ids, "--out", "out.csv"]
    assert tinkit(monkeypatch, *submit) == 0
    table = pd.read_csv("out.csv")
    assert table.shape == (8, 13)
    assert table.iloc[:, 0].tolist() == ids.read_text().split()
    assert tinkit(monkeypatch, "submit", "--check", "out.csv", "--challenge", "mmit", "--ids", ids) == 0
    before = Path("out.csv").read_bytes()
    assert tinkit(monkeypatch, *submit) == 0  # it is there already, and is left alone
    assert tinkit(monkeypatch, *submit, "--fill", "prior") != 0
    assert Path("out.csv").read_bytes() == before
    manifest = json.loads(Path("manifest.json").read_text())
    assert manifest["challenge"]["title"] == "Multi-Moments in Time"
    capsys.readouterr()
    best = "runs/demo_tin/checkpoints/best.safetensors"
    assert tinkit(monkeypatch, "test", best, "--views", "1x3", "-q", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["scores"] == "runs/demo_tin/scores/val-1x3-best.arrow"
    assert tinkit(monkeypatch, "test", best, "--weights", "last", "-q") == 2
    assert "two checkpoints" in capsys.readouterr().err
    assert tinkit(monkeypatch, "train", "demo_tin", "--name", "x", "--tune-from", "none.pth", *SETS) == 2
    assert "no such file" in capsys.readouterr().err
    videos = sorted(challenge.glob("videos/*/*.mp4"))[:2]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(videos[0].read_bytes()[:500])
    assert tinkit(monkeypatch, "predict", "demo_tin", *videos, broken, "--top", "2", "--json") == 0
    predicted = json.loads(capsys.readouterr().out)
    assert len(predicted) == 5
    assert predicted[-1]["class"] is None
    assert predicted[-1]["error"]


def test_killed_run_resumes_to_the_same_bits(monkeypatch: pytest.MonkeyPatch, challenge: Path, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", "demo_tin", "--data", str(challenge), *SETS, "--set", "save.every=1", "-q"]
    assert tinkit(monkeypatch, *words, "--name", "whole") == 0
    command = [sys.executable, "-c", "from tinkit.cli.app import main; main()", *words, "--name", "killed"]
    process = subprocess.Popen(command)
    checkpoint = Path("runs/killed/checkpoints/last.safetensors")
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert tinkit(monkeypatch, "train", "--resume", "killed", "-q") == 0
    from tests.helpers.tiny_runs import same_weights

    same_weights(Path("runs/whole/checkpoints/last.safetensors"), checkpoint)


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, challenge: Path, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", "demo_tin", "--data", str(challenge), *SETS, "--set", "save.every=1", "--set", "optim.epochs=200"]
    start = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # background jobs ignore it
    command = [sys.executable, "-c", f"{start}; from tinkit.cli.app import main; main()", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    checkpoint = Path("runs/demo_tin/checkpoints/last.safetensors")
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "resume with: tinkit train --resume runs/demo_tin" in errors
    assert "Traceback" not in errors
    assert tinkit(monkeypatch, "train", "--resume", "runs/demo_tin", "--steps", "1", "-q") == 0


def test_nothing_is_written_for_data_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], challenge: Path, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    shutil.copytree(challenge, data)
    annotation = data / "annotations" / "trainingSet.csv"
    lines = annotation.read_text().splitlines()
    annotation.write_text("\n".join([*lines[:4], "number+one/yt-x_1.mp4,3,77", *lines[5:]]) + "\n")
    assert tinkit(monkeypatch, "train", "demo_tin", "--data", data, *SETS) == 1
    assert f"{annotation}:5: the label 77 is out of range" in capsys.readouterr().err
    annotation.write_text("\n".join(lines) + "\n")
    (data / "videos").rename(data / "moved")
    assert tinkit(monkeypatch, "train", "demo_tin", "--data", data, *SETS) == 1
    assert "data.media_folder" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "recipe"), [("sthv1", "sthv1_tin_r50"), ("sthv2", "sthv2_tsm_r50")])
def test_the_road_of_something_something(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, layout: str, recipe: str
) -> None:
    monkeypatch.chdir(tmp_path)
    sizes = ["--clips", "12", "--val", "4", "--test", "4", "--size", "40", "--frames", "9"]
    assert tinkit(monkeypatch, "synth", layout, "data", *sizes, "--workers", "0", "-q") == 0
    small = ["model.backbone=test_resnet", "model.pretrained=false", "clip.size=32", "test.scale=32", "test.crop=32"]
    short = ["optim.batch=6", "train.workers=0"]
    sets = [word for setting in (*small, *short) for word in ("--set", setting)]
    assert tinkit(monkeypatch, "train", recipe, "--data", "data", *sets, "--steps", "2", "-q") == 0
    capsys.readouterr()
    test = ["test", recipe, "--weights", "last", "-q", "--json"]
    assert tinkit(monkeypatch, *test, "--views", "2x3", "--average", "probabilities") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert 0 <= row["top1"] <= row["top5"] <= 100
    assert tinkit(monkeypatch, *test, "--split", "test") == 0
    scores = f"runs/{recipe}/scores/test-1x1-last.arrow"
    (ids,) = (path for path in Path("data").rglob("*-test.*") if path.suffix in (".csv", ".json"))
    words = ["submit", scores, "--challenge", layout, "--ids", ids, "--out", "out.csv"]
    assert tinkit(monkeypatch, *words) == 0
    answers = tmp_path / "data-answers" / "test.csv"
    categories = ["--categories", scores]
    check = ["submit", "--check", "out.csv", "--challenge", layout, "--ids", ids, *categories, "--answers", answers]
    capsys.readouterr()
    assert tinkit(monkeypatch, *check, "--json") == 0
    table = read_scores(scores)
    lines = [line.split(";") for line in Path("out.csv").read_text().splitlines()]
    assert [line[0] for line in lines] == list(table.ids)
    for (_, *labels), values in zip(lines, table.scores, strict=True):
        best = [int(index) for index in (-values).argsort(kind="stable")[:5]]
        assert labels == ([table.info.classes[best[0]]] if layout == "sthv1" else [str(index) for index in best])
