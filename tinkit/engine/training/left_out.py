"""The clips that a step could not use, and the steps that gave no number: listed, told, and stopped for."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from tinkit.data.clips.batch import Batch
from tinkit.data.decode.clip_reader import notes_text
from tinkit.data.manifest.manifest import Manifest
from tinkit.engine.distributed.world import World
from tinkit.engine.runs.checkpoint import Progress
from tinkit.engine.runs.log import Reporter, RunLog
from tinkit.engine.runs.run import Run
from tinkit.engine.training.step import StepResult
from tinkit.errors import UserError
from tinkit.files.atomic import write_atomic
from tinkit.recipe import Recipe

_SHOWN = 5  # clips left out in an epoch that are printed; the file has them all
_BORNE = 5  # undecodable clips that no run stops for, so that small sets are not at the mercy of a share


class LeftOut:
    """Keeps account of what training left out. Every process calls :meth:`record` after each step."""

    def __init__(
        self, run: Run, recipe: Recipe, train_set: Manifest, steps_per_epoch: int, reporter: Reporter, world: World
    ) -> None:
        self._run, self._recipe, self._manifest, self._reporter, self._world = run, recipe, train_set, reporter, world
        self._clips_an_epoch = steps_per_epoch * recipe.optim.batch
        self._notes = Counter[str]()

    def record(self, batch: Batch, result: StepResult, before: Progress, log: RunLog | None) -> None:
        """List the step's clips that are not valid, or all of them where the step gave no number.

        ``before`` is the progress before the step. Raises :class:`~tinkit.errors.UserError` on every process when too
        many clips could not be decoded, or too many steps gave no number.
        """
        self._notes.update(note for of_clip in batch["notes"] for note in of_clip)
        if result.left_out:
            rows = zip(batch["index"].tolist(), batch["reason"], strict=True)
            found = self._world.gather([(self._manifest.row(row).id, reason) for row, reason in rows if reason])
            if log is not None and found is not None:
                self._tell([clip for share in found for clip in share], before.epoch, log)
            self._check_broken(before.broken + result.broken)
        if not result.finite:
            shares = self._world.gather([self._manifest.row(row).id for row in batch["index"].tolist()])
            self._tell_no_number(shares, result, before)

    def tell_notes(self) -> None:
        """Say, at the end of an epoch, how many of its clips were turned or cut off; every process calls it."""
        shares = self._world.gather(dict(self._notes))
        self._notes.clear()
        notes = sum((Counter(share) for share in shares or ()), Counter[str]())
        if notes:
            self._reporter.say(f"of the epoch's clips: {notes_text(notes)}")

    def _tell(self, clips: list[tuple[str, str]], epoch: int, log: RunLog) -> None:
        for number, (clip, reason) in log.left_out(epoch, clips):
            if number <= _SHOWN:
                self._reporter.say(f"left out: {clip}: {reason}")
            elif number == _SHOWN + 1:
                self._reporter.say(f"more clips are left out; all are listed in {self._run.left_out_path}")

    def _check_broken(self, broken: int) -> None:
        share = self._recipe.train.max_broken
        if broken > (max(_BORNE, share * self._clips_an_epoch) if share else 0):
            raise UserError(
                f"{broken} clips of this epoch cannot be decoded, more than train.max_broken = {share:g} of an "
                f"epoch's {self._clips_an_epoch} allows",
                file=self._run.left_out_path,
                fix="mend or remove the clips listed there, or raise the limit: --set train.max_broken=0.1",
            )

    def _tell_no_number(self, shares: list[list[str]] | None, result: StepResult, before: Progress) -> None:
        step = before.epoch * (self._clips_an_epoch // self._recipe.optim.batch) + before.step
        path = self._run.no_number_path(step)
        what = f"the loss of step {step} is {result.loss} and its gradient's norm {result.grad_norm}"
        if shares is not None:
            ids = pd.Series([clip for share in shares for clip in share], name="id")
            write_atomic(path, ids.to_csv(index=False))
        borne = self._recipe.train.nan_steps
        if before.nan_steps + 1 > borne:
            raise UserError(
                what + (f", after {before.nan_steps} steps like it" if before.nan_steps else ""),
                file=path,
                fix="the step's clips are listed there; a lower optim.lr, or train.amp = 'off'; the last checkpoint is "
                f"kept: tinkit train --resume {self._run.name}; --set train.on_nan=skip:10 leaves such steps out",
            )
        self._reporter.say(f"{what}: left out, {before.nan_steps + 1} of {borne}; its clips: {path}")
