"""``auto``: which way to fuse, and an honest estimate of what the choice is worth.

Every way of the table that may be chosen scores all clips out of fold. Of those within one standard error of the best
the simplest is taken (Breiman et al. 1984, section 3.4.3): the standard error is that of the difference, over sources.
Where the metric is a mean over clips, that has to hold for the likelihood of the labels, too
(:mod:`tinkit.fusion.choosing.likelihood`): a hit or a miss says so little of a clip that 1,000 of them cannot tell ways
apart that differ by a point. Where few clips make weights too sure of themselves, the metric tells what the likelihood
does not. What is told of the choice is the metric itself.
The best of several looks better than it is. So the choice is repeated on bootstrap samples of the sources, and what
each chose is measured on the sources that it did not draw (Tsamardinos et al. 2018, bootstrap bias corrected
cross-validation): that costs no further fit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit.fusion.arrays import Learned, Matrix, Options
from tinkit.fusion.choosing.crossfit import (
    Labelled,
    OutOfTimeError,
    labelled,
    learn,
    options_for,
    out_of_fold,
)
from tinkit.fusion.choosing.estimate import (
    BySource,
    Interval,
    by_source,
    difference_interval,
    is_mean_over_clips,
    source_draws,
    standard_error,
)
from tinkit.fusion.choosing.fitting import Fitted, refuse_trained_on
from tinkit.fusion.choosing.likelihood import likelihood_by_source
from tinkit.fusion.members import Aligned
from tinkit.fusion.methods import METHODS, FusionMethod
from tinkit.metrics import MetricName, evaluate
from tinkit.scores import Kind

_CHOICES = 200  # bootstrap samples on which the choice is repeated
_MOST_CLASSES = 1200  # that a class may see each other of: the square of it is learned

AlignedAs = Callable[[Kind], Aligned]


@dataclass(frozen=True)
class Candidate:
    """A way that was tried: its cross-validated value, how far it is below the best, and the error of that.

    ``less_likely`` and ``likelihood_error`` are the same for the log-likelihood of the labels, in nats a clip; None
    where only the metric counts.
    """

    name: str
    value: float
    below_best: float
    standard_error: float
    less_likely: float | None = None
    likelihood_error: float | None = None


@dataclass(frozen=True)
class Choice:
    """The way ``name`` that was chosen among ``candidates``; ``skipped`` says of others why they were not tried.

    The choice was made on ``clips`` of the ``known`` ones that have labels and scores of all members.

    ``equal`` is the cross-validated value of the equal mean. ``improvement`` over it is estimated for the choice
    itself; ``optimistic`` is what the chosen way's own cross-validated value says instead. ``fell_back``: what won
    was not used, since by that estimate the choice is worth nothing.
    """

    name: str
    candidates: tuple[Candidate, ...]
    skipped: Mapping[str, str]
    equal: float
    improvement: Interval
    optimistic: float
    clips: int
    known: int
    fell_back: bool = False


def choose(
    aligned_as: AlignedAs,
    kinds: Sequence[Kind],
    metric: MetricName,
    *,
    parts: int | None = None,
    seed: int = 0,
    minutes: float = 15.0,
    keys: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[FusionMethod, Fitted, Choice]:
    """The way that ``auto`` takes, fitted, and how it came to it.

    ``aligned_as`` gives the members' scores as a kind, ``kinds`` are what they are, ``keys`` as in
    :func:`~tinkit.fusion.choosing.fitting.fit`. A way of which the first part's fit says that ``minutes`` would not do
    is left out. Otherwise deterministic in ``seed``. Raises as :func:`~tinkit.fusion.choosing.fitting.fit`.
    """
    tried = _tried(aligned_as, kinds, metric, (parts, seed, time.monotonic() + 60 * minutes), keys)
    values, likely = [one.by_source for one in tried.ways], [one.likely for one in tried.ways if one.likely]
    pick = partial(simplest, [values, likely] if likely else [values])
    won = pick()
    estimate = values[0].value if won == 0 else values[0].value + repeated_choice(pick, values, seed)
    taken = won if estimate > values[0].value else 0
    optimistic = values[won].value - values[0].value
    shift = estimate - values[0].value - optimistic
    choice = Choice(
        name=tried.ways[taken].row.name,
        candidates=_candidates(tried.ways, values, likely),
        skipped=tried.skipped,
        equal=values[0].value,
        improvement=difference_interval(values[taken], values[0], seed, shift) if taken else Interval(0.0, 0.0, 0.0),
        optimistic=optimistic,
        clips=tried.ways[0].given.rows.size,
        known=tried.ways[0].given.known,
        fell_back=taken != won,
    )
    return tried.ways[taken].row, _fitted(tried, tried.ways[taken], seed), choice


def simplest(judges: Sequence[Sequence[BySource]], draws: NDArray[np.float64] | None = None) -> int:
    """The first of the ways, the simplest being first, that all ``judges`` have within one standard error of the best.

    A judge has a value of every way. Where no way is so, the first judge decides alone. ``draws`` (S,) says how often
    each source is there.
    """
    within = [_within(values, draws) for values in judges]
    agreed = [all(way) for way in zip(*within, strict=True)]
    return agreed.index(True) if any(agreed) else within[0].index(True)


def _within(values: Sequence[BySource], draws: NDArray[np.float64] | None) -> list[bool]:
    """Whether each of ``values`` is within one standard error of the best."""
    times = np.ones_like(values[0].counts) if draws is None else draws
    size = float(times @ values[0].counts)
    means = [float(times @ one.totals) / size for one in values]
    best = int(np.argmax(means))
    return [
        number == best or means[best] - mean <= standard_error(values[best], values[number], draws)
        for number, mean in enumerate(means)
    ]


def _behind(values: Sequence[BySource]) -> list[tuple[float, float]]:
    """How far each of ``values`` is below the best, and the standard error of that."""
    best = max(values, key=lambda one: one.value, default=None)
    return [] if best is None else [(best.value - one.value, standard_error(best, one)) for one in values]


def _candidates(ways: Sequence[_Way], values: Sequence[BySource], likely: Sequence[BySource]) -> tuple[Candidate, ...]:
    behind, less = _behind(values), _behind(likely)
    return tuple(
        Candidate(way.row.name, value.value, *behind[number], *(less[number] if less else ()))
        for number, (way, value) in enumerate(zip(ways, values, strict=True))
    )


def repeated_choice(pick: Callable[[NDArray[np.float64] | None], int], values: Sequence[BySource], seed: int) -> float:
    """What a choice by ``pick`` is above the first of ``values`` on sources that it was not made on.

    ``pick(draws)`` gives the number of a way, by sources each of which is there ``draws`` (S,) times, once where that
    is None; ``values`` are what the ways are worth. What is averaged over the draws is what each choice is above the
    one that all sources make: of that, the mean over all sources is known, so that the draws need not be many (a
    control variate).
    """
    won = values[pick(None)]
    above = []
    for draws in np.concatenate(source_draws(len(values[0].counts), _CHOICES, seed)):
        left = draws == 0
        if left.any():
            chosen = values[pick(draws)]
            above.append((chosen.totals - won.totals)[left].sum() / chosen.counts[left].sum())
    return won.value - values[0].value + float(np.mean(above)) if above else 0.0


@dataclass(frozen=True, eq=False)
class _Way:
    row: FusionMethod
    given: Labelled
    options: Options
    held_out: Matrix
    part_learned: tuple[Learned, ...]
    by_source: BySource
    likely: BySource | None


@dataclass(frozen=True, eq=False)
class _Tried:
    ways: list[_Way]
    skipped: dict[str, str]


def _tried(
    aligned_as: AlignedAs,
    kinds: Sequence[Kind],
    metric: MetricName,
    how: tuple[int | None, int, float],
    keys: Mapping[str, Any],
) -> _Tried:
    """Every way that may be chosen, with its scores out of fold, and of the others why not."""
    parts, seed, until = how
    ways: list[_Way] = []
    skipped: dict[str, str] = {}
    known: dict[Kind, Labelled] = {}
    for row in METHODS.values():
        kind = row.kind_taken(kinds, "logits")
        if not row.in_auto or (kind == "ranks") != ("ranks" in kinds):
            continue
        if kind not in known:
            aligned = aligned_as(kind)
            refuse_trained_on(aligned)
            known[kind] = labelled(aligned, seed)
        given = known[kind]
        if row.pairs_classes and len(given.aligned.infos[0].classes) > _MOST_CLASSES:
            skipped[row.name] = f"more than {_MOST_CLASSES} classes"
            continue
        options = options_for(given.aligned, metric, seed, keys)
        limit = until if row.fit is not None else None
        try:
            begun = next((one.part_learned for one in ways if one.row.name == row.begins_with), None)
            held_out, part_learned = out_of_fold(row, given, options, parts, begun=begun, until=limit)
        except OutOfTimeError:
            skipped[row.name] = "it would take too long"
            continue
        found = by_source(metric, held_out, given.labels, given.source)
        likely = None
        if is_mean_over_clips(metric):
            likely = likelihood_by_source(held_out, given.labels, given.source, row.gives or kind)
        ways.append(_Way(row, given, options, held_out, part_learned, found, likely))
    return _Tried(ways, skipped)


def _fitted(tried: _Tried, way: _Way, seed: int) -> Fitted:
    """What is known of ``way``, which learns from all clips now."""
    given, plain = way.given, tried.ways[0]
    task = given.aligned.infos[0].task
    return Fitted(
        metric=way.options.metric,
        learned=learn(way.row, given, np.arange(given.rows.size), way.options),
        rows=given.rows.size,
        known=given.known,
        cross_validated=evaluate(way.held_out, given.labels, task),
        equal=evaluate(plain.held_out, given.labels, task),
        part_learned=way.part_learned,
        improvement=difference_interval(way.by_source, plain.by_source, seed),
    )
