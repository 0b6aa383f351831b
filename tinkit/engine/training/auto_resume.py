"""Resume an existing run: after a restart by torchrun, a requeue by a batch system, or in a series."""

from __future__ import annotations

from typing import Any

from tinkit.engine.distributed.environment import environment_number
from tinkit.engine.distributed.world import World
from tinkit.engine.runs.run import Run
from tinkit.errors import UsageError
from tinkit.files.toml import flatten
from tinkit.recipe import Recipe

# Where the data is and how it is read may change between two halves of a run; what is computed may not.
_FREE = (
    *("data.root", "data.max_", "train.workers", "train.val_every", "train.samples", "train.max_broken"),
    *("train.on_nan", "train.stall_limit", "train.trial", "save."),
)


def restarted(world: World) -> bool:
    """Whether torchrun has started these processes again after a failure (``--max-restarts``).

    Of several machines only the one where it happened counts it.
    """
    return world.total(environment_number("TORCHELASTIC_RESTART_COUNT", 0))[0] > 0


def can_resume(run: Run, recipe: Recipe) -> bool:
    """Whether the run exists with a checkpoint, and can be resumed with ``recipe``.

    Raises :class:`~tinkit.errors.UsageError` when it was begun with another recipe.
    """
    if not run.weights_names():
        return False
    before, now = _values(run.load_recipe()), _values(recipe)
    if now["train.amp"] == "auto" and before["train.amp"] != "fp16":
        now["train.amp"] = before["train.amp"]  # as it was settled when the run began
    other = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if other:
        raise UsageError(
            f"the run {run.folder} was begun with other values of {', '.join(other[:5])}"
            + (f" and {len(other) - 5} more" if len(other) > 5 else ""),
            fix=f"resume it as it was begun: tinkit train --resume {run.folder}; or give the new one another --name",
        )
    return True


def _values(recipe: Recipe) -> dict[str, Any]:
    flat = flatten(recipe.model_dump(mode="json", exclude={"sources", "published", "departs", "description"}))
    ignored = () if recipe.model.moves_channels else ("model.shift_div",)
    return {key: value for key, value in flat.items() if not key.startswith((*_FREE, *ignored))}
