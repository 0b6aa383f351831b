"""The content of a ``fusion.json``: members, what was learned, and what was measured."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinkit import __version__
from tinkit.fusion.choosing.choice import Choice
from tinkit.fusion.choosing.fitting import Fitted
from tinkit.fusion.combine import Fused, weights_of
from tinkit.fusion.decide import Decision
from tinkit.fusion.measure import Measured
from tinkit.fusion.members import Aligned, Member
from tinkit.fusion.resolve import MemberFiles
from tinkit.fusion.saved import described as described_arrays
from tinkit.fusion.spec import EnsembleSpec
from tinkit.metrics import Metrics
from tinkit.scores import OpenScores, ScoreInfo


@dataclass(frozen=True, eq=False)
class OpenedMember:
    """A member's files, open, by split: what they hold is checked as it is used."""

    files: MemberFiles
    scores: dict[str, OpenScores]

    @property
    def info(self) -> ScoreInfo:
        """What its files say of it, whatever the split."""
        return next(iter(self.files.infos.values()))

    def described(self) -> dict[str, dict[str, str]]:
        """Path and digest of its files, by split."""
        return {
            split: {"path": str(path), "digest": self.scores[split].digest} for split, path in self.files.files.items()
        }

    @property
    def is_trial(self) -> bool:
        """Whether any of its scores are those of a trial."""
        return any(opened.table.info.trial for opened in self.scores.values())


def members_on(members: Sequence[OpenedMember], split: str) -> list[Member]:
    """The members with their scores of ``split``."""
    return [
        Member(one.files.name, one.scores[split].table, one.files.files[split], one.scores[split]) for one in members
    ]


def missing_clips(aligned: Aligned) -> dict[str, int]:
    """How many clips each member lacks, and how many they all lack."""
    return aligned.missing | {"all": int(np.count_nonzero(~aligned.valid.any(axis=0)))}


def content_of(
    spec: EnsembleSpec, members: list[OpenedMember], metric: str, decision: Decision, measured: Measured | None
) -> dict[str, Any]:
    """The content of ``fusion.json``, without what is only known once the files are written."""
    chosen, fitted = decision.chosen, decision.fitted
    weights = decision.weights
    first = next(iter(members[0].files.infos.values()))
    rows = []
    for number, one in enumerate(members):
        scale = float(decision.scale[number]) if decision.kind != "logits" else 1.0
        row = _facts_of(one) | {
            "converted_to": decision.kind if one.info.kind != decision.kind else None,
            "scaled_by": scale,
            "weight": weights[number] if weights else None,
            "scores": one.described(),
            "metrics": _plain(measured.members[number]) if measured else None,
        }
        rows.append(row)
    return {
        "tinkit": __version__,
        "name": spec.name,
        "method": spec.method,
        "chosen": decision.row.name,
        "takes": decision.kind,
        "kind": chosen.gives or decision.kind,
        "metric": metric,
        "fit": spec.fit,
        "apply": list(spec.apply),
        "missing": spec.missing,
        "seed": spec.seed,
        "task": first.task,
        "dataset": first.dataset,
        "dataset_version": first.dataset_version,
        "classes": list(first.classes),
        "parts": len(fitted.part_learned) if fitted else None,
        "fitted_on_clips": fitted.rows if fitted else None,
        "labelled_clips": fitted.known if fitted else None,
        "learned": described_arrays(chosen.learned),
        "shapes": {name: list(values.shape) for name, values in chosen.learned.items()},
        "part_weights": [weights_of(part) for part in fitted.part_learned] if fitted else None,
        "trial": [one.files.name for one in members if one.is_trial],
        "members": rows,
        "published": [entry.model_dump(exclude_none=True) for entry in spec.published],
        "choice": _chosen(decision.choice),
        "improvement": dataclasses.asdict(measured.improvement) if measured and measured.improvement else None,
        **_judged(fitted, measured),
    }


def described(rows: Fused, decision: Decision, members: Sequence[OpenedMember], fitted_on: str | None) -> Fused:
    """``rows`` with the hashes of what it was made from and, if anything was fitted, the split that it has now seen.

    Its ``checkpoint`` is the same for all splits of one fusion: a fusion may be a member of another.
    """
    split = rows.info.split
    hashes = {"checkpoint": checkpoint_of(decision, [one.info for one in members])}
    hashes |= {f"member:{member.files.name}": member.scores[split].digest for member in members}
    seen = tuple(sorted({*rows.info.trained_on, *([fitted_on] if fitted_on else [])}))
    return dataclasses.replace(rows, info=dataclasses.replace(rows.info, hashes=hashes, trained_on=seen))


def checkpoint_of(decision: Decision, infos: Sequence[ScoreInfo]) -> str:
    """What a fusion is, whatever the split: a hash of its way, of all that it learned, and of its members."""
    made_of = [
        [one.run, one.views, one.average, one.weights, one.kind, one.hashes.get("checkpoint", "")] for one in infos
    ]
    facts = [decision.row.name, decision.kind, decision.scale.tolist(), made_of]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for name, values in sorted(decision.chosen.learned.items()):
        digest.update(name.encode() + np.ascontiguousarray(values, np.float64).tobytes())
    return digest.hexdigest()


def _facts_of(one: OpenedMember) -> dict[str, Any]:
    info = one.info
    return {
        "name": one.files.name,
        "run": info.run,
        "views": info.views,
        "view": info.view,
        "average": info.average,
        "protocol": info.protocol,
        "checkpoint": info.weights,
        "hashes": info.hashes,
        "trained_on": list(info.trained_on),
        "kind": info.kind,
    }


def _chosen(choice: Choice | None) -> dict[str, Any] | None:
    """How ``auto`` chose, with an estimate for the choice itself beside the optimistic one."""
    if choice is None:
        return None
    estimate = choice.improvement
    return {
        "candidates": [dataclasses.asdict(one) for one in choice.candidates],
        "skipped": dict(choice.skipped),
        "clips": choice.clips,
        "labelled_clips": choice.known,
        "fell_back": choice.fell_back,
        "equal_mean": choice.equal,
        "optimistic": choice.equal + choice.optimistic,
        "nested": choice.equal + estimate.value,
        "improvement": dataclasses.asdict(estimate),
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
