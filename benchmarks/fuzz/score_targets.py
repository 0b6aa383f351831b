"""What reads score files: tinkit's own, and those of other programs."""

from __future__ import annotations

import random
from contextlib import suppress

import numpy as np

from benchmarks.fuzz.mutate import changed, changed_table, changed_text
from benchmarks.fuzz.place import Place, Said
from tinkit.errors import UserError
from tinkit.foreign_scores import read_foreign
from tinkit.scores import read_scores, verified_scores, write_scores
from tinkit.scores.kinds import to_kind
from tinkit.scores.table import ScoreInfo, ScoreTable


def scores(rng: random.Random, place: Place) -> Said:
    """A score file."""
    file = place.root / "scores.arrow"
    changed_table(rng, _score_file(place), place.words(), file)
    with suppress(UserError):
        table = verified_scores(file)[0] if rng.random() < 0.5 else read_scores(file)
        to_kind(table, "probabilities")
        return "read"
    return "refused"


def foreign_scores(rng: random.Random, place: Place) -> Said:
    """Scores of another program, as csv or npz."""
    if rng.random() < 0.5:
        file = place.root / "scores.csv"
        file.write_bytes(changed_text(rng, b"id,x,y\n1,0.5,1\n2,,\n3,-1e5,2\n", place.words()))
    else:
        file = place.root / "scores.npz"
        np.savez(file, ids=np.array(["1", "2"]), scores=np.ones((2, 3), np.float32))
        file.write_bytes(changed(rng, file.read_bytes(), [file.read_bytes()]))
    with suppress(UserError):
        read_foreign(file)
        return "read"
    return "refused"


def _score_file(place: Place) -> bytes:
    if "scores" not in place.originals:
        info = ScoreInfo(
            kind="logits",
            task="multi-label",
            classes=("x", "y", "z"),
            dataset="d",
            dataset_version="1",
            split="val",
            views="1x1",
        )
        table = ScoreTable(
            ids=["1", "2"],
            scores=np.array([[0.5, -1, 2], [0, 0, 1]], np.float32),
            valid=np.array([True, True]),
            labels=[[0], [1, 2]],
            source=["1", "2"],
            info=info,
        )
        file = place.root / "whole.arrow"
        write_scores(file, table)
        place.originals["scores"] = file.read_bytes()
    return place.originals["scores"]
