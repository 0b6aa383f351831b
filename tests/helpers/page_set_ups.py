"""What pages of documentation take for granted: runs that were tested, a fusion of them, a list of test clips."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.ensembles import three_runs
from tests.helpers.fusion_members import scores_of, write_run
from tinkit.fusion import fuse, make_spec, resolve_members
from tinkit.recipe import load_recipe, save_recipe
from tinkit.scores import ScoreTable, write_scores


def listed_runs(folder: Path) -> Path:
    """Three runs below ``folder``, the list ``testSet.csv`` of their test clips, and ``answers.csv``, their labels."""
    runs = three_runs(folder)
    table = scores_of("good", "test")
    write_list(table, folder / "testSet.csv")
    write_answers(table, folder / "answers.csv")
    return runs


SMALL: dict[str, Any] = {"clips": 90, "classes": 5}
MEMBERS = {"mmit_r50": 1.7, "mmit_trn_r50": 1.3, "mmit_tsm_r50": 1.2, "mmit_tsn_r101": 0.8, "mmit_audio_r50": 0.0}


def evening(folder: Path) -> None:
    """Five runs of unlike strength, another program's csv of both splits, the list of test clips, and the answers."""
    for run, strength in MEMBERS.items():
        write_run(folder / "runs", run, strength=strength, **SMALL)
        save_recipe(load_recipe(run).recipe, folder / "runs" / run / "recipe.toml")
    for split in ("val", "test"):
        foreign_scores(folder, split, file=f"theirs-{split}.csv", **SMALL)
    write_answers(scores_of("any", "val", **SMALL), folder / "val-answers.csv")
    write_list(scores_of("any", "test", **SMALL), folder / "testSet.csv")


def write_list(table: ScoreTable, file: Path) -> None:
    """The clips of ``table``, an id a line."""
    file.write_text("".join(f"{name}\n" for name in table.ids))


def write_answers(table: ScoreTable, file: Path) -> None:
    """The labels of ``table``, as `--answers` takes them."""
    answers = [f"{name},{' '.join(map(str, own or ()))}\n" for name, own in zip(table.ids, table.labels, strict=True)]
    file.write_text("id,labels\n" + "".join(answers))


def fused_pair(folder: Path) -> None:
    """As :func:`listed_runs`, and the fusion ``pair`` of the two better runs by the mean of logits."""
    runs = listed_runs(folder)
    members = [{"run": "good"}, {"run": "fair"}]
    spec = make_spec({"name": "pair", "method": "mean-logits", "members": members})
    fuse(spec, resolve_members(spec.members, spec.splits, runs), folder / "fusions" / "pair")


def foreign_scores(folder: Path, split: str = "val", *, file: str = "theirs.csv", **options: Any) -> None:
    """``file``: probabilities of the clips of a split, as another program may write them."""
    table = scores_of("theirs", split, strength=1.5, **options)
    values = 1 / (1 + np.exp(-table.scores))
    rows = [
        f"{name},{','.join(f'{value:.5f}' for value in row)}\n" for name, row in zip(table.ids, values, strict=True)
    ]
    (folder / file).write_text(f"id,{','.join(table.info.classes)}\n" + "".join(rows))


def write_holes(folder: Path) -> None:
    """The fusion ``holes`` of a run that could not decode two test clips."""
    table = scores_of("holes", "test", labelled=False)
    valid = ~np.isin(np.arange(60), (4, 9))
    write_scores(folder / "made" / "holes" / "scores" / "test-1x1-best.arrow", dataclasses.replace(table, valid=valid))
    spec = make_spec(
        {"name": "holes", "method": "mean-logits", "fit": "none", "missing": "mean", "members": [{"run": "holes"}]}
    )
    fuse(spec, resolve_members(spec.members, spec.splits, folder / "made"), folder / "fusions" / "holes")
