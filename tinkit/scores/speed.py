"""How fast a model was tested: a small file beside its score file, which is the same bytes whenever it is made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tinkit.errors import UserError
from tinkit.files.atomic import write_atomic
from tinkit.files.json import read_json
from tinkit.scores.numbers import is_positive
from tinkit.scores.table import ScoreInfo

SUFFIX = ".speed.json"
_MADE_BY = ("checkpoint", "test")  # the hashes of a score file that a speed is about


@dataclass(frozen=True)
class Speed:
    """``clips`` were read and scored in ``seconds`` on ``device``, in words."""

    clips: int
    seconds: float
    device: str

    @property
    def clips_per_s(self) -> float:
        """Clips a second, all views of a clip together."""
        return self.clips / self.seconds


def speed_file(scores: Path) -> Path:
    """Where the speed of the test that made ``scores`` stands."""
    return scores.with_suffix(SUFFIX)


def write_speed(scores: Path, info: ScoreInfo, speed: Speed) -> None:
    """Write the speed beside ``scores``, whose metadata is ``info``."""
    content = {"clips": speed.clips, "seconds": speed.seconds, "device": speed.device, "of": _made_by(info)}
    write_atomic(speed_file(scores), json.dumps(content) + "\n")


def read_speed(scores: Path, info: ScoreInfo) -> Speed | None:
    """The speed beside ``scores``; None where there is none, or one of another checkpoint or protocol.

    Raises :class:`~tinkit.errors.UserError` for a file that is not a speed.
    """
    path = speed_file(scores)
    if not path.is_file():
        return None
    found = read_json(path, "the speed of a test", limit=1 << 16)
    found = found if isinstance(found, dict) else {}
    clips, seconds, device = (found.get(name) for name in ("clips", "seconds", "device"))
    if isinstance(clips, int) and is_positive(clips) and is_positive(seconds) and isinstance(device, str):
        return Speed(int(clips), float(seconds), device) if found.get("of") == _made_by(info) else None
    raise UserError(
        "not the speed of a test",
        file=path,
        expected="clips and seconds above 0, and device",
        fix="remove it, or test again with --force",
    )


def _made_by(info: ScoreInfo) -> dict[str, str]:
    return {name: info.hashes.get(name, "") for name in _MADE_BY}
