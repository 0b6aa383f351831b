"""What precedes the first step of a run: the data opened, weights loaded, and what will happen reported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinkit.data.clips.opening import require_files
from tinkit.data.flow.folders import FlowFiles
from tinkit.data.manifest.join import join
from tinkit.data.manifest.manifest import Manifest, open_manifest
from tinkit.engine.exchange.imported import refuse_to_train_on
from tinkit.engine.exchange.pretrained import load_source, open_source
from tinkit.engine.runs.checkpoint import Progress
from tinkit.engine.runs.run import Run, create_run
from tinkit.engine.runs.trials import WHOLE, Trial, marked, marked_like
from tinkit.engine.runs.writers import writing_run
from tinkit.engine.runtime.build import build_model
from tinkit.engine.runtime.device import flushed_denormals, words
from tinkit.engine.runtime.precision import settle_amp
from tinkit.engine.runtime.reporter import Reporter
from tinkit.engine.runtime.session import Session
from tinkit.engine.training.auto_resume import can_resume, restarted
from tinkit.engine.training.batch_plan import pieces_of
from tinkit.engine.training.trainer import NOT_SAVED, Trainer
from tinkit.errors import Interrupted, UserError
from tinkit.files.atomic import write_atomic
from tinkit.models import Classifier, ForeignReport
from tinkit.recipe import Recipe

__all__ = ["WHOLE", "Trial", "TuneFrom", "start_training"]


@dataclass(frozen=True)
class TuneFrom:
    """The weights that a training starts from, in place of the recipe's."""

    name: str
    """A run, a file in a run's ``checkpoints``, or any checkpoint file."""
    weights: str | None = None
    """Which of them, in the words of ``--weights``; the best by default."""
    replace_head: bool = False
    """Let a classifier of another size start anew."""


@flushed_denormals()
def start_training(
    run: Run,
    recipe: Recipe,
    session: Session,
    *,
    resume: bool = False,
    again: bool = False,
    tune_from: TuneFrom | None = None,
    trial: Trial = WHOLE,
) -> Progress:
    """Open the data, make the run's folder unless it is resumed, build or load the model, and train.

    With ``again``, or when torchrun has restarted this process, an existing run is resumed. Mistakes in the data,
    the weights or the recipe are found before anything is written. Raises
    :class:`~tinkit.files.locks.InUseError` where another process trains into the run.
    """
    world = session.world
    with writing_run(run, world):
        if not resume and (restarted(world) or again):
            resume = world.on_main(lambda: can_resume(run, recipe))
            if resume:
                tune_from, recipe = None, world.first(lambda: marked_like(recipe, run))
        recipe = world.first(lambda: marked(recipe, trial))
        splits = world.first(lambda: open_splits(recipe, trial, session.reporter))
        trainer, origin = prepare(run, recipe, splits, session, resume=resume, tune_from=tune_from)
        if not resume:
            world.first(lambda: create_run(run.name, trainer.recipe, run.folder.parent) if world.main else None)
            if origin is not None and world.main:
                _say_origin(run, *origin, session.reporter)
        session.reporter.say(f"{run.folder}: {describe(trainer)}")
        return _train(trainer, trial, resume=resume)


def _train(trainer: Trainer, trial: Trial, *, resume: bool) -> Progress:
    """Train to the end, or to where the trial or a signal ends it, and say how to resume from there."""
    run, reporter, processes = trainer.run, trainer.reporter, trainer.world.size
    advice = f"resume with: tinkit train --resume {run.folder}{trial.options()}"
    advice += f" --gpus {processes}" if processes > 1 else ""
    try:
        if not resume:
            trainer.save_start()  # from here on there is something to resume from, with these weights and these clips
        progress = trainer.fit(resume=resume, max_steps=trial.max_steps)
    except Interrupted as error:
        kept = NOT_SAVED if error.problem == NOT_SAVED else "interrupted; what was trained is saved"
        raise error.again(kept, file=run.folder, fix=advice) from None
    except KeyboardInterrupt:
        raise Interrupted("interrupted; what was saved last is kept", file=run.folder, fix=advice) from None
    if progress.epoch < trainer.recipe.optim.epochs:
        reporter.say(f"stopped after {progress.epoch} epochs and {progress.step} steps; {advice}")
    return progress


