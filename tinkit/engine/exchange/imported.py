"""A checkpoint of anybody's becomes a run, so that all that is done with runs can be done with it.

The run's folder holds the recipe that the checkpoint is tested by, its weights as ``last``, and the account of every
entry. Such a run cannot be trained on; a training from its weights begins with ``--tune-from``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from tinkit.data.config.dataset import DataConfig
from tinkit.data.manifest.manifest import Manifest, open_manifest
from tinkit.engine.distributed.world import World
from tinkit.engine.exchange.pretrained import load_source, open_source
from tinkit.engine.runs.checkpoint import Progress, is_checkpoint, read_header, save_checkpoint
from tinkit.engine.runs.log import Reporter
from tinkit.engine.runs.run import Run, create_run, find_checkpoint
from tinkit.engine.runs.trials import with_mark
from tinkit.engine.runs.writers import sweep_run, writing_run
from tinkit.engine.runtime.build import build_model
from tinkit.engine.training.batch_plan import info_of
from tinkit.errors import UsageError
from tinkit.files.atomic import sha256_file, sha256_text, write_atomic
from tinkit.files.locks import in_turn
from tinkit.models.foreign.classes import ALPHABETICAL, named_order
from tinkit.recipe import Recipe, change, load_recipe, rename
from tinkit.run_folder import find_folder, owner_of

WORD = "last"  # the word of --weights that an adopted run has


def adopted_name(checkpoint: Path, recipe: Recipe) -> str:
    """What the run of a checkpoint is called unless it is said: the recipe's name and the file's."""
    stem = re.sub(r"(\.pth|\.tar|\.pt|\.pkl|\.pyth|\.bin|\.safetensors)+$", "", checkpoint.name)
    return f"{recipe.name}-" + re.sub(r"[^\w.-]+", "_", stem)


def named_run(
    name: str,
    weights: str | None,
    runs: Path,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    run_name: str | None = None,
) -> tuple[Run, str, Recipe]:
    """The run that somebody names, the word for which of its weights, and its recipe.

    With ``recipe``, ``name`` is a checkpoint of anybody's and the run is the one that :func:`adopt` makes of it, called
    ``run_name``, or by both names. Raises :class:`~tinkit.errors.UsageError` for what does not go together.
    """
    path = Path(name)
    if recipe is None:
        if find_folder(name, runs) is None and path.is_file() and owner_of(path) is None:
            raise UsageError(f"{name} belongs to no run", fix="say by which recipe to test it: --recipe RECIPE")
        run, word = find_checkpoint(name, weights, runs)
        return run, word, run.load_recipe()
    if not path.is_file():
        raise UsageError(f"{name}: no such file", expected="with --recipe, a checkpoint's file")
    if weights is not None and not is_checkpoint(path):
        raise UsageError("--weights chooses among a run's checkpoints", fix="leave out --weights or --recipe")
    resolved = load_recipe(recipe, overrides).recipe
    return Run(runs / rename(resolved, run_name or adopted_name(path, resolved)).name), WORD, resolved


def adopt(
    checkpoint: Path,
    recipe: Recipe,
    data: DataConfig,
    split: str,
    run: Run,
    reporter: Reporter,
    *,
    order: str | None = None,
    weights: str | None = None,
) -> None:
    """Make ``run`` of ``checkpoint``, or find that it is that already. ``weights`` chooses as in :func:`open_source`.

    The classes are those of the ``split`` of ``data``; ``order`` tells how the checkpoint numbers them
    (``alphabetical``, or a file of names) if not so. Every entry of the model must be in the file. Raises
    :class:`~tinkit.errors.UserError` for a file that does not fit, and :class:`~tinkit.errors.UsageError` for a run's
    folder that is taken.
    """
    manifest = open_manifest(data, split)
    here = change(recipe, {f"data.{key}": value for key, value in data.model_dump().items()})
    named = rename(here, run.name)
    origin = {"sha256": sha256_file(checkpoint), "order": _order_words(order, manifest)}
    origin |= {} if weights is None else {"weights": weights}
    if run.weights_names():
        _check_same(run, named, manifest, origin)
        sweep_run(run)
        return
    classes = manifest.classes
    model = build_model(named, len(classes), pretrained=False)
    source = open_source(str(checkpoint), run.folder.parent, weights)
    named = with_mark(named, source.trial)
    report = load_source(source, model, classes, order=order, whole=True)
    with in_turn(lambda: writing_run(run, World())):
        if run.weights_names():  # another has made it meanwhile
            _check_same(run, named, manifest, origin)
            return
        reporter.say_lines(f"{checkpoint}: {report.summary()}")
        create_run(run.name, named, run.folder.parent)
        # on what the weights were trained nothing tells but the recipe
        info = info_of(manifest, named) | {"origin": origin}
        account = {"file": str(checkpoint)} | origin | report.to_json()
        write_atomic(run.weights_path, json.dumps(account, indent=2) + "\n")
        save_checkpoint(run.checkpoint(WORD), model, Progress(), info)


def _order_words(order: str | None, manifest: Manifest) -> str:
    """How the checkpoint numbers its classes: of a file of names what is in it, not what it is called."""
    if order is None or order == ALPHABETICAL:
        return order or "as the data set"
    return f"a file of names, SHA-256 {sha256_text(chr(10).join(named_order(order, manifest.classes)))}"


def refuse_to_train_on(run: Run) -> None:
    """Raise :class:`~tinkit.errors.UsageError` if the run was adopted: it holds weights and nothing to go on with."""
    if (
        run.checkpoint(WORD).is_file()
        and not run.step_paths()
        and "origin" in read_header(run.checkpoint(WORD))["info"]
    ):
        raise UsageError(
            f"the run {run.name} was made of a checkpoint, and has no training to go on with",
            fix=f"begin one from its weights: tinkit train RECIPE --tune-from {run.name}",
        )


def _check_same(run: Run, recipe: Recipe, manifest: Manifest, origin: dict[str, str]) -> None:
    """Raise unless the run was made of the same checkpoint, recipe and classes."""
    there = read_header(run.checkpoint(WORD))["info"] if run.checkpoint(WORD).is_file() else {}
    same = there.get("origin") == origin and there["classes"] == list(manifest.classes)
    before = run.load_recipe() if same else None
    turned = recipe.data.layout.media == "video" and before is not None and before.data.turn != recipe.data.turn
    if before is None or before.model != recipe.model or before.clip != recipe.clip or turned:
        raise UsageError(
            f"the run {run.folder} is there, and is not of this checkpoint with this recipe",
            fix="give this one another name: --name NAME; or move that run away",
        )
