"""How fast the members of a fusion are, one after the other: as their tests measured it, or as an ensemble says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tinkit.errors import UserError
from tinkit.fusion.record import RECORD, read_record
from tinkit.fusion.resolve import MemberFiles
from tinkit.fusion.spec import MemberSpec
from tinkit.scores.speed import read_speed


@dataclass(frozen=True)
class MemberSpeed:
    """A member's clips a second, and on which device; ``device`` is empty where that is not known."""

    clips_per_s: float
    device: str = ""


def speed_of(spec: MemberSpec, files: MemberFiles) -> MemberSpeed | None:
    """What ``spec`` says, else what the test of the first split measured; None where neither is known."""
    if spec.speed is not None:
        return MemberSpeed(spec.speed)
    for split, path in files.files.items():
        if (found := read_speed(path, files.infos[split])) is not None:
            return MemberSpeed(found.clips_per_s, found.device)
        head = path.with_name(RECORD)
        record = read_record(head) if head.is_file() else None
        if record is not None and record.clips_per_s is not None and record.describes(path.name):
            return MemberSpeed(record.clips_per_s, ", ".join(record.devices))
    return None


def require_within(budget: float | None, members: Sequence[MemberFiles], speeds: Sequence[MemberSpeed | None]) -> None:
    """Raise a UserError where the speed of a member is not known, and where none alone is within the ``budget``."""
    if unknown := [one.name for one, speed in zip(members, speeds, strict=True) if speed is None]:
        raise UserError(
            f"the speed of {', '.join(unknown)} is not known: no test has recorded it",
            expected="clips a second of every member, to set accuracy beside speed",
            fix="say `speed = CLIPS_PER_S` in its [[members]], or measure it: `tinkit test RUN --force`",
        )
    rates = [(speed.clips_per_s, one.name) for one, speed in zip(members, speeds, strict=True) if speed is not None]
    if budget is not None and max(rates)[0] < budget:
        fastest, name = max(rates)
        raise UserError(
            f"no member does {budget:g} clips/s: the fastest, {name}, does {fastest:.4g}",
            fix="a lower --budget, or a faster member",
        )


def speed_content(speeds: Sequence[MemberSpeed | None]) -> dict[str, Any]:
    """For ``fusion.json``: the speed of the whole, None where that of a member is not known, and on what devices."""
    known = [speed for speed in speeds if speed is not None]
    whole = one_after_the_other(speed.clips_per_s for speed in known) if len(known) == len(speeds) else None
    return {"clips_per_s": whole, "devices": devices_of(known)}


def one_after_the_other(speeds: Iterable[float]) -> float:
    """Clips a second of models that each see every clip, one after the other: ``1 / sum(1 / speed)``."""
    return 1 / sum(1 / speed for speed in speeds)


def devices_of(speeds: Iterable[MemberSpeed]) -> list[str]:
    """The devices that speeds are of, each once."""
    return list(dict.fromkeys(speed.device for speed in speeds if speed.device))
