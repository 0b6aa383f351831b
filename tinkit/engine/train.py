"""One run: epochs of steps, each the same story: decode, forward, backward, clip, step, log; then validate and save."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from tinkit import metrics
from tinkit.data.clips import TestClips, TrainClips
from tinkit.data.loading import Batch, train_loader, worker_failure
from tinkit.data.manifest import Manifest
from tinkit.engine.build import Pixels, build_model, choose_device, loader_workers
from tinkit.engine.checkpoint import Progress, read_header, resume_checkpoint, save_checkpoint
from tinkit.engine.evaluate import score_split
from tinkit.engine.log import Meter, Reporter, RunLog
from tinkit.engine.loss import loss_name, loss_sum
from tinkit.engine.optim import LearningRate, build_optimizer
from tinkit.engine.run import Run
from tinkit.errors import UserError
from tinkit.files import sha256_text
from tinkit.models import VideoClassifier, freeze_partial_bn, record_steering
from tinkit.recipe import Recipe
from tinkit.scores import mark_labels

_SHOWN = 5  # clips left out in an epoch that are printed; the file has them all
_BORNE = 5  # undecodable clips that no run stops for, so that small sets are not at the mercy of a share


@dataclass
class Clock:
    """The pace of an epoch, as far as this process has trained it."""

    started: float = field(default_factory=time.monotonic)
    stepped: float = field(default_factory=time.monotonic)
    """When the last step ended: what passes until the next one ends counts, waiting for data included."""
    clips: int = 0

    def step(self, clips: int) -> float:
        """A step of so many clips has ended; returns its clips a second."""
        before, self.stepped = self.stepped, time.monotonic()
        self.clips += clips
        return clips / (self.stepped - before)

    @property
    def clips_per_s(self) -> float:
        """The mean since the start."""
        return self.clips / max(time.monotonic() - self.started, 1e-9)


def clips_of(manifest: Manifest) -> dict[str, int | str]:
    """How many clips a split has and a hash of their ids: a resumed run must go on with the same ones."""
    return {"count": len(manifest), "ids": sha256_text("\n".join(manifest.ids))}


class Trainer:
    """Trains a recipe into a run. ``model`` may be given with weights loaded; else the recipe's is built."""

    def __init__(
        self,
        run: Run,
        recipe: Recipe,
        train_set: Manifest,
        val_set: Manifest | None,
        reporter: Reporter,
        model: VideoClassifier | None = None,
    ) -> None:
        self.run, self.recipe, self.reporter = run, recipe, reporter
        self.steps_per_epoch = len(train_set) // recipe.optim.batch
        if self.steps_per_epoch == 0:
            raise UserError(
                f"the training split has {len(train_set)} clips, fewer than one batch of {recipe.optim.batch}",
                fix=f"a smaller batch: --set optim.batch={max(1, len(train_set))}",
            )
        self.device = choose_device()
        torch.manual_seed(recipe.train.seed)
        self.model = (model or build_model(recipe, len(train_set.classes))).to(self.device)
        self.pixels = Pixels(self.model, self.device, recipe.train.channels_last)
        self.optimizer = build_optimizer(self.model, recipe.optim)
        self.learning_rate = LearningRate(self.optimizer, recipe.optim, recipe.schedule, self.steps_per_epoch)
        self.loss_name = loss_name(recipe.loss, train_set.task)
        metric = recipe.train.metric or metrics.challenge_metric(train_set.task)
        self.metric = metrics.check_metric(metric, train_set.task)
        self.train_clips = TrainClips(train_set, recipe.clip, recipe.train.seed)
        views = recipe.test.model_copy(update={"views": "1x1"})
        self.val_clips = None if val_set is None else TestClips(val_set, recipe.clip, views)
        self.progress = Progress()

    def save_start(self) -> None:
        """Save ``last`` before the first step."""
        self._save("last")

    def fit(self, *, resume: bool = False, max_steps: int | None = None) -> Progress:
        """Train to the end of the recipe, or until ``max_steps`` more steps are done."""
        last = self.run.checkpoint("last")
        if resume and last.is_file():
            self._check_same_clips(last)
            self.progress = resume_checkpoint(last, self.model, self.optimizer)
        log = RunLog(self.run, self.progress.epoch, self._global_step())
        last_step = None if max_steps is None else self._global_step() + max_steps
        try:
            while self.progress.epoch < self.recipe.optim.epochs:
                if not self._epoch(log, last_step):
                    self._save("last")
                    break
        except RuntimeError as error:
            # PyTorch tells of a dead loader process wherever the main process happens to be
            raise worker_failure(error) or error from error
        finally:
            log.close()
        return self.progress

    def _check_same_clips(self, checkpoint: Path) -> None:
        """A run that went on with other clips would be another run: other batches, another schedule."""
        before, now = read_header(checkpoint)["info"]["clips"], clips_of(self.train_clips.manifest)
        if before == now:
            return
        fewer = before["count"] < now["count"]
        raise UserError(
            f"the run was trained on {before['count']} clips, and the training split now has "
            f"{'as many others' if before['count'] == now['count'] else now['count']}",
            file=checkpoint,
            fix=(f"if it was begun with --limit, resume it with --limit {before['count']}; else " if fewer else "")
            + "give the data set as it was, or begin a new run with --tune-from",
        )

    def _epoch(self, log: RunLog, last_step: int | None) -> bool:
        """The rest of the epoch under way; False when ``last_step`` ended it early."""
        epoch = self.progress.epoch
        clock = Clock()
        self.model.train()
        if self.recipe.model.partial_bn:
            freeze_partial_bn(self.model)
        title = f"epoch {epoch + 1}/{self.recipe.optim.epochs}"
        first_step = self.progress.step
        with self.reporter.progress(title, self.steps_per_epoch, first_step) as meter:
            for batch in self._batches():
                self._step(batch, clock, log, meter)
                if last_step is not None and self._global_step() >= last_step:
                    if self.progress.step < self.steps_per_epoch:
                        return False
                    break
                every = self.recipe.save.every
                if every and self._global_step() % every == 0 and self.progress.step < self.steps_per_epoch:
                    self._save("last")
        self._end_epoch(clock, log)
        return last_step is None or self._global_step() < last_step

    def _batches(self) -> Iterator[Batch]:
        return iter(
            train_loader(
                self.train_clips,
                batch=self.recipe.optim.batch,
                epoch=self.progress.epoch,
                start_step=self.progress.step,
                workers=loader_workers(self.recipe.train),
            )
        )

    def _step(self, batch: Batch, clock: Clock, log: RunLog, meter: Meter) -> None:
        """One update from one global batch, micro-batch by micro-batch."""
        step = self._global_step()
        self.learning_rate.set(step)
        valid = int(batch["valid"].sum())
        loss = self._backward(batch, valid) if valid else 0.0
        norm = 0.0
        if valid:
            bound = self.recipe.optim.clip_grad or float("inf")
            norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), bound))
            self.optimizer.step()
        done = self.progress
        self.progress = replace(
            done,
            step=done.step + 1,
            loss=done.loss + loss * valid,
            valid=done.valid + valid,
            broken=done.broken + int(batch["broken"].sum()),
        )
        self._record_left_out(batch, log)
        values = {"train/loss": loss, "train/grad_norm": norm, "train/lr": self._base_rate()}
        log.scalars(step, values | {"train/clips_per_s": clock.step(len(batch["index"]))})
        meter.advance(1, f"loss {self.progress.mean_loss:.4f}  {clock.clips_per_s:.1f} clips/s")

    def _backward(self, batch: Batch, valid: int) -> float:
        """Gradients of the mean loss over the batch's valid clips; returns that loss."""
        size = self.recipe.optim.micro_batch or len(batch["index"])
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for start in range(0, len(batch["index"]), size):
            part = slice(start, start + size)
            video = self.pixels(batch["frames"][part])
            labels, good = batch["labels"][part].to(self.device), batch["valid"][part].to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.train.amp == "bf16"):
                logits = self.model(video)
            loss = loss_sum(self.loss_name, logits, labels, good) / valid
            loss.backward()
            total += loss.item()
        if not total < float("inf"):
            raise UserError(
                f"the loss is {total} at step {self._global_step()}",
                fix="a lower optim.lr, or train.amp = 'off'; the last checkpoint is kept: tinkit train --resume "
                f"{self.run.name}",
            )
        return total

    def _record_left_out(self, batch: Batch, log: RunLog) -> None:
        """Record the step's clips that are not valid, and stop when too many could not be decoded."""
        rows = [(int(row), reason) for row, reason in zip(batch["index"], batch["reason"], strict=True) if reason]
        if not rows:
            return
        clips = [(self.train_clips.manifest.row(row).id, reason) for row, reason in rows]
        for number, (clip, reason) in log.left_out(self.progress.epoch, clips):
            if number <= _SHOWN:
                self.reporter.say(f"left out: {clip}: {reason}")
            elif number == _SHOWN + 1:
                self.reporter.say(f"more clips are left out; all are listed in {self.run.left_out_path}")
        share, broken = self.recipe.train.max_broken, self.progress.broken
        clips_an_epoch = self.steps_per_epoch * self.recipe.optim.batch
        if broken > (max(_BORNE, share * clips_an_epoch) if share else 0):
            raise UserError(
                f"{broken} clips of this epoch cannot be decoded, more than train.max_broken = {share:g} of an "
                f"epoch's {clips_an_epoch} allows",
                file=self.run.left_out_path,
                fix="mend or remove the clips listed there, or raise the limit: --set train.max_broken=0.1",
            )

    def _end_epoch(self, clock: Clock, log: RunLog) -> None:
        """Validate, write the epoch's row, and save ``last`` and, when it is, ``best``."""
        clips_per_s, done = clock.clips_per_s, self.progress
        epoch = done.epoch + 1
        self.progress = replace(done, epoch=epoch, step=0, loss=0.0, valid=0, broken=0)
        row: dict[str, float | int | str] = {
            "epoch": self.progress.epoch - 1,
            "step": self._global_step(),
            "lr": self._base_rate(),
            "train_loss": done.mean_loss,
            "broken": done.broken,
            "clips_per_s": clips_per_s,
        }
        if self.val_clips and (epoch % self.recipe.train.val_every == 0 or epoch == self.recipe.optim.epochs):
            row |= self._validate(log)
        log.epoch(row)
        shown = "  ".join(f"{name} {100 * value:.2f}" for name, value in self.progress.metrics.items())
        self.reporter.say(
            f"epoch {epoch}/{self.recipe.optim.epochs}: loss {done.mean_loss:.4f}  {clips_per_s:.1f} clips/s  {shown}"
        )
        self._save("last")

    def _validate(self, log: RunLog) -> dict[str, float]:
        """Score the validation split with one view; saves ``best`` when the metric has not been better before."""
        assert self.val_clips is not None
        with record_steering(self.model) as recorded:
            scored = score_split(
                self.model,
                self.pixels,
                self.val_clips,
                self.recipe.train,
                self.reporter,
                batch=self.recipe.test.batch,
                average="logits",
                title="validation",
            )
        manifest = self.val_clips.manifest
        labels = mark_labels(manifest.table["labels"].to_pylist(), len(manifest.classes))
        result = metrics.evaluate(scored.scores, labels, manifest.task, valid=scored.valid)
        step = self._global_step()
        log.scalars(step, {f"val/{name}": value for name, value in result.values.items()})
        log.steering(step, recorded)
        if scored.reasons:
            self.reporter.say(f"validation: {len(scored.reasons)} clips cannot be decoded and do not count")
        value = result.values[self.metric]
        # a value that is no number (nothing could be measured) is never the best
        better = value == value and (self.progress.best is None or value > self.progress.best)
        best = value if better else self.progress.best
        self.progress = replace(self.progress, metrics=dict(result.values), best=best)
        if better:
            self._save("best")
        return {f"val_{name}": number for name, number in result.values.items()}

    def _save(self, which: str) -> None:
        manifest = self.train_clips.manifest
        info = {
            "classes": list(manifest.classes),
            "task": manifest.task,
            "dataset": manifest.dataset,
            "dataset_version": manifest.version,
            "trained_on": [manifest.split],
            "recipe": self.recipe.model_dump(mode="json"),
            "clips": clips_of(manifest),
        }
        optimizer = self.optimizer if which == "last" else None
        save_checkpoint(self.run.checkpoint(which), self.model, self.progress, info, optimizer)

    def _global_step(self) -> int:
        return self.progress.epoch * self.steps_per_epoch + self.progress.step

    def _base_rate(self) -> float:
        group = self.optimizer.param_groups[0]
        return float(group["lr"]) / float(group["lr_scale"])
