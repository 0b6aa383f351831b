"""Made-up members for the tests of fusion: models of different strength over one set of clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinkit.fusion import Member
from tinkit.scores import ScoreInfo, ScoreTable, write_scores


def scores_of(
    run: str,
    split: str = "val",
    *,
    clips: int = 60,
    classes: int = 6,
    strength: float = 1.0,
    seed: int = 0,
    labelled: bool = True,
    task: str = "multi-label",
    **info: Any,
) -> ScoreTable:
    """Logits of ``run``: noise of its own, and ``strength`` more for the classes of a clip (three clips a source)."""
    truth = np.random.default_rng([clips, classes, len(split)])
    most = 3 if task == "multi-label" else 1
    labels = [
        tuple(sorted(map(int, truth.choice(classes, truth.integers(1, most + 1), replace=False)))) for _ in range(clips)
    ]
    scores = np.random.default_rng([seed, len(run), *run.encode(), *split.encode()]).normal(size=(clips, classes))
    for row, own in enumerate(labels):
        scores[row, list(own)] += strength
    facts: dict[str, Any] = {
        "kind": "logits",
        "task": task,
        "classes": tuple(f"class {i}" for i in range(classes)),
        "dataset": "toy",
        "dataset_version": "1",
        "split": split,
        "views": "1x1",
        "average": "logits",
        "weights": "best",
        "trained_on": ("train",),
        "run": run,
        "hashes": {"checkpoint": f"checkpoint of {run}"},
    }
    return ScoreTable(
        info=ScoreInfo(**facts | info),
        ids=[f"{split}/{i}.mp4" for i in range(clips)],
        scores=scores.astype(np.float32),
        valid=np.ones(clips, bool),
        labels=[*labels] if labelled else [None] * clips,
        source=[f"{split} {i // 3}" for i in range(clips)],
    )


def member(run: str, **options: Any) -> Member:
    return Member(run, scores_of(run, **options), Path(f"{run}.arrow"))


def write_run(runs: Path, run: str, *, views: str = "1x1", **options: Any) -> Path:
    """A run folder with score files of ``val`` and, without labels, of ``test``."""
    for split in ("val", "test"):
        table = scores_of(run, split, views=views, labelled=split == "val", **options)
        write_scores(runs / run / "scores" / f"{split}-{views}-best.arrow", table)
    return runs / run
