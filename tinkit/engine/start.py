"""What stands before the first step of a run: the data opened, weights loaded, and what will happen said."""

from __future__ import annotations

import json
from pathlib import Path

from tinkit.data.manifest import Manifest, open_manifest
from tinkit.engine.build import build_model, choose_device
from tinkit.engine.checkpoint import Progress, is_checkpoint, load_weights
from tinkit.engine.log import Reporter
from tinkit.engine.run import Run, create_run, find_run, require_checkpoint
from tinkit.engine.train import Trainer
from tinkit.errors import Interrupted, UsageError, UserError
from tinkit.files import write_atomic
from tinkit.models import ForeignReport, VideoClassifier, load_foreign, read_checkpoint
from tinkit.recipe import Recipe


def start_training(
    run: Run,
    recipe: Recipe,
    reporter: Reporter,
    *,
    resume: bool = False,
    tune_from: str | None = None,
    limit: int | None = None,
    max_steps: int | None = None,
    runs: Path = Path("runs"),
) -> Progress:
    """Open the data, make the run's folder unless it is resumed, build or load the model, and train.

    ``limit`` clips of each split are used; ``max_steps`` more steps are done. What is wrong with the data, the weights
    or the recipe is found before anything is written.
    """
    train_set, val_set = open_manifest(recipe.data, "train"), open_manifest(recipe.data, "val")
    for line in (*train_set.skipped, *val_set.skipped):
        reporter.say(line)
    if limit is not None:
        train_set, val_set = train_set.head(limit), val_set.head(limit)
    for manifest in (train_set, val_set):
        manifest.require_media()
    _check_labelled(train_set)
    model = None
    origin: tuple[Path | str, ForeignReport] | None = None
    if resume and run.checkpoint("last").is_file():
        model = build_model(recipe, len(train_set.classes), pretrained=False)
    elif resume and run.weights_path.is_file():
        raise UserError(
            "the run ended before it saved the weights that it starts from",
            file=run.weights_path,
            fix="begin again: tinkit train RECIPE --tune-from FILE",
        )
    elif tune_from is not None:
        model = build_model(recipe, len(train_set.classes), pretrained=False)
        origin = load_weights_into(model, tune_from, runs)
    elif recipe.model.pretrained is True:
        reporter.say(f"{recipe.model.backbone}: ImageNet weights from timm's hub, or its cache")
    trainer = Trainer(run, recipe, train_set, val_set if val_set.labelled else None, reporter, model)
    if trainer.model.pretrained_report is not None:
        origin = str(recipe.model.pretrained), trainer.model.pretrained_report
    if not resume:
        create_run(run.name, recipe, run.folder.parent)
        if origin is not None:
            _say_origin(run, *origin, reporter)
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    reporter.say(
        f"{run.folder}: {recipe.model.backbone} {recipe.model.temporal}, {parameters / 1e6:.2f} M parameters, "
        f"{len(train_set)} training and {len(val_set)} validation clips of {len(train_set.classes)} classes, "
        f"{trainer.steps_per_epoch} steps an epoch, on {choose_device().type}"
    )
    go_on = f"tinkit train --resume {run.folder}" + (f" --limit {limit}" if limit is not None else "")
    try:
        if not resume:
            trainer.save_start()  # from here on there is something to go on from, with these weights and these clips
        progress = trainer.fit(resume=resume, max_steps=max_steps)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; what was saved last is kept", file=run.folder, fix=f"go on: {go_on}") from None
    if progress.epoch < recipe.optim.epochs:
        reporter.say(f"stopped after {progress.epoch} epochs and {progress.step} steps; go on: {go_on}")
    return progress


def load_weights_into(model: VideoClassifier, source: str, runs: Path) -> tuple[Path, ForeignReport]:
    """Load a run's best weights, or any checkpoint file; returns the file and what became of every key."""
    path = Path(source)
    if not path.is_file():
        if path.suffix or (len(path.parts) > 1 and not path.is_dir()):
            raise UsageError(f"--tune-from {source}: no such file", expected="a checkpoint's file, or a run")
        path = require_checkpoint(find_run(source, runs), "best")
    weights = load_weights(path) if is_checkpoint(path) else read_checkpoint(path)
    return path, load_foreign(weights, model)


def _say_origin(run: Run, path: Path | str, report: ForeignReport, reporter: Reporter) -> None:
    """A few lines for people, and what became of every key in the run's folder."""
    reporter.say(f"{path}: {report.summary()}")
    account = {"file": str(path), "layout": report.layout, "used": report.used, "new": report.new}
    write_atomic(run.weights_path, json.dumps(account | {"dropped": report.dropped}, indent=2) + "\n")


def _check_labelled(train_set: Manifest) -> None:
    if not train_set.labelled:
        raise UserError(
            f"the training split of {train_set.dataset} has clips without labels",
            file=train_set.root,
            fix="name an annotation file with labels as data.train",
        )
