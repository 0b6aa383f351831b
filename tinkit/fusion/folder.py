"""A whole fusion: align, fit on one split, apply to the others, measure, and write the folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit import __version__
from tinkit.errors import UserError
from tinkit.files.atomic import sha256_file, sha256_text
from tinkit.files.group import file_group, recover, writing_in
from tinkit.fusion.arrays import Options
from tinkit.fusion.combine import Combination, equal_mean, weights_of
from tinkit.fusion.content import OpenedMember, content_of
from tinkit.fusion.fitting import fit, refuse_trained_on
from tinkit.fusion.measure import Measured, measure_fusion
from tinkit.fusion.members import Aligned, Member, align
from tinkit.fusion.record import RECORD, DamagedRecordError, check_recorded, read_record, record_content
from tinkit.fusion.resolve import MemberFiles
from tinkit.fusion.spec import EnsembleSpec
from tinkit.metrics import challenge_metric, check_metric
from tinkit.scores import ScoreTable, verified_scores, write_scores


@dataclass(frozen=True, eq=False)
class Fusion:
    """A fusion: its folder, the content of its ``fusion.json``, and what was measured if labelled.

    ``written`` is False where the same fusion was there already; nothing was measured then.
    """

    folder: Path
    record: dict[str, Any]
    measured: Measured | None
    written: bool = True

    @property
    def weights(self) -> NDArray[np.float64]:
        """One weight a member, (M,); NaN where the method gives a member no one weight."""
        return np.array([row["weight"] for row in self.record["members"]], np.float64)


def fuse(spec: EnsembleSpec, members: list[MemberFiles], folder: Path, *, force: bool = False) -> Fusion:
    """Fuse ``members`` as ``spec`` says and write ``folder``: ``fusion.json`` and a score file a split.

    What is fitted and no better than the equal mean, over the whole fitting split or by its cross-validated estimate,
    is not used. Nothing is written unless everything succeeds. Where ``folder`` holds the fusion that this
    would be, nothing is done. Raises :class:`~tinkit.errors.UserError` when it holds another (unless ``force``) or a
    member's score file, when a file is damaged, when members cannot be aligned, when another process writes
    ``folder``, and as :func:`tinkit.fusion.fitting.fit`.
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
            return Fusion(folder, record, None, written=False)
        return _fuse(spec, inputs, folder, made_from)


def _fuse(spec: EnsembleSpec, members: list[OpenedMember], folder: Path, made_from: str) -> Fusion:
    first = next(iter(members[0].files.infos.values()))
    metric = check_metric(spec.metric or challenge_metric(first.task), first.task, len(first.classes))
    options = Options(len(members), len(first.classes), metric, spec.seed, spec.own_keys)
    chosen = Combination(spec.row.apply, spec.row.start(options), spec.row.gives)
    fitted, measured, used = None, None, None
    missing: dict[str, dict[str, int]] = {}
    outputs: dict[str, ScoreTable] = {}
    for split in spec.splits:
        aligned = _aligned(spec, members, split)
        missing[split] = aligned.missing | {"all": int(np.count_nonzero(~aligned.valid.any(axis=0)))}
        if split == spec.fit:
            refuse_trained_on(aligned)
            if spec.row.fit is not None:
                fitted = fit(aligned, metric, method=spec.row, keys=spec.own_keys, parts=spec.parts, seed=spec.seed)
                chosen, used = dataclasses.replace(chosen, learned=fitted.learned), split
            measured = measure_fusion(aligned, chosen, fitted, metric)
            if measured and measured.rejected:
                chosen, used = equal_mean(len(members)), None
        outputs[split] = _described(chosen.table(aligned, name=spec.name), spec, members, chosen, used)
    record = content_of(spec, members, metric, chosen, fitted, measured)
    record |= {"missing_clips": missing, "made_from": made_from}
    _write(folder, record, outputs)
    return Fusion(folder, record, measured)


def _exists(folder: Path) -> UserError:
    return UserError("exists already", file=folder, fix="--name another, or --force to write over it")


def _opened(files: MemberFiles, splits: tuple[str, ...]) -> OpenedMember:
    """A member's files, read and checked, each with its hash."""
    found = {split: verified_scores(files.files[split]) for split in splits}
    for split, (_, digest) in found.items():
        check_recorded(files.files[split], digest)
    return OpenedMember(
        files,
        {split: table for split, (table, _) in found.items()},
        {split: text for split, (_, text) in found.items()},
    )


def _made_from(spec: EnsembleSpec, members: list[OpenedMember]) -> str:
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


def _aligned(spec: EnsembleSpec, members: list[OpenedMember], split: str) -> Aligned:
    tables = [Member(one.files.name, one.tables[split], one.files.files[split]) for one in members]
    return align(tables, kind=spec.takes, missing=spec.missing)


def _described(
    table: ScoreTable,
    spec: EnsembleSpec,
    members: list[OpenedMember],
    chosen: Combination,
    fitted_on: str | None,
) -> ScoreTable:
    """``table`` with the hashes of what it was made from and, if anything was fitted, the split that it has now seen.

    Its ``checkpoint`` is the same for all splits of one fusion: a fusion may be a member of another.
    """
    split = table.info.split
    weights = weights_of(chosen.learned)
    made_of = [(*_model(one.files), weights[number] if weights else None) for number, one in enumerate(members)]
    others = {name: values.tolist() for name, values in chosen.learned.items() if name != "weights" or values.ndim > 1}
    facts = [spec.method, spec.takes, made_of, *([others] if others else [])]
    hashes = {"checkpoint": hashlib.sha256(json.dumps(facts).encode()).hexdigest()}
    hashes |= {f"member:{member.files.name}": member.sha256[split] for member in members}
    seen = tuple(sorted({*table.info.trained_on, *([fitted_on] if fitted_on else [])}))
    return dataclasses.replace(table, info=dataclasses.replace(table.info, hashes=hashes, trained_on=seen))


def _model(member: MemberFiles) -> tuple[str, ...]:
    """What a member is, whatever the split."""
    info = next(iter(member.infos.values()))
    return (info.run, info.views, info.average, info.weights, info.kind, info.hashes.get("checkpoint", ""))


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