def open_splits(recipe: Recipe, trial: Trial, reporter: Reporter) -> tuple[Manifest, Manifest | None]:
    """The clips to train on, and those to validate on: None if these have no labels or are trained on too."""
    splits = [open_manifest(recipe.data, split) for split in ("train", "val")]
    for manifest in splits:
        for line in manifest.skipped:
            reporter.say(line)
    if trial.limit is not None:
        splits = [manifest.head(trial.limit) for manifest in splits]
    for manifest in splits:
        require_files(manifest, recipe.clip, FlowFiles.of(recipe.data))
    train_set, val_set = splits[0], splits[1] if splits[1].labelled else None
    if recipe.train.splits == ("train", "val"):
        train_set, val_set = join(splits), None
        reporter.say("training on train and val: nothing is validated, and no fusion can be fitted on val")
    if not train_set.labelled:
        raise UserError(
            f"the training split of {train_set.dataset} has clips without labels",
            file=train_set.root,
            fix="name an annotation file with labels as data.train",
        )
    if trial.overfit is not None:
        train_set = train_set.head(trial.overfit)
        val_set = train_set
        reporter.say(f"training and validating on the same {len(train_set)} clips: the metrics should go to 100")
    return train_set, val_set


def prepare(
    run: Run,
    recipe: Recipe,
    splits: tuple[Manifest, Manifest | None],
    session: Session,
    *,
    resume: bool = False,
    tune_from: TuneFrom | None = None,
) -> tuple[Trainer, tuple[Path, ForeignReport] | None]:
    """The trainer with the model that training starts from, and where its weights came from, if from a file.

    ``splits`` are those of :func:`open_splits`.
    """
    if resume:
        refuse_to_train_on(run)
    train_set, val_set = splits
    classes, world = train_set.classes, session.world
    model = None
    origin: tuple[Path, ForeignReport] | None = None
    if resume and world.share(bool(run.step_paths()) or run.checkpoint("last").is_file()):
        model = build_model(recipe, len(classes), pretrained=False)
    elif resume and run.weights_path.is_file():
        raise UserError(
            "the run ended before it saved the weights that it starts from",
            file=run.weights_path,
            fix="begin a new run: tinkit train RECIPE --tune-from FILE",
        )
    elif tune_from is not None or isinstance(recipe.model.pretrained, str):
        source = tune_from or TuneFrom(str(recipe.model.pretrained), replace_head=True)
        model = build_model(recipe, len(classes), pretrained=False)
        origin = load_weights_into(model, source, session.runs, classes)
    elif recipe.model.pretrained is True:
        session.reporter.say(f"{recipe.model.backbone}: ImageNet weights from timm's hub, or its cache")
        model = world.first(lambda: build_model(recipe, len(classes)))  # fetched once, then in the cache
    return Trainer(run, recipe, train_set, val_set, session, model), origin


def describe(trainer: Trainer) -> str:
    """The model, the clips, the batch and the precision of a training in one line."""
    recipe, world, clips = trainer.recipe, trainer.world, trainer.train_clips.manifest
    parameters = sum(parameter.numel() for parameter in trainer.learner.model.parameters())
    pieces, micro = pieces_of(recipe, world)
    val = 0 if trainer.validator is None else len(trainer.validator.clips.manifest)
    device = trainer.device.type
    chosen = words(recipe, settle_amp(recipe.train.amp, device), device, merged=False)
    plan = "" if micro == recipe.optim.batch else f" = {world.size} processes x {pieces} pieces x {micro}"
    return (
        f"{recipe.model.backbone} {recipe.model.temporal}, {parameters / 1e6:.2f} M parameters, "
        f"{len(clips)} training and {val} validation clips of {len(clips.classes)} classes, "
        f"{trainer.steps_per_epoch} steps an epoch of {recipe.optim.batch} clips{plan}, on {device}: {chosen}"
    )


def load_weights_into(
    model: Classifier, source: TuneFrom, runs: Path, classes: Sequence[str]
) -> tuple[Path, ForeignReport]:
    """Load the weights that ``source`` names; returns the file and what became of every key.

    The classifier of a checkpoint that names its classes is put into the order of ``classes``; one of another
    size is an error unless it may be replaced.
    """
    opened = open_source(source.name, runs, source.weights)
    return opened.path, load_source(opened, model, classes, replace_head=source.replace_head)


def _say_origin(run: Run, path: Path, report: ForeignReport, reporter: Reporter) -> None:
    """A few lines for people, and what became of every key in the run's folder."""
    reporter.say_lines(f"{path}: {report.summary()}")
    write_atomic(run.weights_path, json.dumps({"file": str(path)} | report.to_json(), indent=2) + "\n")
