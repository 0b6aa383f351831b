"""A whole fusion: align, fit on one split, apply to the others, measure, and write the folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit import __version__
from tinkit.errors import UserError
from tinkit.files.group import file_group, recover, writing_in
from tinkit.files.hashes import sha256_file, sha256_text
from tinkit.fusion.mean import combine, equal_weights
from tinkit.fusion.measure import Measured, measure_fusion
from tinkit.fusion.members import Aligned, Member, align
from tinkit.fusion.record import RECORD, DamagedRecordError, check_recorded, read_record, record_content
from tinkit.fusion.resolve import MemberFiles
from tinkit.fusion.search import Fitted, fit, refuse_trained_on
from tinkit.fusion.spec import EnsembleSpec
from tinkit.metrics import Metrics, challenge_metric, check_metric
from tinkit.scores import ScoreTable, verified_scores, write_scores


@dataclass(frozen=True, eq=False)
class Fusion:
    """A fusion: its folder, the content of its ``fusion.json``, and what was measured if labelled.

    ``written`` is False where the same fusion was there already; nothing was measured then.
    """

    folder: Path
    record: dict[str, Any]
    weights: NDArray[np.float64]
    measured: Measured | None
    written: bool = True


@dataclass(frozen=True, eq=False)
class Input:
    """A member's files with what they hold and the SHA-256 of their bytes, both by split."""

    files: MemberFiles
    tables: dict[str, ScoreTable]
    sha256: dict[str, str]

    @property
    def is_trial(self) -> bool:
        """Whether any of its scores are those of a trial."""
        return any(table.info.trial for table in self.tables.values())


def fuse(spec: EnsembleSpec, members: list[MemberFiles], folder: Path, *, force: bool = False) -> Fusion:
    """Fuse ``members`` as ``spec`` says and write ``folder``: ``fusion.json`` and a score file a split.

    Fitted weights that are no better than equal ones, over the whole fitting split or by their cross-validated
    estimate, are not used. Nothing is written unless everything succeeds. Where ``folder`` holds the fusion that this
    would be, nothing is done. Raises :class:`~tinkit.errors.UserError` when it holds another (unless ``force``) or a
    member's score file, when a file is damaged, when members cannot be aligned, when another process writes
    ``folder``, and as :func:`tinkit.fusion.search.fit`.
    """
    _refuse_own_inputs(members, folder)
    head = folder / RECORD
    with writing_in(folder, folder):
        recover(head)
        there = not force and any(not entry.name.startswith(".") for entry in folder.iterdir())
        if there and not head.is_file():
            raise _exists(folder)
        inputs = [_opened(member, spec.splits) for member in members]
        made_from = _made_from(spec, inputs)
        if there and not _is_whole(folder, made_from):
            raise _exists(folder)
        if there:
            record = record_content(head)
            return Fusion(folder, record, np.array([row["weight"] for row in record["members"]]), None, written=False)
        return _fuse(spec, inputs, folder, made_from)


def _fuse(spec: EnsembleSpec, members: list[Input], folder: Path, made_from: str) -> Fusion:
    first = next(iter(members[0].files.infos.values()))
    metric = check_metric(spec.metric or challenge_metric(first.task), first.task, len(first.classes))
    weights, fitted, measured = equal_weights(len(members)), None, None
    missing: dict[str, dict[str, int]] = {}
    outputs: dict[str, ScoreTable] = {}
    used: str | None = None
    for split in spec.splits:
        aligned = _aligned(spec, members, split)
        missing[split] = aligned.missing | {"all": int(np.count_nonzero(~aligned.valid.any(axis=0)))}
        if split == spec.fit:
            refuse_trained_on(aligned)
            if spec.method == "search":
                fitted = fit(aligned, metric, parts=spec.parts, seed=spec.seed)
            measured = measure_fusion(aligned, fitted, metric)
            if fitted and measured and not measured.rejected:
                weights, used = fitted.weights, split
        outputs[split] = _described(combine(aligned, weights, name=spec.name), spec, members, weights, used)
    record = _record(spec, members, metric, weights, fitted, measured)
    record |= {"missing_clips": missing, "made_from": made_from}
    _write(folder, record, outputs)
    return Fusion(folder, record, weights, measured)


def _exists(folder: Path) -> UserError:
    return UserError("exists already", file=folder, fix="--name another, or --force to write over it")


