"""Charades and EPIC-Kitchens-100 in miniature: packed, looked at, trained on for a step, tested, from shards alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.helpers.official_sets import put
from tests.helpers.video_files import write_video
from tinkit.cli.app import app

pytestmark = pytest.mark.thorough

ACTIONS = "id,subject,scene,actions,length\n"
SEGMENTS = "narration_id,participant_id,video_id,start_frame,stop_frame,narration,verb,verb_class,noun,noun_class\n"
RECIPE = """
extends = "sthv1_tin_r50"
description = "in miniature"
[data]
dataset = "{dataset}"
root = "{root}"
task = "{task}"
media = "video"
class_order = "file"
[clip]
size = 32
num_segments = 2
[model]
backbone = "resnet10t"
pretrained = false
partial_bn = false
dropout = 0.0
zero_init_last = false
[optim]
batch = 2
epochs = 1
[schedule]
warmup_epochs = 0
[train]
workers = 0
[test]
scale = 40
crop = 32
[loss]
name = "{loss}"
"""


def charades(root: Path) -> tuple[list[str], list[Path]]:
    train = "YSKX3,P,Kitchen,c002 0.10 0.30;c000 0.00 0.20,1\nAAAA2,P,B,c001 0 1,1\nAAAA3,P,B,c000 0 1,1\n"
    put(
        root,
        {
            "Charades_v1_train.csv": ACTIONS + train,
            "Charades_v1_test.csv": ACTIONS + "BBBB1,P,B,c001 0 1,1\nBBBB2,P,B,c002 0 1,1\n",
            "Charades_v1_classes.txt": "c000 Holding clothes\nc001 Putting clothes\nc002 Taking clothes\n",
        },
    )
    names = ["YSKX3", "AAAA2", "AAAA3", "BBBB1", "BBBB2"]
    (root / "Charades_v1_480").mkdir()
    files = [write_video(root / f"Charades_v1_480/{name}.mp4", count=9 + at, seed=at) for at, name in enumerate(names)]
    return names[:3], files


def epic(root: Path) -> tuple[list[str], list[Path]]:
    put(
        root,
        {
            "EPIC_100_train.csv": SEGMENTS + "P01_01_0,P01,P01_01,3,12,open door,open,1,door,0\n"
            "P01_01_1,P01,P01_01,8,20,take cup,take,0,cup,1\nP01_01_2,P01,P01_01,21,30,take cup,take,0,cup,1\n",
            "EPIC_100_validation.csv": SEGMENTS + "P02_01_0,P02,P02_01,1,9,open door,open,1,door,0\n"
            "P02_01_1,P02,P02_01,5,5,take cup,take,0,cup,1\n",
            "EPIC_100_verb_classes.csv": "id,key,instances,category\n0,take,\"['take']\",a\n1,open,\"['open']\",b\n",
            "EPIC_100_noun_classes.csv": "id,key,instances,category\n0,door,\"['door']\",a\n1,cup,\"['cup']\",b\n",
        },
    )
    files = []
    for person, seed in (("P01", 1), ("P02", 2)):
        (root / person / "videos").mkdir(parents=True)
        files.append(write_video(root / person / "videos" / f"{person}_01.MP4", count=30, seed=seed))
    return ["P01_01_0", "P01_01_1", "P01_01_2"], files


def done(*words: str | Path) -> Any:
    found = CliRunner().invoke(app, [str(word) for word in words])
    assert found.exit_code == 0, (words, found.output, found.exception)
    return found


@pytest.mark.parametrize(
    ("dataset", "make", "task", "loss", "frames"),
    [
        ("charades", charades, "multi-label", "bce", [9, 10, 11]),
        ("epic100-verbs", epic, "single-label", "cross_entropy", [10, 13, 10]),
    ],
)
def test_from_packed_frames_alone(
    dataset: str, make: Any, task: str, loss: str, frames: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "set"
    ids, films = make(root)
    Path("mine.toml").write_text(RECIPE.format(dataset=dataset, root=root, task=task, loss=loss))
    packing = ("data", "frames", "mine.toml", "--split", "train", "--split", "val", "--pixels", "48", "--workers", "0")
    told = json.loads(done(*packing, "--json").stdout)
    assert [row["clips"] for row in told["done"]] == [3, 2]
    done(*packing, "--verify")
    film = shutil.copy(films[0], tmp_path / "film.mp4")
    for file in films:
        file.unlink()
    packed = ("--set", "data.packed=packed")
    shown = json.loads(done("data", "show", "mine.toml", *packed, "--json").stdout)
    assert [row["id"] for row in shown] == ids
    done("data", "show", "mine.toml", *packed, "--html", "sheet.html", "--png", "sheet.png")
    assert Path("sheet.html").read_text().count('class="fault"') == 0
    stats = json.loads(done("data", "stats", "mine.toml", *packed, "--json").stdout)
    assert _lengths(stats) >= {min(frames), max(frames)}, stats
    done("train", "mine.toml", *packed, "--name", "one", "--quiet")
    scores = json.loads(done("test", "one", "--json").stdout)
    assert scores
    likeliest = json.loads(done("predict", "one", film, "--json").stdout)
    assert len({row["class"] for row in likeliest}) == (3 if make is charades else 2)


def _lengths(stats: Any) -> set[float]:
    """Every number in a value out of JSON."""
    if isinstance(stats, dict | list):
        return set().union(*(_lengths(value) for value in (stats.values() if isinstance(stats, dict) else stats)))
    return {float(stats)} if isinstance(stats, int | float) else set()
