"""The page of one's own videos: its four commands, on thirty videos whose classes a model can tell apart."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers.places import ROOT
from tinkit.cli.app import app

PAGE = ROOT / "docs/your-own-videos.md"
COLOURS = {"jump": (210, 60, 50), "sit": (40, 190, 70), "wave": (50, 70, 220)}
SHORT = [
    "--set", "optim.epochs=12", "--set", "optim.batch=4", "--set", "clip.size=48", "--set", "clip.num_segments=4",
    "--set", "model.pretrained=false", "--set", "train.workers=0", "--set", "optim.lr=0.02",
    "--set", "test.scale=54", "--set", "test.crop=48",
]  # fmt: skip


def write_clip(path: Path, colour: tuple[int, int, int], seed: int) -> None:
    """A film of noise around one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed)
    with av.open(str(path), "w") as target:
        stream: Any = target.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        for _ in range(10):
            pixels = np.array(colour) + noise.integers(-40, 40, (64, 80, 3))
            frame = av.VideoFrame.from_ndarray(pixels.clip(0, 255).astype(np.uint8), format="rgb24")
            for packet in stream.encode(frame):
                target.mux(packet)
        for packet in stream.encode():
            target.mux(packet)


def commands() -> list[list[str]]:
    block = PAGE.read_text().split("runs these four commands on thirty videos -->\n```bash\n")[1].split("```")[0]
    return [shlex.split(line)[1:] for line in block.splitlines()]


@pytest.mark.thorough
def test_four_commands_make_a_model_that_tells_the_classes_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for at, (name, colour) in enumerate(COLOURS.items()):
        for number in range(10):
            write_clip(tmp_path / f"videos/{name}/{chr(97 + number)}.mp4", colour, 100 * at + number)
    new, train, test, predict = commands()
    done = []
    for words in (new, [*train, *SHORT], [*test, "--json"], [*predict, "--json"]):
        done.append(CliRunner().invoke(app, words))
        assert done[-1].exit_code == 0, (words, done[-1].output, done[-1].exception)
    assert all(line in done[0].stdout for line in ("tinkit train videos.toml", "tinkit test videos"))
    values = json.loads(done[2].stdout)
    found = json.dumps(values)
    top1 = next(value for key, value in _numbers(values) if key in ("top1", "top-1", "accuracy"))
    assert top1 > 60, found  # percent; chance is a third
    likeliest = max(json.loads(done[3].stdout), key=lambda row: row["probability"])
    assert likeliest["class"] == "jump"


def _numbers(values: Any) -> list[tuple[str, float]]:
    """All (key, number) in a value out of JSON."""
    if isinstance(values, dict):
        inner = [pair for value in values.values() for pair in _numbers(value)]
        return [(key, float(value)) for key, value in values.items() if isinstance(value, int | float)] + inner
    return [pair for value in values for pair in _numbers(value)] if isinstance(values, list) else []
