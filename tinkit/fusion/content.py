"""The content of a ``fusion.json``: members, what was learned, and what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tinkit import __version__
from tinkit.fusion.combine import Combination, weights_of
from tinkit.fusion.fitting import Fitted
from tinkit.fusion.measure import Measured
from tinkit.fusion.resolve import MemberFiles
from tinkit.fusion.spec import EnsembleSpec
from tinkit.metrics import Metrics
from tinkit.scores import ScoreTable


@dataclass(frozen=True, eq=False)
class OpenedMember:
    """A member's files with what they hold and the SHA-256 of their bytes, both by split."""

    files: MemberFiles
    tables: dict[str, ScoreTable]
    sha256: dict[str, str]

    @property
    def is_trial(self) -> bool:
        """Whether any of its scores are those of a trial."""
        return any(table.info.trial for table in self.tables.values())


def content_of(
    spec: EnsembleSpec,
    members: list[OpenedMember],
    metric: str,
    chosen: Combination,
    fitted: Fitted | None,
    measured: Measured | None,
) -> dict[str, Any]:
    """The content of ``fusion.json``, without what is only known once the files are written."""
    weights = weights_of(chosen.learned)
    rows = []
    for number, one in enumerate(members):
        member = one.files
        info = next(iter(member.infos.values()))
        rows.append(
            {
                "name": member.name,
                "run": info.run,
                "views": info.views,
                "checkpoint": info.weights,
                "hashes": info.hashes,
                "trained_on": list(info.trained_on),
                "kind": info.kind,
                "converted_to": spec.takes if info.kind != spec.takes else None,
                "weight": weights[number] if weights else None,
                "scores": {
                    split: {"path": str(path), "sha256": one.sha256[split]} for split, path in member.files.items()
                },
                "metrics": _plain(measured.members[number]) if measured else None,
            }
        )
    return {
        "tinkit": __version__,
        "name": spec.name,
        "method": spec.method,
        "kind": chosen.gives or spec.takes,
        "metric": metric,
        "fit": spec.fit,
        "apply": list(spec.apply),
        "missing": spec.missing,
        "seed": spec.seed,
        "parts": spec.parts if fitted else None,
        "fitted_on_clips": fitted.rows if fitted else None,
        "learned": {name: values.tolist() for name, values in chosen.learned.items()},
        "part_weights": [weights_of(part) for part in fitted.part_learned] if fitted else None,
        "trial": [one.files.name for one in members if one.is_trial],
        "members": rows,
        "published": [entry.model_dump(exclude_none=True) for entry in spec.published],
        **_judged(fitted, measured),
    }


def _judged(fitted: Fitted | None, measured: Measured | None) -> dict[str, Any]:
    """The ``metrics`` of what is written, and apart from them those of fitted weights that were ``rejected`` for it."""
    estimate = {
        "cross_validated": _plain(measured.cross_validated) if measured else None,
        "cross_validated_equal_mean": _plain(measured.cross_validated_equal) if measured else None,
    }
    metrics = {
        "equal_mean": _plain(measured.equal) if measured else None,
        "fused": _plain(measured.fused) if measured else None,
    }
    if fitted and measured and measured.rejected:
        rejected = {
            "reason": measured.reason,
            "weights": weights_of(fitted.learned),
            "fused": _plain(measured.rejected),
            **estimate,
        }
        return {"metrics": metrics | dict.fromkeys(estimate), "rejected": rejected}
    return {"metrics": metrics | estimate, "rejected": None}


def _plain(metrics: Metrics | None) -> dict[str, Any] | None:
    if metrics is None:
        return None
    values = {name: None if math.isnan(value) else value for name, value in metrics.values.items()}
    return {**values, "counts": metrics.counts}
