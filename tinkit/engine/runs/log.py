"""The log of a training: TensorBoard events, ``metrics.csv``, ``offsets.csv`` and the list of clips left out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from tinkit.engine.runs.checkpoint import Progress as TrainProgress
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.tables import rows_before, write_rows


class RunLog:
    """Writes a run's events and tables. After a resume, what lies beyond the point of return is taken back.

    Events of a training step, and of the validation after it, have the number of steps done by then: 1 after the first.
    Give ``progress`` and ``done`` as they stand: that many steps are done in the whole run.
    """

    def __init__(self, run: Run, progress: TrainProgress, done: int, *, validated: bool) -> None:
        self._run = run
        # Where the newest epoch was trained but not validated, its last step's events go with those of a validation
        # that may have been under way, and are written again.
        self._writer = SummaryWriter(str(run.events), purge_step=done + 1 if validated else done)
        if not validated:
            self.scalars(done, progress.shown)
        self._rows, metrics_aside = rows_before(run.metrics_path, progress.epoch)
        self._offsets, offsets_aside = rows_before(run.offsets_path, progress.epoch)
        self._steering: list[dict[str, float | int | str]] = []
        self._epoch, self._listed = progress.epoch, set[str]()
        # the epoch under way is trained in part: what it has left out so far stays on record
        rows, left_out_aside = rows_before(run.left_out_path, progress.epoch + 1)
        if run.left_out_path.is_file():
            write_rows(rows, run.left_out_path)
            self._listed = set(rows.loc[rows["epoch"] == progress.epoch, "id"].astype(str))
        self.put_aside = [path for path in (metrics_aside, offsets_aside, left_out_aside) if path is not None]
        """Tables that could not be read, under the names that they have now."""

    def scalars(self, done: int, values: dict[str, float]) -> None:
        """Add scalars to the events after ``done`` steps of the run."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, done)

    def steering(self, done: int, recorded: dict[str, list[tuple[Tensor, Tensor]]]) -> None:
        """Add histograms of offsets (frames) and gains by block, and keep their means by group for ``offsets.csv``."""
        self._steering = []
        for block, pairs in recorded.items():
            offset, gain = (torch.cat([part.float().cpu() for part in parts]) for parts in zip(*pairs, strict=True))
            for name, values in (("offset", offset), ("gain", gain)):
                self._writer.add_histogram(f"{name}/{block}", values.flatten(), done)
            means, spread = offset.mean(0), offset.std(0, correction=0)
            for group, mean in enumerate(gain.mean((0, 1)).tolist()):
                self._steering.append(
                    {
                        "block": block,
                        "group": group,
                        "offset": float(means[group]),
                        "offset_std": float(spread[group]),
                        "gain": mean,
                    }
                )

    def classes(self, done: int, name: str, values: Mapping[str, float]) -> None:
        """Add a scalar a class, ``NAME/CLASS``, after ``done`` steps; non-finite ones, of no clips, are left out."""
        for label, value in values.items():
            if math.isfinite(value):
                self._writer.add_scalar(f"{name}/{label}", value, done)

    def sample(self, done: int, number: int, picture: NDArray[np.uint8]) -> None:
        """Add the ``number``-th sample clip: a picture (H, W, 3)."""
        self._writer.add_image(f"sample/{number}", picture, done, dataformats="HWC")

    def epoch(self, row: dict[str, float | int | str]) -> None:
        """Add a row to ``metrics.csv``, and the last steering to ``offsets.csv``; flush the events."""
        self._rows = pd.concat([self._rows, pd.DataFrame([row])], ignore_index=True)
        write_rows(self._rows, self._run.metrics_path)
        if self._steering:
            when = {"epoch": row["epoch"], "step": row["step"]}
            new = pd.DataFrame([when | steered for steered in self._steering])
            self._offsets = pd.concat([self._offsets, new], ignore_index=True)
            write_rows(self._offsets, self._run.offsets_path)
            self._steering = []
        self.flush()

    @property
    def losses(self) -> list[float]:
        """The mean loss of every epoch so far."""
        return [float(loss) for loss in self._rows.get("train_loss", ())]

    def flush(self) -> None:
        """Write out the events so far: TensorBoard may hold them back for two minutes."""
        self._writer.flush()

    def left_out(self, epoch: int, clips: list[tuple[str, str]]) -> list[tuple[int, tuple[str, str]]]:
        """Add (id, reason) of clips that are not trained on to ``left_out.csv``, at once: a run may end any time.

        Returns those that were not there yet for this epoch, numbered from 1 in the epoch.
        """
        if epoch != self._epoch:
            self._epoch, self._listed = epoch, set()
        new = [clip for clip in clips if clip[0] not in self._listed]
        if new:
            header = not self._run.left_out_path.is_file()
            rows = pd.DataFrame([{"epoch": epoch, "id": clip, "reason": reason} for clip, reason in new])
            rows.to_csv(self._run.left_out_path, mode="a", header=header, index=False)
        first = len(self._listed) + 1
        self._listed |= {clip for clip, _ in new}
        return list(enumerate(new, first))

    def close(self) -> None:
        """Flush and close the events."""
        self._writer.close()
