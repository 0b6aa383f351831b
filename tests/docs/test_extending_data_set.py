"""docs/extending/data-set.md on a copy of the package: the new layout is prepared, trained on and tested."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from tests.helpers.pages import blocks
from tests.helpers.places import ROOT
from tests.helpers.video_files import write_video

BLOCKS = blocks(ROOT / "docs" / "extending" / "data-set.md")
FILES = {block.file: block.text for block in BLOCKS if block.file}
COMMANDS = [line for block in BLOCKS if block.language == "sh" for line in block.text.splitlines()]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with the page's file and row, and birds beside it."""
    folder = tmp_path_factory.mktemp("checkout")
    for part in ("tinkit", "recipes", "kernels"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in FILES.items():
        if name != "row":
            (folder / name).write_text(text)
    catalogue = folder / "tinkit/data/layouts/catalogue.py"
    before, last, after = catalogue.read_text().rpartition("    }\n)\n")
    assert last
    catalogue.write_text(before + FILES["row"] + last + after)
    birds = folder / "data" / "birds"
    (birds / "clips").mkdir(parents=True)
    (birds / "species.txt").write_text("robin\nwren\n")
    for split, clips in {"train": range(8), "val": range(8, 12)}.items():
        rows = [(f"{clip:04d}.mp4", ("robin", "wren")[clip % 2]) for clip in clips]
        (birds / f"{split}.tsv").write_text("".join(f"{clip}\t{species}\n" for clip, species in rows))
        for number, (clip, _) in zip(clips, rows, strict=True):
            write_video(birds / "clips" / clip, count=12, width=48, height=48, seed=number)
    return folder


def tinkit(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tinkit", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


def test_the_row_is_a_choice_wherever_layouts_are(copy: Path) -> None:
    listed = json.loads(tinkit(copy, "data", "layouts", "--json").stdout)
    assert listed[-1]["dataset"] == "birds"
    wrong = tinkit(copy, "train", "birds.toml", "--set", "data.dataset=bird")
    assert wrong.returncode == 2, wrong.stderr
    assert "birds" in wrong.stderr.replace("birds.toml", "")


def test_a_wrong_row_is_named_with_its_line(copy: Path) -> None:
    birds = copy / "data" / "birds"
    (birds / "wrong.tsv").write_text("0001.mp4\twren\n0002.mp4\tostrich\n")
    (copy / "wrong.toml").write_text(FILES["birds.toml"].replace('version = "1"', 'version = "1"\ntrain = "wrong.tsv"'))
    wrong = tinkit(copy, "data", "show", "wrong.toml", "--data", str(birds))
    assert wrong.returncode == 1, wrong.stderr
    assert "wrong.tsv:2: 'ostrich' is not a class" in wrong.stderr


@pytest.mark.slow
def test_the_commands_of_the_page_train_and_test(copy: Path) -> None:
    for command in COMMANDS:
        program, *words = shlex.split(command)
        assert program == "tinkit"
        done = tinkit(copy, *words)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    tables = [pa.ipc.open_file(file).read_all() for file in (copy / "runs").rglob("scores/*.arrow")]
    assert [table.column("id").to_pylist() for table in tables] == [[f"{clip:04d}.mp4" for clip in range(8, 12)]]
    stats = json.loads(tinkit(copy, "data", "stats", "birds", "--data", "data/birds", "--json").stdout)
    assert [(row["class"], row["clips"]) for row in stats["per_class"]] == [("robin", 4), ("wren", 4)]
