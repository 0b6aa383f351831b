"""What stands before the first step of a run: the data opened, weights loaded, and what will happen said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tinkit.data.clips.opening import require_files
from tinkit.data.flow.folders import FlowFiles
from tinkit.data.manifest.manifest import Manifest, join, open_manifest
from tinkit.engine.distributed.world import World
from tinkit.engine.exchange.imported import refuse_to_train_on
from tinkit.engine.exchange.pretrained import load_source, open_source
from tinkit.engine.runs.checkpoint import Progress
from tinkit.engine.runs.log import Reporter
from tinkit.engine.runs.run import Run, create_run
from tinkit.engine.runs.trials import WHOLE, Trial, marked, marked_like
from tinkit.engine.runs.writers import writing_run
from tinkit.engine.runtime.build import build_model
from tinkit.engine.runtime.device import flushed_denormals, words
from tinkit.engine.runtime.precision import settle_amp
from tinkit.engine.training.auto_resume import goes_on, restarted
from tinkit.engine.training.batch_plan import pieces_of
from tinkit.engine.training.trainer import NOT_SAVED, Trainer
from tinkit.errors import Interrupted, UserError
from tinkit.files.atomic import write_atomic
from tinkit.models import Classifier, ForeignReport
from tinkit.recipe import Recipe

__all__ = ["WHOLE", "Trial", "start_training"]


@flushed_denormals()
def start_training(
    run: Run,
    recipe: Recipe,
    reporter: Reporter,
    *,
    resume: bool = False,
    again: bool = False,
    tune_from: str | None = None,
    tune_weights: str | None = None,
    replace_head: bool = False,
    trial: Trial = WHOLE,
    runs: Path = Path("runs"),
    world: World | None = None,
) -> Progress:
    """Open the data, make the run's folder unless it is resumed, build or load the model, and train.

    With ``again``, or when torchrun has restarted this process, a run that is there is resumed. ``tune_from`` names the
    weights to start from, ``tune_weights`` which of them as ``--weights`` does; with ``replace_head``, a classifier of
    another size starts anew. What is wrong with the data, the weights or the recipe is found before anything is
    written. Raises :class:`~tinkit.files.locks.InUseError` where another process trains into the run.
    """
    world = world or World()
    with writing_run(run, world):
        if not resume and (restarted(world) or again):
            resume = world.on_main(lambda: goes_on(run, recipe))
            if resume:
                tune_from, recipe = None, world.first(lambda: marked_like(recipe, run))
        recipe = world.first(lambda: marked(recipe, trial))
        train_set, val_set = world.first(lambda: open_splits(recipe, trial, reporter))
        trainer, origin = prepare(
            run, recipe, train_set, val_set, reporter, resume, tune_from, runs, world, replace_head, tune_weights
        )
        if not resume:
            world.first(lambda: create_run(run.name, trainer.recipe, run.folder.parent) if world.main else None)
            if origin is not None and world.main:
                _say_origin(run, *origin, reporter)
        reporter.say(f"{run.folder}: {describe(trainer)}")
        return _train(trainer, trial, resume=resume)


def _train(trainer: Trainer, trial: Trial, *, resume: bool) -> Progress:
    """Train to the end, or to where the trial or a signal ends it, and say how to go on from there."""
    run, reporter, processes = trainer.run, trainer.reporter, trainer.world.size
    go_on = f"tinkit train --resume {run.folder}{trial.options()}" + (f" --gpus {processes}" * (processes > 1))
    try:
        if not resume:
            trainer.save_start()  # from here on there is something to go on from, with these weights and these clips
        progress = trainer.fit(resume=resume, max_steps=trial.max_steps)
    except Interrupted as error:
        kept = NOT_SAVED if error.problem == NOT_SAVED else "interrupted; what was trained is saved"
        raise error.again(kept, file=run.folder, fix=f"go on: {go_on}") from None
    except KeyboardInterrupt:
        raise Interrupted("interrupted; what was saved last is kept", file=run.folder, fix=f"go on: {go_on}") from None
    if progress.epoch < trainer.recipe.optim.epochs:
        reporter.say(f"stopped after {progress.epoch} epochs and {progress.step} steps; go on: {go_on}")
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
    train_set: Manifest,
    val_set: Manifest | None,
    reporter: Reporter,
    resume: bool,
    tune_from: str | None,
    runs: Path,
    world: World,
    replace_head: bool = False,
    tune_weights: str | None = None,
) -> tuple[Trainer, tuple[Path, ForeignReport] | None]:
    """The trainer with the model that training starts from, and where its weights came from, if from a file."""
    if resume:
        refuse_to_train_on(run)
    model = None
    origin: tuple[Path, ForeignReport] | None = None
    if resume and world.share(bool(run.step_paths()) or run.checkpoint("last").is_file()):
        model = build_model(recipe, len(train_set.classes), pretrained=False)
    elif resume and run.weights_path.is_file():
        raise UserError(
            "the run ended before it saved the weights that it starts from",
            file=run.weights_path,
            fix="begin again: tinkit train RECIPE --tune-from FILE",
        )
    elif tune_from is not None:
        model = build_model(recipe, len(train_set.classes), pretrained=False)
        origin = load_weights_into(
            model, tune_from, runs, train_set.classes, weights=tune_weights, replace_head=replace_head
        )
    elif isinstance(recipe.model.pretrained, str):
        model = build_model(recipe, len(train_set.classes), pretrained=False)
        origin = load_weights_into(model, recipe.model.pretrained, runs, train_set.classes, replace_head=True)
    elif recipe.model.pretrained is True:
        reporter.say(f"{recipe.model.backbone}: ImageNet weights from timm's hub, or its cache")
        model = world.first(lambda: build_model(recipe, len(train_set.classes)))  # fetched once, then in the cache
    return Trainer(run, recipe, train_set, val_set, reporter, model, world), origin


def describe(trainer: Trainer) -> str:
    """The model, the clips, the batch and the precision of a training in one line."""
    recipe, world, clips = trainer.recipe, trainer.world, trainer.train_clips.manifest
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
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
    model: Classifier,
    source: str,
    runs: Path,
    classes: Sequence[str] = (),
    *,
    weights: str | None = None,
    replace_head: bool = False,
) -> tuple[Path, ForeignReport]:
    """Load a run's best weights or what ``weights`` says, a file in a run's ``checkpoints``, or any checkpoint file.

    The classifier of a checkpoint that tells its classes' names is put into the order of ``classes``; one of another
    size is an error unless ``replace_head``. Returns the file and what became of every key.
    """
    opened = open_source(source, runs, weights)
    return opened.path, load_source(opened, model, classes, replace_head=replace_head)


def _say_origin(run: Run, path: Path, report: ForeignReport, reporter: Reporter) -> None:
    """A few lines for people, and what became of every key in the run's folder."""
    reporter.say_lines(f"{path}: {report.summary()}")
    write_atomic(run.weights_path, json.dumps({"file": str(path)} | report.to_json(), indent=2) + "\n")
