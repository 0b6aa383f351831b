"""One run: epochs of steps, each the same story: decode, forward, backward, clip, update, log; then validate and save.
Every process of a world runs this; the main one (rank 0) alone writes and speaks."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch

from tinkit import metrics
from tinkit.data.clips.batch import Batch
from tinkit.data.clips.loading import LoaderWorkers, Share, train_loader
from tinkit.data.clips.training import TrainClips
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.flow.folders import FlowFiles
from tinkit.data.manifest.manifest import Manifest
from tinkit.engine.distributed.stall import Watch
from tinkit.engine.distributed.world import LostPeerError, lost_peer
from tinkit.engine.runs.checkpoint import Progress, snapshot
from tinkit.engine.runs.checkpoint_writer import Keeper
from tinkit.engine.runs.log import RunLog
from tinkit.engine.runs.non_finite import NonFiniteError
from tinkit.engine.runs.resume import go_back
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.trained_on import clips_of, info_of
from tinkit.engine.runs.trials import after_epochs, save_mark
from tinkit.engine.runs.way_back import require_good, way_back
from tinkit.engine.runtime.build import build_model
from tinkit.engine.runtime.device import choose_device, limit_threads, loader_workers, settle_recipe
from tinkit.engine.runtime.pixels import Pixels
from tinkit.engine.runtime.reporter import Meter
from tinkit.engine.runtime.session import Session
from tinkit.engine.training.batch_plan import steps_per_epoch
from tinkit.engine.training.judge import judge
from tinkit.engine.training.learner import make_learner
from tinkit.engine.training.left_out import LeftOut
from tinkit.engine.training.loss import Loss
from tinkit.engine.training.mixing import Mixer
from tinkit.engine.training.outlook import Outlook, growth
from tinkit.engine.training.schedule import LearningRate
from tinkit.engine.training.soft_labels import load_soft_labels
from tinkit.engine.training.step import Objective, StepResult, TrainStep
from tinkit.engine.training.tally import after_step, base_rate, epoch_row
from tinkit.engine.training.throughput import Clock
from tinkit.engine.training.validate import Validator
from tinkit.errors import Interrupted
from tinkit.models import Classifier, freeze_partial_bn
from tinkit.recipe import Recipe
from tinkit.workers import WorkerLostError

NOT_SAVED = "interrupted while it waited for data; what was saved last is kept"  # the step could not be finished


class Trainer:
    """Trains a recipe into a run. ``model`` may be given with weights loaded; else the recipe's is built.

    ``recipe`` is the given one, ``train.amp = "auto"`` settled.
    """

    def __init__(
        self,
        run: Run,
        recipe: Recipe,
        train_set: Manifest,
        val_set: Manifest | None,
        session: Session,
        model: Classifier | None = None,
    ) -> None:
        self.session, self.reporter, self.world = session, session.reporter, session.world
        self.steps_per_epoch = steps_per_epoch(recipe, len(train_set), self.world)
        self.device = choose_device(self.world)
        limit_threads()
        recipe = settle_recipe(recipe, self.device.type, self.world)
        self.run, self.recipe = run, recipe
        torch.manual_seed(recipe.train.seed)
        model = model or build_model(recipe, len(train_set.classes))
        self.learner = make_learner(model, recipe, self.device, self.world)
        self.learning_rate = LearningRate(self.learner.optimizer, recipe.optim, recipe.schedule, self.steps_per_epoch)
        metric = recipe.train.metric or metrics.challenge_metric(train_set.task)
        self.metric = metrics.check_metric(metric, train_set.task, len(train_set.classes))
        flow, reading = FlowFiles.of(recipe.data), DecodeSettings.of(recipe.data)
        self.train_clips = TrainClips(train_set, recipe.clip, recipe.train.seed, flow, reading)
        pixels = Pixels(self.learner.model, self.device, channels_last=recipe.train.channels_last)
        objective = Objective(
            Loss.of(recipe.loss, train_set),
            Mixer(recipe.mix, len(train_set.classes), recipe.train.seed),
            load_soft_labels(recipe.loss, train_set, self.reporter),
        )
        self.train_step = TrainStep(recipe, self.learner, objective, pixels, self.world)
        self.validator = None if val_set is None else Validator(recipe, val_set, pixels, session)
        self.progress = Progress()
        self.outlook = Outlook(0, recipe.optim.epochs * self.steps_per_epoch)
        self._saved_at = time.monotonic()
        self.left_out = LeftOut(run, recipe, train_set, self.steps_per_epoch, session)

    @property
    def done(self) -> int:
        """Steps of the whole run so far."""
        return self.progress.epoch * self.steps_per_epoch + self.progress.step

    def save_start(self) -> None:
        """Save ``last`` before the first step."""
        with Keeper(self.run, self.recipe.save) as keeper:
            self._save(keeper)

    def fit(self, *, resume: bool = False, max_steps: int | None = None) -> Progress:
        """Train to the end of the recipe, or until ``max_steps`` more steps are done.

        After a signal to stop, and the step under way, what was trained is saved and Interrupted raised.
        """
        if resume:
            learner = self.learner
            parts = (learner.model, learner.optimizer, learner.ema, learner.scaler, self.reporter, self.world)
            self.progress = go_back(self.run, self.train_clips.manifest, *parts)
        if self.world.main:
            save_mark(self.run, self.recipe)
        self.outlook = Outlook(self.done, self.recipe.optim.epochs * self.steps_per_epoch)
        last_step = None if max_steps is None else self.done + max_steps
        validated = self.progress.step < self.steps_per_epoch  # else the newest epoch waits for it
        log = RunLog(self.run, self.progress, self.done, validated=validated) if self.world.main else None
        for path in log.put_aside if log else ():
            self.reporter.say(f"{path} could not be read: it was renamed to this, and a new table is begun")
        stop = self.session.stop
        try:
            with (
                stop,
                Keeper(self.run, self.recipe.save) as keeper,
                Watch(stop, self.recipe.train.stall_limit, "a step of training", keeper.settle) as self._watch,
            ):
                while self.progress.epoch < self.recipe.optim.epochs and (last_step is None or self.done < last_step):
                    self._epoch(log, keeper, last_step)
        except RuntimeError as error:  # PyTorch reports a dead peer wherever this process happens to be
            raise lost_peer(error) or error from error
        finally:
            if log is not None:
                log.close()
        if self.world.main:
            save_mark(self.run, after_epochs(self.recipe, self.progress.epoch))
        return self.progress

    def _epoch(self, log: RunLog | None, keeper: Keeper, last_step: int | None) -> None:
        """The rest of the epoch under way, or less where ``last_step`` or a signal ends it."""
        clock = Clock()
        self.train_mode()
        title = f"epoch {self.progress.epoch + 1}/{self.recipe.optim.epochs}"
        with self.reporter.progress(title, self.steps_per_epoch, self.progress.step) as meter:
            for batch in clock.timed(self._awaited(keeper, log)):
                try:
                    result = self._step(batch, clock, log, meter)
                except LostPeerError:
                    if not self.train_step.begun:
                        self._save(keeper, log)
                    raise
                whole = self.progress.step == self.steps_per_epoch
                if result.stop:
                    self._save(keeper, log)
                    raise Interrupted("interrupted", number=self.session.stop.number or signal.SIGTERM, fix="")
                if not whole and (self.done == last_step or self._save_is_due()):
                    self._save(keeper, log)
                    if self.done == last_step:
                        return
        self._end_epoch(clock, log, keeper)

    def train_mode(self) -> None:
        """Put the model into training mode, but for what partial BN freezes."""
        self.learner.model.train()
        if self.recipe.model.partial_bn:
            freeze_partial_bn(self.learner.model)

    def batches(self) -> Iterable[Batch]:
        """This process' share of the rest of the epoch under way; after a signal to stop none is waited for."""
        if self.progress.step == self.steps_per_epoch:
            return ()
        return train_loader(
            self.train_clips,
            batch=self.recipe.optim.batch,
            epoch=self.progress.epoch,
            start_step=self.progress.step,
            share=Share(self.world.rank, self.world.size),
            workers=LoaderWorkers(loader_workers(self.recipe.train), self.recipe.train.stall_limit, self.session.stop),
        )

    def _awaited(self, keeper: Keeper, log: RunLog | None) -> Iterator[Batch]:
        """The batches of the epoch; where one does not come, what was trained before it is saved."""
        try:
            yield from self._watch.over(self.batches(), limited=loader_workers(self.recipe.train) > 0)
        except (Interrupted, WorkerLostError) as error:
            self._save(keeper, log)
            if isinstance(error, Interrupted) and not self.world.main:
                raise error.again(NOT_SAVED, fix="") from None  # the main process may be in the middle of a step
            raise

    def _step(self, batch: Batch, clock: Clock, log: RunLog | None, meter: Meter) -> StepResult:
        """One step of the whole batch, counted and logged."""
        self.learning_rate.set(self.done, self.progress.plateau_drops)
        result = self.train_step(batch, self.done, stop=self.session.stop.number != 0)
        self.left_out.record(batch, result, self.progress, log)
        if not result.finite:  # leaving steps out does not help where the weights are non-finite themselves
            weights = dict(self.learner.model.named_parameters())
            what = f"after {self.done} steps the weights of the run"
            self.world.on_main(lambda: require_good(weights, what, self.run))
        self.progress = after_step(self.progress, result, self.learner.optimizer, *clock.step(result.clips))
        if log is not None:
            log.scalars(self.done, self.progress.shown)
        note = f"loss {self.progress.mean_loss:.4f}  {clock.clips_per_s:.1f} clips/s  {self.outlook.left(self.done)}"
        meter.advance(1, note.rstrip())
        return result

    def _end_epoch(self, clock: Clock, log: RunLog | None, keeper: Keeper) -> None:
        """Validate, write the epoch's row, and save."""
        trained = self.progress
        epoch = trained.epoch + 1
        self.left_out.tell_notes()
        row = epoch_row(trained, self.done, base_rate(self.learner.optimizer), clock)
        also: tuple[str, ...] = ()
        shown = ""
        if self.validator and (epoch % self.recipe.train.val_every == 0 or epoch == self.recipe.optim.epochs):
            self._save(keeper, log)  # so that a validation that is cut short need not cost the epoch
            try:
                measured, also = self._validate(log)
            except NonFiniteError as error:
                keeper.set_aside(self.done)
                what = f"{error.problem} in the validation after {self.done} steps"
                raise NonFiniteError(what, file=self.run.folder, fix=way_back(self.run)) from None
            row |= measured
            shown = "  ".join(f"{name} {100 * value:.2f}" for name, value in self.progress.metrics.items())
        self.progress = replace(self.progress, epoch=epoch, step=0, loss=0.0, valid=0, broken=0)
        if log is not None:
            log.epoch(row)
        self._save(keeper, log, also)
        self.reporter.say(
            f"epoch {epoch}/{self.recipe.optim.epochs}: loss {trained.mean_loss:.4f}  "
            + "  ".join(filter(None, (f"{row['clips_per_s']:.1f} clips/s", shown, self.outlook.left(self.done))))
        )
        if log is not None and (grown := growth(log.losses)):
            self.reporter.say(grown)

    def _validate(self, log: RunLog | None) -> tuple[dict[str, float], tuple[str, ...]]:
        """Measure the weights and their average; returns the row's columns and which ``best`` this is."""
        assert self.validator is not None
        # each process has batch statistics of its own; those of the main one are validated, as they are the ones saved
        model, ema = self.learner.model, self.learner.ema
        self.world.spread(model.buffers())
        if ema is not None:
            self.world.spread(ema.module.buffers())
        with self._watch.paused():
            values = self.validator(model, log, self.done)
        if ema is not None:
            with self._watch.paused():
                averaged = self.validator(ema.module, None, self.done)
            values |= {f"ema_{name}": value for name, value in averaged.items()}
        values = self.world.share(values)
        if log is not None:
            log.scalars(self.done, {f"val/{name}": value for name, value in values.items()})
        before = self.progress
        self.progress, also = judge(before, values, self.metric, self.recipe.schedule)
        if self.recipe.schedule.kind == "plateau" and self.progress.plateau_drops > before.plateau_drops:
            waited = self.recipe.schedule.patience + 1
            self.reporter.say(f"no better {self.metric} in {waited} validations: the learning rate falls")
        return {f"val_{name}": number for name, number in values.items()}, also

    def _save_is_due(self) -> bool:
        return self.recipe.save.is_due(self.done, time.monotonic() - self._saved_at)

    def _save(self, keeper: Keeper, log: RunLog | None = None, also: tuple[str, ...] = ()) -> None:
        if not self.world.main:
            return
        if log is not None:
            log.flush()  # a run resumed from this checkpoint writes no earlier events again
        learner = self.learner
        ema = None if learner.ema is None else learner.ema.module
        about, optimizer, scaler = self._info(), learner.optimizer, learner.scaler
        state = snapshot(learner.model, self.progress, about, optimizer=optimizer, ema=ema, scaler=scaler)
        require_good(state.tensors, f"after {self.done} steps the run's weights, or what goes with them,", self.run)
        keeper.save(state, self.done, also)
        self._saved_at = time.monotonic()

    def _info(self) -> dict[str, Any]:
        manifest, recipe = self.train_clips.manifest, after_epochs(self.recipe, self.progress.epoch)
        return info_of(manifest, recipe) | {"clips": clips_of(manifest)}
