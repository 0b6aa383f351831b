"""What stands before the first step of a run: the data opened, weights loaded, and what will happen said."""

from __future__ import annotations

from pathlib import Path

from tinkit.data.manifest import Manifest, open_manifest
from tinkit.engine.build import build_model, choose_device
from tinkit.engine.checkpoint import Progress, is_checkpoint, load_weights
from tinkit.engine.log import Reporter
from tinkit.engine.run import Run, find_run, require_checkpoint
from tinkit.engine.train import Trainer
from tinkit.errors import UserError
from tinkit.models import VideoClassifier, load_foreign, read_checkpoint
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
    """Open the data, build or load the model, and train to the end (or for ``max_steps``)."""
    train_set, val_set = open_manifest(recipe.data, "train"), open_manifest(recipe.data, "val")
    for line in (*train_set.skipped, *val_set.skipped):
        reporter.say(line)
    if limit is not None:
        train_set, val_set = train_set.head(limit), val_set.head(limit)
    for manifest in (train_set, val_set):
        manifest.require_media()
    _check_labelled(train_set)
    model = None
    if resume and run.checkpoint("last").is_file():
        model = build_model(recipe, len(train_set.classes), pretrained=False)
    elif tune_from is not None:
        model = build_model(recipe, len(train_set.classes), pretrained=False)
        load_weights_into(model, tune_from, runs, reporter)
    trainer = Trainer(run, recipe, train_set, val_set if val_set.labelled else None, reporter, model)
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    reporter.say(
        f"{run.folder}: {recipe.model.backbone} {recipe.model.temporal}, {parameters / 1e6:.2f} M parameters, "
        f"{len(train_set)} training and {len(val_set)} validation clips of {len(train_set.classes)} classes, "
        f"{trainer.steps_per_epoch} steps an epoch, on {choose_device().type}"
    )
    progress = trainer.fit(resume=resume, max_steps=max_steps)
    if progress.epoch < recipe.optim.epochs:
        reporter.say(
            f"stopped after {progress.epoch} epochs and {progress.step} steps; go on: "
            f"tinkit train --resume {run.folder}"
        )
    return progress


def load_weights_into(model: VideoClassifier, source: str, runs: Path, reporter: Reporter) -> None:
    """Load a run's best weights, or any checkpoint file, and say what became of every key."""
    path = Path(source)
    if not path.is_file():
        path = require_checkpoint(find_run(source, runs), "best")
    weights = load_weights(path) if is_checkpoint(path) else read_checkpoint(path)
    report = load_foreign(weights, model)
    reporter.say(
        f"{path}: {report.layout} layout; {len(report.used)} entries used, {len(report.new)} new, "
        f"{len(report.dropped)} dropped"
    )
    for key in report.new:
        reporter.say(f"  new, keeps its start: {key}")
    for key, reason in report.dropped.items():
        reporter.say(f"  dropped: {key}: {reason}")


def _check_labelled(train_set: Manifest) -> None:
    if not train_set.labelled:
        raise UserError(
            f"the training split of {train_set.dataset} has clips without labels",
            file=train_set.root,
            fix="name an annotation file with labels as data.train",
        )
