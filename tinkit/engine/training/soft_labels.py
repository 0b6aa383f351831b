"""Soft labels: what another model said of the training clips, mixed into their targets (Hinton et al., 2015)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinkit.data.manifest.manifest import Manifest
from tinkit.engine.runs.log import Reporter
from tinkit.engine.training.loss import dense_target
from tinkit.errors import UserError
from tinkit.recipe.training import LossConfig
from tinkit.scores import ScoreInfo, ScoreTable, check_scores, read_scores
from tinkit.scores.kinds import squash
from tinkit.scores.table import COLUMNS, as_arrow

_BLOCK = 1 << 20  # score values summed at a time
_SLACK = 0.01  # by which the probabilities of a clip may miss 1 in sum, as rounded or averaged ones do


class SoftLabels:
    """The scores in ``path`` as probabilities, for the clips of ``manifest`` that it has.

    ``weight`` (0..1) is their share in a target. ``count`` clips have soft labels; ``missing`` clips, which are not in
    the file or have no scores there, keep their own labels. The scores stay in the memory-mapped file.

    Raises :class:`~tinkit.errors.UserError` for a file that is no score file, for another task or other classes than
    the manifest's, for scores that are no probabilities and cannot be turned into them, and where no clip has any.
    """

    def __init__(self, path: str | Path, manifest: Manifest, weight: float) -> None:
        table = read_scores(path)
        _check_alike(table.info, manifest, path)
        check_scores(table, path)
        if table.info.task == "single-label" and table.info.kind == "probabilities":
            _check_sums(table, path)
        self._info, self._scores, self._weight = table.info, table.scores, weight
        self._rows = _rows(table, manifest)
        self.count = int(np.count_nonzero(self._rows >= 0))
        self.missing = len(manifest) - self.count
        if not self.count:
            raise UserError(
                f"it has scores of none of the {len(manifest)} clips of {manifest.split!r}",
                file=path,
                expected=f"clips such as {manifest.row(0).id!r}" if len(manifest) else None,
                fix="name the scores of the split that is trained on: tinkit test RUN --split train",
            )

    def soft(self, target: Tensor, index: Tensor) -> Tensor:
        """Targets with the soft labels mixed in, float32 (B, C) on the device of ``target``.

        ``target`` (B,) int64 or (B, C); ``index`` (B,) int64: the clips' rows in the manifest.
        """
        hard = dense_target(target, len(self._info.classes))
        rows = self._rows[index.cpu().numpy()]
        known = rows >= 0
        soft = np.zeros(hard.shape, np.float32)
        block = self._scores[rows[known]]
        soft[known] = squash(block, self._info.task) if self._info.kind == "logits" else block
        share = np.where(known, np.float32(self._weight), np.float32(0))[:, None]
        return hard.lerp(torch.from_numpy(soft).to(hard.device), torch.from_numpy(share).to(hard.device))


def load_soft_labels(config: LossConfig, manifest: Manifest, reporter: Reporter) -> SoftLabels | None:
    """The soft labels that a recipe's ``[loss]`` names, with a word on clips that have none; None if it names none."""
    if config.soft_labels is None:
        return None
    labels = SoftLabels(config.soft_labels, manifest, config.soft_weight)
    if labels.missing:
        reporter.say(f"{config.soft_labels}: {labels.missing} clips have no scores and keep their own labels")
    return labels


def _rows(table: ScoreTable, manifest: Manifest) -> NDArray[np.int64]:
    """The row of each of the manifest's clips in the table, (N,) int64; -1 where it has no scores."""
    own = as_arrow(table.ids, COLUMNS["ids"])
    found = pc.index_in(manifest.table.column("id"), value_set=own)
    rows: NDArray[np.int64] = pc.fill_null(found, -1).cast(pa.int64()).to_numpy().copy()
    rows[(rows >= 0) & ~table.valid[rows]] = -1
    return rows


def _check_alike(info: ScoreInfo, manifest: Manifest, path: str | Path) -> None:
    if info.task != manifest.task:
        raise UserError(f"soft labels of a {info.task} task", file=path, expected=f"{manifest.task}, as the data set")
    if info.kind == "ranks":
        raise UserError(
            "ranks do not say how sure the model was", file=path, expected="logits or probabilities of the clips"
        )
    if info.classes == manifest.classes:
        return
    if len(info.classes) != len(manifest.classes):
        problem = f"soft labels of {len(info.classes)} classes, the data set has {len(manifest.classes)}"
    else:
        pairs = enumerate(zip(info.classes, manifest.classes, strict=True))
        number, (theirs, ours) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
        order = "in another order" if set(info.classes) == set(manifest.classes) else "of another set"
        problem = f"soft labels for classes {order}: class {number} is {theirs!r}, in the data set {ours!r}"
    raise UserError(problem, file=path, fix="take scores of a model of this data set")


def _check_sums(table: ScoreTable, path: str | Path) -> None:
    """Raise a UserError naming the first clip whose probabilities do not sum to 1, as those of one label do."""
    step = max(1, _BLOCK // len(table.info.classes))
    for start in range(0, len(table), step):
        sums = table.scores[start : start + step].sum(axis=1, dtype=np.float64)
        bad = np.flatnonzero(table.valid[start : start + step] & (np.abs(sums - 1) > _SLACK))
        if bad.size:
            raise UserError(
                f"the probabilities of clip {table.ids[start + int(bad[0])]!r} sum to {sums[bad[0]]:.3g}",
                file=path,
                expected="1: a clip of this data set has one label",
            )
