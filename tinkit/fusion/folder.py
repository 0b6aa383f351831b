"""A whole fusion: align, fit on one split, apply to the others, measure, and write the folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit import __version__
from tinkit.errors import UserError
from tinkit.files.group import file_group, recover, writing_in
from tinkit.files.hashes import is_file_of, sha256_text
from tinkit.fusion.arrays import Learned
from tinkit.fusion.combine import Fused
from tinkit.fusion.content import OpenedMember, content_of, described, members_on, missing_clips
from tinkit.fusion.decide import decide
from tinkit.fusion.measure import Measured, measure_fusion
from tinkit.fusion.members import align
from tinkit.fusion.notes import duplicate_notes, loss_of_ranks
from tinkit.fusion.record import RECORD, DamagedRecordError, check_recorded, holds, read_record, record_content
from tinkit.fusion.resolve import MemberFiles
from tinkit.fusion.saved import ARRAYS, write_learned
from tinkit.fusion.spec import EnsembleSpec
from tinkit.fusion.worth.account import account_of
from tinkit.fusion.worth.front import smaller_fusions
from tinkit.fusion.worth.speeds import By, MemberSpeed, compared_by, speed_content, speed_of
from tinkit.metrics import challenge_metric, check_metric
from tinkit.scores import open_scores, write_blocks


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
    ``folder``, and as :func:`tinkit.fusion.choosing.fitting.fit`.
    """
    _refuse_own_inputs(members, folder)
    head = folder / RECORD
    with writing_in(folder, folder):
        recover(head)
        there = not force and any(not entry.name.startswith(".") for entry in folder.iterdir())
        if there and not head.is_file():
            raise _exists(folder)
        speeds = [speed_of(one, files) for one, files in zip(spec.members, members, strict=True)]
        by = compared_by(spec, members, speeds) if spec.smaller else None
        inputs = [_opened(member, spec) for member in members]
        made_from = _made_from(spec, inputs, speeds)
        if there and not _is_whole(folder, made_from):
            raise _exists(folder)
        if there:
            for one in inputs:
                for opened in one.scores.values():
                    opened.require()
            record = record_content(head)
            return Fusion(folder, record, None, written=False)
        return _fuse(spec, inputs, speeds, by, folder, made_from)


def _fuse(
    spec: EnsembleSpec,
    members: list[OpenedMember],
    speeds: list[MemberSpeed],
    by: By | None,
    folder: Path,
    made_from: str,
) -> Fusion:
    first = next(iter(members[0].files.infos.values()))
    metric = check_metric(spec.metric or challenge_metric(first.task), first.task, len(first.classes))
    decision = decide(spec, members_on(members, spec.splits[0]), metric)
    smaller = None
    if by is not None:
        smaller, kept = smaller_fusions(spec, members_on(members, spec.splits[0]), decision, metric, speeds, by)
        if len(kept) < len(members):
            spec, members, speeds = spec.only(kept), [members[k] for k in kept], [speeds[k] for k in kept]
            decision = decide(spec, members_on(members, spec.splits[0]), metric)
    used = spec.fit if decision.fitted or decision.choice else None
    measured, account, notes = None, None, []
    missing: dict[str, dict[str, int]] = {}
    outputs: dict[str, Fused] = {}
    for split in spec.splits:
        aligned = align(members_on(members, split), kind=decision.kind, missing=spec.missing, scale=decision.scale)
        missing[split] = missing_clips(aligned)
        if split == spec.splits[0]:
            notes = duplicate_notes(aligned)
        if split == spec.fit:
            measured = measure_fusion(aligned, decision.chosen, decision.fitted, metric, decision.equal)
            notes += loss_of_ranks(decision, members_on(members, split), spec, measured, metric)
            if measured and measured.rejected:
                decision, used = decision.fallen_back(), None
            if measured and spec.worth:
                account = account_of(aligned, decision, metric, seed=spec.seed, minutes=spec.minutes)
        outputs[split] = described(decision.chosen.fused(aligned, name=spec.name), decision, members, used)
    record = content_of(spec, members, metric, decision, measured) | speed_content(speeds)
    record["front"] = smaller
    for row, speed in zip(record["members"], speeds, strict=True):
        row |= {"clips_per_s": speed.clips_per_s, "gflops": speed.gflops}
    record |= {"missing_clips": missing, "made_from": made_from, "notes": notes}
    record["worth"] = account.content(first.classes) if account else None
    _write(folder, record, outputs, decision.chosen.learned)
    return Fusion(folder, record, measured)


def _exists(folder: Path) -> UserError:
    return UserError("exists already", file=folder, fix="--name another, or --force to write over it")


def _opened(files: MemberFiles, spec: EnsembleSpec) -> OpenedMember:
    """A member's files, open; those of the fitting split are checked."""
    scores = {split: open_scores(files.files[split]) for split in spec.splits}
    for split, opened in scores.items():
        check_recorded(files.files[split], opened.digest)
        if split == spec.fit:  # it is read several times
            opened.require()
    return OpenedMember(files, scores)


def _made_from(spec: EnsembleSpec, members: list[OpenedMember], speeds: list[MemberSpeed]) -> str:
    """The hash of all that a fusion depends on: options, and members by name, content, weight, speed and GFLOPs."""
    options = spec.model_dump(mode="json", exclude={"members"})
    of_members = [
        [
            one.files.name,
            {split: opened.digest for split, opened in one.scores.items()},
            said.weight,
            speed.clips_per_s,
            speed.gflops,
        ]
        for one, said, speed in zip(members, spec.members, speeds, strict=True)
    ]
    return sha256_text(json.dumps([__version__, options, of_members]))


def _is_whole(folder: Path, made_from: str) -> bool:
    """Whether ``folder`` holds the fusion made from just this, with every file as it was written."""
    try:
        record = read_record(folder / RECORD)
    except DamagedRecordError:
        return False
    if record.made_from != made_from:
        return False
    arrays = record.arrays
    if arrays is not None and not is_file_of(folder / arrays.path, arrays.sha256):
        return False
    return all(holds(folder / item.path, item.digest) for item in record.outputs.values())


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


def _write(folder: Path, record: dict[str, Any], outputs: dict[str, Fused], learned: Learned) -> None:
    """Write all files at once; ``fusion.json`` describes the others."""
    stale = _outputs_of(folder / RECORD) - {f"{split}.arrow" for split in outputs}
    with file_group(folder / RECORD, folder) as group:
        files: dict[str, dict[str, Any]] = {}
        for split, rows in outputs.items():
            name = f"{split}.arrow"
            digest = write_blocks(group.place(name), rows, rows.blocks())
            files[split] = {"path": name, "digest": digest, "clips": len(rows)}
        arrays = {"path": ARRAYS, "sha256": write_learned(group.place(ARRAYS), learned)}
        text = json.dumps(record | {"arrays": arrays, "outputs": files}, indent=2, ensure_ascii=False) + "\n"
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
