"""What must hold before a step is trained: a batch that divides, and the clips that the run was begun with."""

from __future__ import annotations

from tinkit.engine.distributed.world import World
from tinkit.errors import UserError
from tinkit.recipe import Recipe


def steps_per_epoch(recipe: Recipe, clips: int, world: World) -> int:
    """Whole batches in an epoch. Raises :class:`~tinkit.errors.UserError` for numbers that do not go together."""
    batch, micro, repeats = recipe.optim.batch, recipe.optim.micro_batch, recipe.clip.repeats
    if clips * repeats < batch:
        raise UserError(
            f"the training split has {clips} clips, fewer than one batch of {batch}"
            + (f", {repeats} of each (clip.repeats)" if repeats > 1 else ""),
            fix=f"a smaller batch: --set optim.batch={max(1, clips) * repeats}",
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
    return clips // (batch // repeats)


def pieces_of(recipe: Recipe, world: World) -> tuple[int, int]:
    """How many pieces each process computes its share of a step in, and the clips of a piece."""
    share = recipe.optim.batch // world.size
    micro = min(share, recipe.optim.micro_batch or share)
    return share // micro, micro
