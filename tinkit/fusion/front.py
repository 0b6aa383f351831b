"""Accuracy against speed: smaller fusions of the same members, and which of them nothing beats in both.

Members go one by one, each time the one whose loss is least for the time that it takes; a member without which the
fusion measures more goes first. All that is measured on the way counts, and each member alone. A subset's value is
cross-validated over sources as in :mod:`tinkit.fusion.choice`. The best of many subsets looks better than it is, so
picking one is repeated on bootstrap samples of the sources, as there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit.fusion.choice import repeated_choice
from tinkit.fusion.crossfit import Labelled, OutOfTimeError
from tinkit.fusion.decide import Decision
from tinkit.fusion.estimate import BySource, by_source
from tinkit.fusion.members import Aligned, Member, align
from tinkit.fusion.spec import EnsembleSpec
from tinkit.fusion.speeds import MemberSpeed, devices_of, one_after_the_other
from tinkit.fusion.worth import drawn_clips, scored_with
from tinkit.metrics import MetricName

Members = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Subset:
    """A fusion of some members, by their numbers, its speed, and what it measures, cross-validated."""

    members: Members
    clips_per_s: float
    by_source: BySource


@dataclass(frozen=True)
class Pick:
    """The subset that is best within a ``budget`` of clips a second, as its number in the front.

    ``expected`` is what it measures on other clips, with the picking repeated; ``optimism`` what its own value is above
    that.
    """

    budget: float
    number: int
    expected: float
    optimism: float


@dataclass(frozen=True, eq=False)
class Front:
    """All ``subsets`` that were measured on ``clips`` clips, the fastest first; not ``complete`` where time ran out."""

    names: tuple[str, ...]
    subsets: tuple[Subset, ...]
    clips: int
    complete: bool
    devices: tuple[str, ...]

    def on_front(self, number: int) -> bool:
        """Whether no other subset is at least as fast and as good, and better in one of the two."""
        own = self.subsets[number]
        return not any(
            (other.clips_per_s, other.by_source.value) != (own.clips_per_s, own.by_source.value)
            and other.clips_per_s >= own.clips_per_s
            and other.by_source.value >= own.by_source.value
            for other in self.subsets
        )

    def pick(self, budget: float, seed: int) -> Pick:
        """The best subset of at least ``budget`` clips a second. Raises ValueError where none is as fast."""
        within = [number for number, one in enumerate(self.subsets) if one.clips_per_s >= budget]
        if not within:
            raise ValueError(f"no subset does {budget} clips/s")
        whole = next(one.by_source for one in self.subsets if len(one.members) == len(self.names))
        values = [whole, *(self.subsets[number].by_source for number in within)]
        number = within[_best_of_rest(values) - 1]
        value = self.subsets[number].by_source.value
        expected = min(value, whole.value + repeated_choice(values, values, seed, pick=_best_of_rest))
        return Pick(budget, number, expected, value - expected)

    def content(self, pick: Pick | None) -> dict[str, Any]:
        """For ``fusion.json``."""
        return {
            "clips": self.clips,
            "complete": self.complete,
            "devices": list(self.devices),
            "subsets": [
                {
                    "members": [self.names[member] for member in one.members],
                    "clips_per_s": one.clips_per_s,
                    "value": one.by_source.value,
                    "on_front": self.on_front(number),
                    "picked": pick is not None and pick.number == number,
                }
                for number, one in enumerate(self.subsets)
            ],
            "budget": pick and pick.budget,
            "expected": pick and pick.expected,
            "optimism": pick.optimism if pick else 0.0,
        }


def smaller_fusions(
    spec: EnsembleSpec,
    members: Sequence[Member],
    decision: Decision,
    metric: MetricName,
    speeds: Sequence[MemberSpeed | None],
) -> tuple[dict[str, Any], Sequence[int]]:
    """What ``fusion.json`` says of the front, and the members that the budget of ``spec`` leaves: all without one."""
    aligned = align(members, kind=decision.kind, missing=spec.missing, scale=decision.scale)
    known = [speed for speed in speeds if speed is not None]
    front = front_of(aligned, decision, metric, known, seed=spec.seed, minutes=spec.minutes)
    if spec.budget is None:
        return front.content(None), range(len(members))
    pick = front.pick(spec.budget, spec.seed)
    return front.content(pick), front.subsets[pick.number].members


def front_of(
    aligned: Aligned,
    decision: Decision,
    metric: MetricName,
    speeds: Sequence[MemberSpeed],
    *,
    seed: int = 0,
    minutes: float = 15.0,
) -> Front:
    """Fusions of fewer and fewer members of ``aligned``, each fitted as ``decision`` does, with their ``speeds``.

    All members and each alone are measured in any case; the rest as far as ``minutes`` allow.
    """
    search = _Search(drawn_clips(aligned, seed), decision, metric, [one.clips_per_s for one in speeds], seed)
    every = tuple(range(len(aligned.names)))
    for members in (every, *((number,) for number in every)):
        search.measure(members)
    try:
        search.descend(every, time.monotonic() + 60 * minutes)
        complete = True
    except OutOfTimeError:
        complete = False
    ordered = sorted(search.known.values(), key=lambda one: (-one.clips_per_s, -one.by_source.value, one.members))
    return Front(aligned.names, tuple(ordered), search.given.rows.size, complete, tuple(devices_of(speeds)))


class _Search:
    """The subsets ``known`` so far."""

    def __init__(
        self, given: Labelled, decision: Decision, metric: MetricName, speeds: Sequence[float], seed: int
    ) -> None:
        self.given, self.known = given, dict[Members, Subset]()
        self._decision, self._metric, self._speeds, self._seed = decision, metric, speeds, seed

    def measure(self, members: Members, until: float | None = None) -> Subset:
        """The subset of ``members``, measured once. Raises OutOfTimeError."""
        if members not in self.known:
            if until is not None and time.monotonic() > until:
                raise OutOfTimeError
            scores = scored_with(self.given, members, self._decision, self._metric, self._seed, until)
            value = by_source(self._metric, scores, self.given.labels, self.given.source)
            speed = one_after_the_other(self._speeds[number] for number in members)
            self.known[members] = Subset(members, speed, value)
        return self.known[members]

    def descend(self, members: Members, until: float) -> None:
        """Leave out one member after the other until two are left, measuring all that could be left out each time."""
        while len(members) > 2:
            whole = self.known[members].by_source.value
            lost = {}
            for number in members:
                rest = tuple(one for one in members if one != number)
                loss = whole - self.measure(rest, until).by_source.value
                lost[rest] = (loss > 0, loss * self._speeds[number] if loss > 0 else loss)
            members = min(lost, key=lambda rest: lost[rest])


def _best_of_rest(values: Sequence[BySource], draws: NDArray[np.float64] | None = None) -> int:
    """The best of ``values`` but the first; ``draws`` (S,) says how often each source is there."""
    times = np.ones_like(values[0].counts) if draws is None else draws
    return 1 + int(np.argmax([float(times @ one.totals) / float(times @ one.counts) for one in values[1:]]))
