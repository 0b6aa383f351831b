"""A whole fusion: align, fit on one split, apply to the others, measure, and write the folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit import __version__
from tinkit.errors import UserError
from tinkit.files import sha256_file, write_atomic
from tinkit.fusion.mean import combine, equal_weights
from tinkit.fusion.members import Aligned, Member, align
from tinkit.fusion.resolve import MemberFiles
from tinkit.fusion.search import Fitted, fit, refuse_trained_on
from tinkit.fusion.spec import EnsembleSpec
from tinkit.metrics import Metrics, challenge_metric, check_metric, evaluate
from tinkit.scores import ScoreTable, mark_labels, read_scores, write_scores


@dataclass(frozen=True)
class Measured:
    """What was measured on the fitting split: each member alone, their equal mean, the fusion, and its estimate.

    ``cross_validated`` is measured on the clips that all members have scores for, and is to be compared with
    ``cross_validated_equal``, the equal mean on just those. ``rejected`` is what the fitted weights measured where they
    were worse than equal ones over the whole split, so that equal ones were kept (None: they were not).
    """

    members: tuple[Metrics, ...]
    equal: Metrics
    fused: Metrics
    cross_validated: Metrics | None = None
    cross_validated_equal: Metrics | None = None
    rejected: Metrics | None = None


@dataclass(frozen=True, eq=False)
class Fusion:
    """A fusion that was written: its folder, the content of its ``fusion.json``, and what was measured if labelled."""

    folder: Path
    record: dict[str, Any]
    weights: NDArray[np.float64]
    measured: Measured | None


def fuse(spec: EnsembleSpec, members: list[MemberFiles], folder: Path, *, force: bool = False) -> Fusion:
    """Fuse ``members`` as ``spec`` says and write ``folder``: ``fusion.json`` and a score file a split.

    Fitted weights that are worse than equal ones by the metric over the whole fitting split are not used.
    Nothing is written unless everything succeeds. Raises :class:`~tinkit.errors.UserError` when ``folder`` holds a
    fusion already (unless ``force``) or a member's score file, when members cannot be aligned, and as
    :func:`tinkit.fusion.search.fit`.
    """
    if folder.exists() and not force:
        raise UserError("exists already", file=folder, fix="--name another, or --force to write over it")
    _refuse_own_inputs(members, folder)
    first = next(iter(members[0].infos.values()))
    metric = check_metric(spec.metric or challenge_metric(first.task), first.task, len(first.classes))
    weights, fitted, measured = equal_weights(len(members)), None, None
    missing: dict[str, dict[str, int]] = {}
    outputs: dict[str, ScoreTable] = {}
    for split in spec.splits:
        aligned = _aligned(spec, members, split)
        missing[split] = aligned.missing | {"all": int(np.count_nonzero(~aligned.valid.any(axis=0)))}
        if split == spec.fit:
            refuse_trained_on(aligned)
            if spec.method == "search":
                fitted = fit(aligned, metric, parts=spec.parts, seed=spec.seed)
            measured = _measure(aligned, fitted, metric)
            if fitted and measured and not measured.rejected:
                weights = fitted.weights
        outputs[split] = _described(combine(aligned, weights, name=spec.name), spec, members, weights, fitted)
    record = _record(spec, members, metric, weights, fitted, measured) | {"missing_clips": missing}
    _write(folder, record, outputs)
    return Fusion(folder, record, weights, measured)


def _refuse_own_inputs(members: list[MemberFiles], folder: Path) -> None:
    """What is written replaces what is in ``folder``: a member there would be lost, and with it what was recorded."""
    for member in members:
        for path in member.files.values():
            if path.resolve().is_relative_to(folder.resolve()):
                raise UserError(
                    f"member {member.name!r} lies in {folder}, where the fusion is to be written",
                    file=path,
                    fix="give the fusion another --name, or another folder with --fusions",
                )


def _aligned(spec: EnsembleSpec, members: list[MemberFiles], split: str) -> Aligned:
    tables = [Member(member.name, read_scores(member.files[split]), member.files[split]) for member in members]
    return align(tables, kind=spec.kind, missing=spec.missing)


def _described(
    table: ScoreTable,
    spec: EnsembleSpec,
    members: list[MemberFiles],
    weights: NDArray[np.float64],
    fitted: Fitted | None,
) -> ScoreTable:
    """``table`` with the hashes of what it was made from and, if weights were fitted, the split they have now seen.

    Its ``checkpoint`` is the same for all splits of one fusion: a fusion may be a member of another.
    """
    made_of = [(*_model(member), float(weight)) for member, weight in zip(members, weights, strict=True)]
    hashes = {"checkpoint": hashlib.sha256(json.dumps([spec.method, spec.kind, made_of]).encode()).hexdigest()}
    hashes |= {f"member:{member.name}": sha256_file(member.files[table.info.split]) for member in members}
    seen = {*table.info.trained_on, *([spec.fit] if fitted and spec.fit else [])}
    return dataclasses.replace(
        table, info=dataclasses.replace(table.info, hashes=hashes, trained_on=tuple(sorted(seen)))
    )


def _model(member: MemberFiles) -> tuple[str, ...]:
    """What a member is, whatever the split."""
    info = next(iter(member.infos.values()))
    return (info.run, info.views, info.average, info.weights, info.kind, info.hashes.get("checkpoint", ""))


def _measure(aligned: Aligned, fitted: Fitted | None, metric: str) -> Measured | None:
    task = aligned.infos[0].task
    labels = mark_labels(aligned.labels, len(aligned.infos[0].classes))
    if not labels.any():
        return None
    alone = tuple(
        evaluate(scores, labels, task, valid=valid) for scores, valid in zip(aligned.scores, aligned.valid, strict=True)
    )
    present = aligned.valid.any(axis=0)
    equal = evaluate(combine(aligned).scores, labels, task, valid=present)
    if fitted is None:
        return Measured(alone, equal, equal)
    searched = evaluate(combine(aligned, fitted.weights).scores, labels, task, valid=present)
    # Weights are searched on clips that all members have, and of many clips on some: over all, they may be worse.
    worse = searched[metric] < equal[metric]
    return Measured(
        members=alone,
        equal=equal,
        fused=equal if worse else searched,
        cross_validated=fitted.cross_validated,
        cross_validated_equal=fitted.equal,
        rejected=searched if worse else None,
    )


def _record(
    spec: EnsembleSpec,
    members: list[MemberFiles],
    metric: str,
    weights: NDArray[np.float64],
    fitted: Fitted | None,
    measured: Measured | None,
) -> dict[str, Any]:
    """The content of ``fusion.json``, without what is only known once the files are written."""
    rows = []
    for number, member in enumerate(members):
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
                "converted_to": spec.kind if info.kind != spec.kind else None,
                "weight": float(weights[number]),
                "scores": {
                    split: {"path": str(path), "sha256": sha256_file(path)} for split, path in member.files.items()
                },
                "metrics": _plain(measured.members[number]) if measured else None,
            }
        )
    return {
        "tinkit": __version__,
        "name": spec.name,
        "method": spec.method,
        "kind": spec.kind,
        "metric": metric,
        "fit": spec.fit,
        "apply": list(spec.apply),
        "missing": spec.missing,
        "seed": spec.seed,
        "parts": spec.parts if fitted else None,
        "fitted_on_clips": fitted.rows if fitted else None,
        "part_weights": fitted.part_weights.tolist() if fitted else None,
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
        rejected = {"weights": fitted.weights.tolist(), "fused": _plain(measured.rejected), **estimate}
        return {"metrics": metrics | dict.fromkeys(estimate), "rejected": rejected}
    return {"metrics": metrics | estimate, "rejected": None}


def _plain(metrics: Metrics | None) -> dict[str, Any] | None:
    if metrics is None:
        return None
    values = {name: None if math.isnan(value) else value for name, value in metrics.values.items()}
    return {**values, "counts": metrics.counts}


def _write(folder: Path, record: dict[str, Any], outputs: dict[str, ScoreTable]) -> None:
    """Write everything beside its place first, then rename; ``fusion.json``, which lists the others, comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    stage = folder / f".stage-{secrets.token_hex(4)}"
    try:
        stage.mkdir()
        files: dict[str, dict[str, Any]] = {}
        for split, table in outputs.items():
            name = f"{split}.arrow"
            write_scores(stage / name, table)
            files[split] = {"path": name, "sha256": sha256_file(stage / name), "clips": len(table)}
        write_atomic(
            stage / "fusion.json", json.dumps(record | {"outputs": files}, indent=2, ensure_ascii=False) + "\n"
        )
        stale = _outputs_of(folder / "fusion.json") - {item["path"] for item in files.values()}
        for name in [*(item["path"] for item in files.values()), "fusion.json"]:
            (stage / name).replace(folder / name)
        for name in stale:
            (folder / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        with suppress(OSError):
            folder.rmdir()  # only an empty one, left by a failure, goes


def _outputs_of(path: Path) -> set[str]:
    """The score files that an earlier fusion wrote; of another split, they would be taken for this one's."""
    try:
        outputs = json.loads(path.read_text(encoding="utf-8"))["outputs"]
        return {Path(item["path"]).name for item in outputs.values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
