"""What a checkpoint says of the data and the recipe that its weights are of; a run resumes with the same clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinkit.data.manifest.manifest import Manifest
from tinkit.engine.runs.checkpoint import read_header
from tinkit.errors import UserError
from tinkit.recipe import Recipe


def info_of(manifest: Manifest, recipe: Recipe) -> dict[str, Any]:
    """What a checkpoint says of the data and the recipe that its weights are of."""
    return {
        "classes": list(manifest.classes),
        "task": manifest.task,
        "dataset": manifest.dataset,
        "dataset_version": manifest.version,
        "trained_on": list(recipe.train.splits),
        "recipe": recipe.model_dump(mode="json"),
    }


def clips_of(manifest: Manifest) -> dict[str, int | str]:
    """How many clips a split has and a hash of their ids: a run is resumed with the same ones."""
    return {"count": len(manifest), "ids": manifest.fingerprint}


def check_same_clips(checkpoint: Path, manifest: Manifest) -> None:
    """A run that went on with other clips would be another run: other batches, another schedule."""
    before, now = read_header(checkpoint)["info"]["clips"], clips_of(manifest)
    if before == now:
        return
    fewer = before["count"] < len(manifest)
    raise UserError(
        f"the run was trained on {before['count']} clips, and the training split now has "
        f"{'as many others' if before['count'] == now['count'] else now['count']}",
        file=checkpoint,
        fix=(f"if it was begun with --limit, resume it with --limit {before['count']}; else " if fewer else "")
        + "give the data set as it was, or begin a new run with --tune-from",
    )
