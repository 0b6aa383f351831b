"""The weights that a word of ``--weights`` means; the mean of a run's newest checkpoints is made where need be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from tinkit.engine.runs.checkpoint import (
    Snapshot,
    check_checkpoint,
    load_weights,
    read_header,
    read_weights,
    write_snapshot,
)
from tinkit.engine.runs.non_finite import require_finite
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.tensor_file import checksum_of
from tinkit.engine.runs.writers import sweep, writing_file
from tinkit.errors import UserError
from tinkit.files.locks import in_turn


def require_checkpoint(run: Run, which: str) -> Path:
    """The checkpoint's path, or an error that says what there is. ``mean=K`` is made, or made again, if need be."""
    path = run.checkpoint(which)
    if which.startswith("mean="):
        return average_steps(run, int(which.removeprefix("mean=")))
    there = run.weights_names()
    if path.is_file() and (which != "ema" or which in there):
        return path
    raise UserError(
        f"the run {run.name} has no checkpoint {which!r}",
        file=path,
        expected=f"one of: {', '.join(there)}" if there else "a run that has finished an epoch",
        fix=f"tinkit train --resume {run.folder}" if not there else None,
    )


def load_run_weights(run: Run, weights: str) -> tuple[dict[str, Tensor], Path, dict[str, Any]]:
    """The model's state dict that a word of ``--weights`` means, its file and the file's header.

    ``ema`` and ``best-ema`` give averaged weights, every other word raw ones. Raises
    :class:`~tinkit.errors.UserError` when they are missing or damaged.
    """
    path = require_checkpoint(run, weights)
    state, header = read_weights(path, ema=weights in ("ema", "best-ema"))
    if weights == "best-ema" and header.get("weights") == "raw":
        raise UserError(
            "holds a checkpoint of a step under the name of the best averaged weights",
            file=path,
            fix="give it back its name; its averaged weights are --weights ema where it is `last`",
        )
    return state, path, header


def average_steps(run: Run, count: int) -> Path:
    """Write the mean of the newest ``count`` files of steps to ``checkpoints/mean=K.safetensors``; returns that path.

    Floating-point tensors (the statistics of BatchNorm among them) are averaged in float64 and rounded to their type
    once; whole numbers are the newest's. The header's ``info.mean_of`` has the checksum of every step that went in, by
    which a file that is still right is known and left alone.
    """
    steps = run.step_paths()
    if len(steps) < count:
        raise UserError(
            f"the mean of {count} checkpoints, and the run {run.name} has those of {len(steps)} steps",
            file=run.checkpoints,
            fix=f"--weights mean={len(steps)}; a run keeps more with --set save.keep={count}" if steps else None,
        )
    newest = sorted(steps)[-count:]
    path, made_of = run.checkpoint(f"mean={count}"), {str(step): checksum_of(steps[step]) for step in newest}
    if _made_of(path) == made_of:
        sweep(path)
        return path
    with in_turn(lambda: writing_file(path)):
        if _made_of(path) != made_of:
            _write_mean(path, [steps[step] for step in newest], made_of)
    return path


def _write_mean(path: Path, steps: list[Path], made_of: dict[str, str]) -> None:
    header = read_header(steps[-1])
    kept = {name: header[name] for name in ("format", "progress", "info")}
    kept |= {"info": kept["info"] | {"mean_of": made_of}, "ema": False, "weights": "raw"}
    write_snapshot(Snapshot({f"model.{name}": tensor for name, tensor in _mean(steps).items()}, kept), path)


def _made_of(path: Path) -> dict[str, str] | None:
    """What the mean in ``path`` was made of, if it is whole."""
    try:
        made_of: dict[str, str] | None = check_checkpoint(path)["info"].get("mean_of")
    except UserError:
        return None
    return made_of


def _mean(paths: list[Path]) -> dict[str, Tensor]:
    """Over the weights in ``paths``, one file in memory at a time."""
    sums: dict[str, Tensor] = {}
    for path in paths:
        weights = load_weights(path)
        require_finite(weights, "its weights", path, "leave that step out of the mean, with a smaller K")
        if sums and {name: t.shape for name, t in weights.items()} != {name: t.shape for name, t in sums.items()}:
            raise UserError("is of another model than the steps before it", file=path)
        for name, tensor in weights.items():
            wide = tensor.double() if tensor.is_floating_point() else tensor
            sums[name] = sums[name] + wide if name in sums and tensor.is_floating_point() else wide
    return {
        name: (sums[name] / len(paths)).to(tensor.dtype) if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
    }
