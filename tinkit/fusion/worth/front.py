"""Accuracy against cost: smaller fusions of the same members, and which of them nothing beats in both.

Members go one by one, each time the one whose loss is least for what it costs; a member without which the
fusion measures more goes first. All that is measured on the way counts, and each member alone. A subset's value is
cross-validated over sources as in :mod:`tinkit.fusion.choosing.choice`. The best of many subsets looks better than it
is, so picking one is repeated on bootstrap samples of the sources, as there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit.fusion.choosing.choice import repeated_choice
from tinkit.fusion.choosing.crossfit import Labelled, OutOfTimeError
from tinkit.fusion.choosing.estimate import BySource, by_source
from tinkit.fusion.decide import Decision
from tinkit.fusion.members import Aligned, Member, align
from tinkit.fusion.spec import EnsembleSpec
from tinkit.fusion.worth.account import drawn_clips, scored_with
from tinkit.fusion.worth.speeds import By, MemberSpeed, devices_of, said_of_cost, within
from tinkit.metrics import MetricName

Members = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Subset:
    """A fusion of some members, by their numbers, what a clip costs it, and what it measures, cross-validated."""

    members: Members
    cost: float
    by_source: BySource


@dataclass(frozen=True)
class Pick:
    """The subset that is best within a ``budget``, as its number in the front.

    ``expected`` is what it measures on other clips, with the picking repeated; ``optimism`` what its own value is above
    that.
    """

    budget: float
    number: int
    expected: float
    optimism: float


@dataclass(frozen=True, eq=False)
class Front:
    """All ``subsets`` that were measured on ``clips`` clips, the cheapest first; not ``complete`` where time ran out.

    Their costs are seconds or GFLOPs of a clip, as ``by`` says.
    """

    names: tuple[str, ...]
    subsets: tuple[Subset, ...]
    clips: int
    complete: bool
    devices: tuple[str, ...]
    by: By = "clips/s"

    def on_front(self, number: int) -> bool:
        """Whether no other subset is at least as cheap and as good, and better in one of the two."""
        own = self.subsets[number]
        return not any(
            (other.cost, other.by_source.value) != (own.cost, own.by_source.value)
            and other.cost <= own.cost
            and other.by_source.value >= own.by_source.value
            for other in self.subsets
        )

    def pick(self, budget: float, seed: int) -> Pick:
        """The best subset of at least ``budget`` clips a second, or of at most as many GFLOPs.

        Raises ValueError where there is none.
        """
        possible = [number for number, one in enumerate(self.subsets) if within(budget, one.cost, self.by)]
        if not possible:
            raise ValueError(f"no subset is within {budget} {self.by}")
        whole = next(one.by_source for one in self.subsets if len(one.members) == len(self.names))
        values = [whole, *(self.subsets[number].by_source for number in possible)]
        number = possible[_best_of_rest(values) - 1]
        value = self.subsets[number].by_source.value
        expected = min(value, whole.value + repeated_choice(partial(_best_of_rest, values), values, seed))
        return Pick(budget, number, expected, value - expected)

    def content(self, pick: Pick | None) -> dict[str, Any]:
        """For ``fusion.json``."""
        return {
            "clips": self.clips,
            "complete": self.complete,
            "by": self.by,
            "devices": list(self.devices),
            "subsets": [
                {
                    "members": [self.names[member] for member in one.members],
                    **said_of_cost(one.cost, self.by),
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
    speeds: Sequence[MemberSpeed],
    by: By,
) -> tuple[dict[str, Any], Sequence[int]]:
    """What ``fusion.json`` says of the front, and the members that the budget of ``spec`` leaves: all without one."""
    aligned = align(members, kind=decision.kind, missing=spec.missing, scale=decision.scale)
    front = front_of(aligned, decision, metric, speeds, by=by, seed=spec.seed, minutes=spec.minutes)
    budget = spec.budget if by == "clips/s" else spec.budget_gflops
    if budget is None:
        return front.content(None), range(len(members))
    pick = front.pick(budget, spec.seed)
    return front.content(pick), front.subsets[pick.number].members


def front_of(
    aligned: Aligned,
    decision: Decision,
    metric: MetricName,
    speeds: Sequence[MemberSpeed],
    *,
    by: By = "clips/s",
    seed: int = 0,
    minutes: float = 15.0,
) -> Front:
    """Fusions of fewer and fewer members of ``aligned``, each fitted as ``decision`` does, with their ``speeds``.

    Those are known ``by`` what is compared. All members and each alone are measured in any case; the rest as far as
    ``minutes`` allow.
    """
    costs = [cost for one in speeds if (cost := one.cost(by)) is not None]
    search = _Search(drawn_clips(aligned, seed), decision, metric, costs, seed)
    every = tuple(range(len(aligned.names)))
    for members in (every, *((number,) for number in every)):
        search.measure(members)
    try:
        search.descend(every, time.monotonic() + 60 * minutes)
        complete = True
    except OutOfTimeError:
        complete = False
    ordered = sorted(search.known.values(), key=lambda one: (one.cost, -one.by_source.value, one.members))
    devices = tuple(devices_of(speeds)) if by == "clips/s" else ()
    return Front(aligned.names, tuple(ordered), search.given.rows.size, complete, devices, by)


class _Search:
    """The subsets ``known`` so far."""

    def __init__(
        self, given: Labelled, decision: Decision, metric: MetricName, costs: Sequence[float], seed: int
    ) -> None:
        self.given, self.known = given, dict[Members, Subset]()
        self._decision, self._metric, self._costs, self._seed = decision, metric, costs, seed

    def measure(self, members: Members, until: float | None = None) -> Subset:
        """The subset of ``members``, measured once. Raises OutOfTimeError."""
        if members not in self.known:
            if until is not None and time.monotonic() > until:
                raise OutOfTimeError
            scores = scored_with(self.given, members, self._decision, self._metric, self._seed, until)
            value = by_source(self._metric, scores, self.given.labels, self.given.source)
            cost = sum(self._costs[number] for number in members)
            self.known[members] = Subset(members, cost, value)
        return self.known[members]

    def descend(self, members: Members, until: float) -> None:
        """Leave out one member after the other until two are left, measuring all that could be left out each time."""
        while len(members) > 2:
            whole = self.known[members].by_source.value
            lost = {}
            for number in members:
                rest = tuple(one for one in members if one != number)
                loss = whole - self.measure(rest, until).by_source.value
                lost[rest] = (loss > 0, loss / self._costs[number] if loss > 0 else loss)
            members = min(lost, key=lambda rest: lost[rest])


def _best_of_rest(values: Sequence[BySource], draws: NDArray[np.float64] | None = None) -> int:
    """The best of ``values`` but the first; ``draws`` (S,) says how often each source is there."""
    times = np.ones_like(values[0].counts) if draws is None else draws
    return 1 + int(np.argmax([float(times @ one.totals) / float(times @ one.counts) for one in values[1:]]))
