"""Everything that ``fusion.json`` holds of a small fusion, key by key."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.fusion_members import member, write_run
from tests.helpers.score_files import digest_of
from tinkit import __version__
from tinkit.files.hashes import sha256_file
from tinkit.fusion import METHODS, Combination, fuse, make_spec, resolve_members
from tinkit.fusion.combine import equal_mean
from tinkit.fusion.content import checkpoint_of
from tinkit.fusion.decide import Decision
from tinkit.fusion.record import read_record
from tinkit.metrics import evaluate
from tinkit.scores import label_matrix, read_scores

FACTS = {"views": "1x1", "checkpoint": "best", "trained_on": ["train"]}


def test_the_record_of_a_mean(tmp_path: Path) -> None:
    for run in ("é", "b"):
        write_run(tmp_path / "runs", run, trial=run == "b")
    published = {"number": 60.5, "metric": "sample_map", "source": "a paper"}
    spec = make_spec(
        {
            "name": "f",
            "method": "mean-probabilities",
            "scale": "none",
            "members": [{"run": "é"}, {"run": "b", "name": "second"}],
            "published": [published],
        }
    )
    out = tmp_path / "fusions" / "f"
    done = fuse(spec, resolve_members(spec.members, spec.splits, tmp_path / "runs"), out)
    assert done.written
    text = (out / "fusion.json").read_text(encoding="utf-8")
    assert '"run": "é"' in text  # readable as it is
    record = json.loads(text)
    files = {
        run: {split: tmp_path / "runs" / run / "scores" / f"{split}-1x1-best.arrow" for split in ("val", "test")}
        for run in ("é", "b")
    }

    def measured(run: str) -> dict[str, object]:
        table = read_scores(files[run]["val"])
        found = evaluate(table.scores, label_matrix(table), "multi-label")
        return {**found.values, "counts": found.counts}

    def row(run: str, name: str) -> dict[str, object]:
        scores = {
            split: {"path": str(path), "digest": digest_of(path)} for split, path in sorted(files[run].items())[::-1]
        }
        own = {"name": name, "run": run, "hashes": {"checkpoint": f"checkpoint of {run}"}, "weight": 0.5}
        kinds = {"kind": "logits", "converted_to": "probabilities"}
        view = {
            "view": None,
            "average": "logits",
            "protocol": {},
            "scaled_by": 1.0,
            "clips_per_s": None,
            "gflops": None,
        }
        return own | kinds | FACTS | view | {"scores": scores, "metrics": measured(run)}

    val = read_scores(out / "val.arrow")
    assert val.info.trial
    fused = evaluate(val.scores, label_matrix(val), "multi-label")
    metrics = {**fused.values, "counts": fused.counts}
    made_from = record.pop("made_from")
    assert len(bytes.fromhex(made_from)) == 32
    assert record == {
        "tinkit": __version__,
        "name": "f",
        "method": "mean-probabilities",
        "chosen": "mean-probabilities",
        "takes": "probabilities",
        "kind": "probabilities",
        "metric": "sample_map",
        "fit": "val",
        "apply": ["test"],
        "missing": "error",
        "seed": 0,
        "task": "multi-label",
        "dataset": "toy",
        "dataset_version": "1",
        "classes": [f"class {number}" for number in range(6)],
        "parts": None,
        "fitted_on_clips": None,
        "labelled_clips": None,
        "learned": {"weights": [0.5, 0.5]},
        "shapes": {"weights": [2]},
        "arrays": {"path": "fusion.npz", "sha256": sha256_file(out / "fusion.npz")},
        "choice": None,
        "notes": [],
        "improvement": None,
        "worth": None,
        "front": None,
        "clips_per_s": None,
        "gflops": None,
        "devices": [],
        "part_weights": None,
        "trial": ["second"],
        "members": [row("é", "é"), row("b", "second")],
        "published": [published | {"split": "val", "note": ""}],
        "metrics": {
            "equal_mean": metrics,
            "fused": metrics,
            "cross_validated": None,
            "cross_validated_equal_mean": None,
        },
        "rejected": None,
        "missing_clips": {"val": {"all": 0}, "test": {"all": 0}},
        "outputs": {
            split: {"path": f"{split}.arrow", "digest": digest_of(out / f"{split}.arrow"), "clips": 60}
            for split in ("val", "test")
        },
    }
    assert read_record(out / "fusion.json").sha256 == sha256_file(out / "fusion.json")
    again = fuse(spec, resolve_members(spec.members, spec.splits, tmp_path / "runs"), out)
    assert again.folder == out
    assert (again.written, again.record["made_from"], again.weights.tolist()) == (False, made_from, [0.5, 0.5])


def test_a_fusion_is_another_by_every_fact_it_is_made_of() -> None:
    """Its checkpoint, which a fusion of fusions compares, is a hash of its way, of what was learned and of members."""
    learned = {"weights": np.array([0.5, 0.5]), "deviation": np.zeros((3, 2))}
    row = METHODS["stack-classes"]
    base = Decision(row, "logits", np.ones(2), Combination(row.apply, learned), equal_mean(2))
    infos = [member(run).table.info for run in ("a", "b")]
    other = np.zeros((3, 2))
    other[2, 1] = 1e-9
    changed = [
        dataclasses.replace(base, row=METHODS["stack"]),
        dataclasses.replace(base, kind="ranks"),
        dataclasses.replace(base, scale=np.array([1.0, 2.0])),
        dataclasses.replace(base, chosen=Combination(row.apply, learned | {"deviation": other})),
        dataclasses.replace(base, chosen=Combination(row.apply, {"weights": learned["weights"]})),
    ]
    hashes = [checkpoint_of(one, infos) for one in [base, *changed]]
    facts: list[dict[str, Any]] = [
        {"run": "c"},
        {"views": "2x3"},
        {"average": "probabilities"},
        {"weights": "last"},
        {"kind": "probabilities"},
        {"hashes": {"checkpoint": "other"}},
    ]
    hashes += [checkpoint_of(base, [infos[0], dataclasses.replace(infos[1], **fact)]) for fact in facts]
    assert len(set(hashes)) == len(hashes)
    assert checkpoint_of(base, infos) == hashes[0]