def _opened(files: MemberFiles, splits: tuple[str, ...]) -> Input:
    """A member's files, read and checked, each with its hash."""
    found = {split: verified_scores(files.files[split]) for split in splits}
    for split, (_, digest) in found.items():
        check_recorded(files.files[split], digest)
    return Input(
        files,
        {split: table for split, (table, _) in found.items()},
        {split: text for split, (_, text) in found.items()},
    )


def _made_from(spec: EnsembleSpec, members: list[Input]) -> str:
    """The hash of all that a fusion depends on: options, and members by name and content."""
    options = spec.model_dump(mode="json", exclude={"members"})
    return sha256_text(json.dumps([__version__, options, [[one.files.name, one.sha256] for one in members]]))


def _is_whole(folder: Path, made_from: str) -> bool:
    """Whether ``folder`` holds the fusion made from just this, with every file as it was written."""
    try:
        record = read_record(folder / RECORD)
    except DamagedRecordError:
        return False
    files = {folder / item.path: item.sha256 for item in record.outputs.values()}
    return record.made_from == made_from and all(
        path.is_file() and sha256_file(path) == digest for path, digest in files.items()
    )


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


def _aligned(spec: EnsembleSpec, members: list[Input], split: str) -> Aligned:
    tables = [Member(one.files.name, one.tables[split], one.files.files[split]) for one in members]
    return align(tables, kind=spec.kind, missing=spec.missing)


def _described(
    table: ScoreTable,
    spec: EnsembleSpec,
    members: list[Input],
    weights: NDArray[np.float64],
    fitted_on: str | None,
) -> ScoreTable:
    """``table`` with the hashes of what it was made from and, if its weights are fitted, the split they have now seen.

    Its ``checkpoint`` is the same for all splits of one fusion: a fusion may be a member of another.
    """
    split = table.info.split
    made_of = [(*_model(member.files), float(weight)) for member, weight in zip(members, weights, strict=True)]
    hashes = {"checkpoint": hashlib.sha256(json.dumps([spec.method, spec.kind, made_of]).encode()).hexdigest()}
    hashes |= {f"member:{member.files.name}": member.sha256[split] for member in members}
    seen = tuple(sorted({*table.info.trained_on, *([fitted_on] if fitted_on else [])}))
    return dataclasses.replace(table, info=dataclasses.replace(table.info, hashes=hashes, trained_on=seen))


def _model(member: MemberFiles) -> tuple[str, ...]:
    """What a member is, whatever the split."""
    info = next(iter(member.infos.values()))
    return (info.run, info.views, info.average, info.weights, info.kind, info.hashes.get("checkpoint", ""))


def _record(
    spec: EnsembleSpec,
    members: list[Input],
    metric: str,
    weights: NDArray[np.float64],
    fitted: Fitted | None,
    measured: Measured | None,
) -> dict[str, Any]:
    """The content of ``fusion.json``, without what is only known once the files are written."""
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
                "converted_to": spec.kind if info.kind != spec.kind else None,
                "weight": float(weights[number]),
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
        "kind": spec.kind,
        "metric": metric,
        "fit": spec.fit,
        "apply": list(spec.apply),
        "missing": spec.missing,
        "seed": spec.seed,
        "parts": spec.parts if fitted else None,
        "fitted_on_clips": fitted.rows if fitted else None,
        "part_weights": fitted.part_weights.tolist() if fitted else None,
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
            "weights": fitted.weights.tolist(),
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


def _write(folder: Path, record: dict[str, Any], outputs: dict[str, ScoreTable]) -> None:
    """Write all files at once; ``fusion.json`` describes the others."""
    stale = _outputs_of(folder / RECORD) - {f"{split}.arrow" for split in outputs}
    with file_group(folder / RECORD, folder) as group:
        files: dict[str, dict[str, Any]] = {}
        for split, table in outputs.items():
            name = f"{split}.arrow"
            files[split] = {"path": name, "sha256": write_scores(group.place(name), table), "clips": len(table)}
        text = json.dumps(record | {"outputs": files}, indent=2, ensure_ascii=False) + "\n"
        # A half character, from the name of a file, becomes the escape that JSON has for it.
        group.place(RECORD).write_text(text, encoding="utf-8", errors="backslashreplace")
        for name in stale:
            group.remove(name)


def _outputs_of(path: Path) -> set[str]:
    """The score files that an earlier fusion wrote; of another split, they would be taken for this one's."""
    if not path.exists():
        return set()
    try:
        outputs = read_record(path).outputs
    except DamagedRecordError:  # it is about to be replaced
        return set()
    return {name for item in outputs.values() if (name := Path(item.path).name).endswith(".arrow")}
