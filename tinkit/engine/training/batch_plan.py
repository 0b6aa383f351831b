"""What must hold before a step is trained: a batch that divides, and the clips that the run was begun with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinkit.data.manifest.manifest import Manifest
from tinkit.engine.distributed.world import World
from tinkit.engine.runs.checkpoint import read_header
from tinkit.errors import UserError
from tinkit.recipe import Recipe


def steps_per_epoch(recipe: Recipe, clips: int, world: World) -> int:
    """Whole batches in an epoch. Raises :class:`~tinkit.errors.UserError` for numbers that do not go together."""
    batch, micro = recipe.optim.batch, recipe.optim.micro_batch
    if clips < batch:
        raise UserError(
            f"the training split has {clips} clips, fewer than one batch of {batch}",
            fix=f"a smaller batch: --set optim.batch={max(1, clips)}",
        )
    if batch % world.size:
        raise UserError(
            f"optim.batch = {batch} does not divide among {world.size} processes",
            fix=f"another number of processes, or --set optim.batch={max(1, batch // world.size) * world.size}",
        )
    share = batch // world.size
    if micro is not None and micro < share and share % micro:
        raise UserError(
            f"optim.micro_batch = {micro} does not divide the {share} clips of each of {world.size} processes",
            fix="--set optim.micro_batch=" + str(max(size for size in range(1, micro) if share % size == 0)),
        )
    if share == 1 and (recipe.mix.mixup or recipe.mix.cutmix):
        raise UserError("mix.mixup and mix.cutmix need two clips or more in each process", fix="fewer processes")
    return clips // batch


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
    """How many clips a split has and a hash of their ids: a resumed run must go on with the same ones."""
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


def pieces_of(recipe: Recipe, world: World) -> tuple[int, int]:
    """How many pieces each process computes its share of a step in, and the clips of a piece."""
    share = recipe.optim.batch // world.size
    micro = min(share, recipe.optim.micro_batch or share)
    return share // micro, micro
