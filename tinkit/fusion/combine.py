"""One table of scores from those of several members, a few thousand clips at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tinkit.files.large import large_array
from tinkit.fusion.arrays import Apply, Learned
from tinkit.fusion.members import Aligned
from tinkit.fusion.ways.mean import equal_weights, weighted_mean
from tinkit.scores import Kind, Labels, ScoreInfo, ScoreTable
from tinkit.scores.checks import check_block, is_sound

BLOCK = 1 << 17  # score values fused at a time: what a sum of them needs fits the processor's cache


@dataclass(frozen=True, eq=False)
class Combination:
    """A way to fuse with all that it has ``learned``, for any split of the same members.

    ``gives`` is the kind of the result; None: the members'.
    """

    apply: Apply
    learned: Learned
    gives: Kind | None = None

    def is_same(self, other: Combination) -> bool:
        """Whether both fuse alike: the same function with the same arrays."""
        names = set(self.learned) | set(other.learned)
        return (self.apply, self.gives) == (other.apply, other.gives) and all(
            name in self.learned and name in other.learned and np.array_equal(self.learned[name], other.learned[name])
            for name in names
        )

    def table(self, aligned: Aligned, *, name: str = "") -> ScoreTable:
        """The fused scores; a clip that all members miss stays without. ``name`` becomes the ``run`` of the result."""
        fused = self.fused(aligned, name=name)
        scores = large_array((len(fused), len(fused.info.classes)))
        start = 0
        for block in fused.blocks():
            scores[start : start + len(block)] = block
            start += len(block)
        return ScoreTable(fused.info, fused.ids, scores, fused.valid, fused.labels, fused.source)

    def fused(self, aligned: Aligned, *, name: str = "") -> Fused:
        """The same, where the scores are computed as they are asked for."""
        return Fused(_joint_info(aligned, self.gives or aligned.kind, name), self, aligned)

    @property
    def shows_non_finite(self) -> bool:
        """Whether a score that is not finite always makes the fused one so."""
        return self.apply is weighted_mean and bool((self.learned["weights"] > 0).all())


@dataclass(frozen=True, eq=False)
class Fused:
    """The rows of a fusion whose scores are computed block by block; ``info`` says what they are.

    ``valid`` (N,): the clips that any member has scores for. The rest is as in a ScoreTable.
    """

    info: ScoreInfo
    combination: Combination
    aligned: Aligned

    def __len__(self) -> int:
        return len(self.aligned.ids)

    @property
    def ids(self) -> Sequence[str]:
        """The clips."""
        return self.aligned.ids

    @property
    def labels(self) -> Sequence[Labels]:
        """What is known of their classes."""
        return self.aligned.labels

    @property
    def source(self) -> Sequence[str]:
        """The videos that they were cut from."""
        return self.aligned.source

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """(N,) of bool."""
        return np.asarray(self.aligned.valid.any(axis=0))

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The scores (n, C), NaN where no member has any, a few hundred rows at a time.

        The members' files are checked on the way. Raises :class:`~tinkit.errors.UserError`, at the latest after the
        last block, for one that is damaged, and for scores that are not finite or not what their kind says.
        """
        aligned, combination = self.aligned, self.combination
        step = max(1, BLOCK // len(self.info.classes))
        for start in range(0, len(self), step):
            part = slice(start, start + step)
            has = self.valid[part]
            fused = combination.apply(
                [own[part] for own in aligned.scores], aligned.valid[:, part], combination.learned
            )
            block = np.asarray(fused if has.all() else np.where(has[:, None], fused, np.nan), np.float32)
            self._check(part, block)
            yield block
        for member in aligned.pending.values():
            if member.opened is not None:
                member.opened.verify()

    def _check(self, part: slice, block: NDArray[np.float32]) -> None:
        """Take ``part`` of the members, whose fused scores are ``block``, into their checks."""
        # What is not finite shows in the result, and is looked for in the members only where it does.
        sound = self.combination.shows_non_finite and is_sound(block)
        for member in self.aligned.pending.values():
            table = member.table
            if not sound or table.info.kind != "logits":
                check_block(table, table.scores[part], table.valid[part], part.start, member.path)
            if member.opened is not None:
                member.opened.used(min(part.stop, len(self)))


def weights_of(learned: Learned) -> list[float] | None:
    """One weight a member, (M,); None where a member has no single weight."""
    weights = learned.get("weights")
    return weights.tolist() if weights is not None and weights.ndim == 1 else None


def equal_mean(count: int) -> Combination:
    """The plain mean of ``count`` members."""
    return Combination(weighted_mean, {"weights": equal_weights(count)})


def combine(aligned: Aligned, weights: NDArray[np.float64] | None = None, *, name: str = "") -> ScoreTable:
    """The mean of the members' scores with ``weights`` (M,), None meaning equal ones; its kind is theirs.

    Where members miss a clip, see :func:`~tinkit.fusion.ways.mean.weighted_mean`. Raises ValueError for weights that
    are negative or do not sum to 1.
    """
    if weights is None:
        return equal_mean(len(aligned.names)).table(aligned, name=name)
    chosen = np.asarray(weights, np.float64)
    if chosen.shape != (len(aligned.names),) or (chosen < 0).any() or abs(chosen.sum() - 1) > 1e-6:
        raise ValueError(f"weights must be {len(aligned.names)} numbers from 0 up that sum to 1, got {chosen}")
    return Combination(weighted_mean, {"weights": chosen}).table(aligned, name=name)


def _joint_info(aligned: Aligned, kind: Kind, name: str) -> ScoreInfo:
    """The members' common facts; where they differ, ``mixed``."""
    first = aligned.infos[0]
    return ScoreInfo(
        kind=kind,
        task=first.task,
        classes=first.classes,
        dataset=first.dataset,
        dataset_version=first.dataset_version,
        split=first.split,
        views=_common([info.views for info in aligned.infos]),
        average=_common([info.average for info in aligned.infos]),
        weights=_common([info.weights for info in aligned.infos]),
        trained_on=tuple(sorted({split for info in aligned.infos for split in info.trained_on})),
        run=name,
        trial=any(info.trial for info in aligned.infos),
    )


def _common(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else "mixed"
