"""What the members of a fusion cost: clips a second, as their tests measured them, or else what their networks compute.

A fusion runs its members one after the other, so what a clip costs them adds up: seconds, or GFLOPs (billions of
multiplications). The two are never compared with each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tinkit.errors import UserError
from tinkit.fusion.record import RECORD, read_record
from tinkit.fusion.resolve import MemberFiles
from tinkit.fusion.spec import EnsembleSpec, MemberSpec
from tinkit.scores.speed import read_speed

By = Literal["clips/s", "GFLOPs"]


@dataclass(frozen=True)
class MemberSpeed:
    """A member's clips a second, on which device, and the GFLOPs of a clip; empty or None where that is not known."""

    clips_per_s: float | None = None
    device: str = ""
    gflops: float | None = None

    def cost(self, by: By) -> float | None:
        """What a clip costs: seconds or GFLOPs."""
        if by == "GFLOPs":
            return self.gflops
        return None if self.clips_per_s is None else 1 / self.clips_per_s


def speed_of(spec: MemberSpec, files: MemberFiles) -> MemberSpeed:
    """What ``spec`` says, else what the test of the first split measured, and what its score file says of GFLOPs."""
    rate, device, gflops = spec.speed, "", spec.gflops
    for split, path in files.files.items():
        info = files.infos[split]
        gflops = info.gflops if gflops is None else gflops
        if rate is None and (found := read_speed(path, info)) is not None:
            rate, device = found.clips_per_s, found.device
        head = path.with_name(RECORD)
        record = read_record(head) if head.is_file() else None
        if record is not None and record.describes(path.name):
            gflops = record.gflops if gflops is None else gflops
            if rate is None:
                rate, device = record.clips_per_s, ", ".join(record.devices)
    return MemberSpeed(rate, device, gflops)


def compared_by(spec: EnsembleSpec, members: Sequence[MemberFiles], speeds: Sequence[MemberSpeed]) -> By:
    """By what the members' costs are compared: as the budget of ``spec`` says, else by speed, else by GFLOPs.

    Raises a UserError where that is not known of every member, and where none alone is within the budget.
    """
    unknown: dict[By, list[str]] = {"clips/s": [], "GFLOPs": []}
    for by, names in unknown.items():
        names += [one.name for one, speed in zip(members, speeds, strict=True) if speed.cost(by) is None]
    if spec.budget_gflops is not None:
        by = "GFLOPs"
    else:
        by = "GFLOPs" if spec.budget is None and unknown["clips/s"] and not unknown["GFLOPs"] else "clips/s"
    if unknown[by]:
        raise _unknown(by, unknown)
    limit = spec.budget if by == "clips/s" else spec.budget_gflops
    costs = [(speed.cost(by) or 0.0, one.name) for one, speed in zip(members, speeds, strict=True)]
    if limit is not None and not within(limit, min(costs)[0], by):
        cost, name = min(costs)
        if by == "GFLOPs":
            raise UserError(
                f"no member takes {limit:g} GFLOPs or fewer: the lightest, {name}, takes {cost:.4g}",
                fix="a higher --budget-gflops, or a lighter member",
            )
        raise UserError(
            f"no member does {limit:g} clips/s: the fastest, {name}, does {1 / cost:.4g}",
            fix="a lower --budget, or a faster member",
        )
    return by


def within(limit: float, cost: float, by: By) -> bool:
    """Whether what a clip costs is within ``limit``: GFLOPs of a clip at most, or clips a second at least."""
    return cost <= limit if by == "GFLOPs" else 1 / cost >= limit


def said_of_cost(cost: float, by: By) -> dict[str, float | None]:
    """For ``fusion.json``: a cost as clips a second or as GFLOPs, and the other None."""
    return {"clips_per_s": 1 / cost if by == "clips/s" else None, "gflops": cost if by == "GFLOPs" else None}


def speed_content(speeds: Sequence[MemberSpeed]) -> dict[str, Any]:
    """For ``fusion.json``: speed and GFLOPs of the whole, None where a member's are not known, and on what devices."""
    seconds, products = ([speed.cost(by) for speed in speeds] for by in ("clips/s", "GFLOPs"))
    return {
        "clips_per_s": None if None in seconds else 1 / sum(cost for cost in seconds if cost),
        "gflops": None if None in products else sum(cost for cost in products if cost),
        "devices": devices_of(speeds),
    }


def devices_of(speeds: Iterable[MemberSpeed]) -> list[str]:
    """The devices that speeds are of, each once."""
    return list(dict.fromkeys(speed.device for speed in speeds if speed.device))


def _unknown(by: By, unknown: dict[By, list[str]]) -> UserError:
    names = ", ".join(unknown[by])
    if by == "GFLOPs":
        return UserError(
            f"the GFLOPs of {names} are not known: its score file does not say them",
            expected="what a clip takes every member, in billions of multiplications",
            fix="say `gflops = N` in its [[members]], or test it again: `tinkit test RUN --force`",
        )
    other = "" if unknown["GFLOPs"] else "; or compare GFLOPs, which are known: --budget-gflops N"
    return UserError(
        f"the speed of {names} is not known: no test has recorded it",
        expected="clips a second of every member, or GFLOPs of every member, to set accuracy beside",
        fix=f"say `speed = CLIPS_PER_S` in its [[members]], or measure it: `tinkit test RUN --force`{other}",
    )
