"""Runs for tests of testing: untrained models whose scores differ from clip to clip, made in a moment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tinkit.cli.app import main
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.runs.checkpoint import Progress, save_checkpoint
from tinkit.engine.runs.log import Reporter
from tinkit.engine.runs.run import Run, create_run
from tinkit.engine.runtime.build import build_model
from tinkit.recipe import load_recipe

QUIET = Reporter(quiet=True)
SMALL = [
    "clip.size=32", "test.scale=40", "test.crop=32", "test.batch=3", "clip.num_segments=4", "train.workers=0",
    "model.classifier_std=1.0",
]  # fmt: skip


def untrained(root: Path, folder: Path, *changes: str, recipe: str = "demo_tin") -> Run:
    """A run in ``folder`` with random weights as its ``best`` and ``last`` checkpoint; the same ones every time."""
    resolved = load_recipe(recipe, [*SMALL, *changes], root).recipe
    run = create_run(resolved.name, resolved, folder)
    manifest = open_manifest(resolved.data, "val")
    torch.manual_seed(7)
    model = build_model(resolved, len(manifest.classes), pretrained=False)
    info = {"classes": list(manifest.classes), "task": manifest.task, "trained_on": ["train"]}
    for name in ("best", "last"):
        save_checkpoint(run.checkpoint(name), model, Progress(), info)
    return run


def command(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    """Run the command line in this process; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["tinkit", *map(str, words)])
    try:
        main()
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return 0
