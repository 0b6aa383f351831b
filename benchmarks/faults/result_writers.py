"""The writers of results (fusions, submissions, score and feature files) with what each starts from and makes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Tree = dict[str, bytes]


@dataclass(frozen=True)
class Writer:
    """A command that writes: its ``name``, the folder it starts from, and what it does in a copy of that folder.

    ``output`` is what it locks, relative to the folder.
    """

    name: str
    before: Path
    act: Callable[[Path], None]
    output: str


def tree(folder: Path) -> Tree:
    """All files below ``folder`` by their names, but for a manifest's time and where they lie."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.name.endswith("manifest.json"):
                data = json.dumps(json.loads(data) | {"time": ""}).encode()
            if path.suffix == ".json":
                data = data.replace(os.fsencode(folder), b".")
            found[str(path.relative_to(folder))] = data
    return found


def command(*words: str | Path) -> None:
    """Run the command line in this process; its errors come through."""
    import typer

    from tinkit.cli.app import app

    try:
        app([str(word) for word in words], standalone_mode=False)
    except typer.Exit as leaving:
        if leaving.exit_code:
            raise


def write_scores_of(path: Path, run: str, split: str, rows: range, seed: int) -> None:
    """A score file of a run that was never trained."""
    from tinkit.scores import ScoreInfo, ScoreTable, write_scores

    random = np.random.default_rng([seed, len(run), *run.encode(), *split.encode()])
    classes = tuple(f"class {i}" for i in range(4))
    info = ScoreInfo("logits", "multi-label", classes, "toy", "1", split, "1x1", "logits", "best", ("train",), run)
    ids = [f"{split}/{i}.mp4" for i in rows]
    scores = random.normal(size=(len(ids), 4)).astype(np.float32)
    labels = [(i % 4,) if split == "val" else None for i in rows]
    write_scores(path, ScoreTable(info, ids, scores, np.ones(len(ids), bool), labels, ids))


def prepare(folder: Path, seed: int) -> list[Writer]:
    """Make what the writers start from below ``folder``."""
    start = folder / "start"
    for run in ("a", "b"):
        for split in ("val", "test"):
            write_scores_of(start / "runs" / run / "scores" / f"{split}-1x1-best.arrow", run, split, range(12), seed)
    for part in range(2):
        write_scores_of(start / "shards" / f"{part}.arrow", "c", "val", range(6 * part, 6 * part + 6), seed)
    (start / "theirs.csv").write_text("id,x,y\n" + "".join(f"{i},{i},0\n" for i in range(5)))
    fused = _after(start, folder / "fused", _ensemble("mean-logits"))
    submitted = _after(fused, folder / "submitted", _submit("a.csv", "--fill", "prior"))
    merged = _after(start, folder / "merged", _merge)
    (merged / "out.arrow").write_bytes((merged / "shards" / "0.arrow").read_bytes())
    return [
        Writer("ensemble", start, _ensemble("mean-probabilities", "--apply", "none"), "fusions/f"),
        Writer("ensemble --force", fused, _ensemble("mean-ranks", "--apply", "none", "--force"), "fusions/f"),
        Writer("submit", fused, _submit("a.csv"), "sub/a.csv"),
        Writer("submit --force", submitted, _submit("a.csv", "--force"), "sub/a.csv"),
        Writer("submit --force, beside another", submitted, _submit("b.csv", "--force"), "sub/manifest.json"),
        Writer("scores merge", start, _merge, "out.arrow"),
        Writer("scores merge --force", merged, lambda folder: _merge(folder, "--force"), "out.arrow"),
        Writer("scores import", start, _import, "out.arrow"),
    ]


def _after(start: Path, folder: Path, act: Callable[[Path], None]) -> Path:
    from .calls import forked

    shutil.copytree(start, folder)
    if forked(folder, act):
        raise RuntimeError(f"{folder} could not be prepared")
    for path in folder.rglob("*.json"):  # copies of it lie elsewhere
        path.write_bytes(path.read_bytes().replace(os.fsencode(folder), b"."))
    return folder


def _ensemble(method: str, *options: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        places = ("--runs", folder / "runs", "--fusions", folder / "fusions", "--name", "f")
        command("ensemble", "a", "b", *places, "--method", method, *options)

    return act


def _submit(name: str, *options: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        submit(folder, folder / "sub" / name, *options)

    return act


def submit(folder: Path, out: Path, *options: str) -> None:
    """Write the fusion in ``folder`` to ``out``; the ledger, which says when, lies beside ``folder``."""
    places = ("-o", out, "--ledger", folder.parent / "submissions.csv")
    command("submit", folder / "fusions" / "f", "-c", "mmit", *places, *options)


def _merge(folder: Path, *options: str) -> None:
    shards = (folder / "shards" / f"{part}.arrow" for part in range(2))
    command("scores", "merge", *shards, "--out", folder / "out.arrow", *options)


def _import(folder: Path) -> None:
    facts = ("--kind", "logits", "--task", "multi-label", "--dataset", "toy", "--split", "val")
    command("scores", "import", folder / "theirs.csv", "--out", folder / "out.arrow", *facts)
