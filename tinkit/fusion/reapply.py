"""A fusion that was fitted before, applied to another split of the same members, in whatever process."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from tinkit.errors import UserError
from tinkit.files.group import file_group, recover, writing_in
from tinkit.fusion.arrays import Learned
from tinkit.fusion.combine import Combination, Fused
from tinkit.fusion.content import missing_clips
from tinkit.fusion.members import Member, align
from tinkit.fusion.methods import METHODS
from tinkit.fusion.record import (
    RECORD,
    FusionRecord,
    check_recorded,
    damaged_record,
    holds,
    read_record,
    record_content,
)
from tinkit.fusion.saved import read_learned
from tinkit.fusion.saved_members import SavedFusion, input_of
from tinkit.metrics import Metrics, evaluate
from tinkit.scores import ScoreInfo, label_matrix, open_scores, read_info, read_scores, write_blocks

_MOST_NUMBERS = 1 << 25  # of an array that was learned


@dataclass(frozen=True, eq=False)
class Applied:
    """What was applied: the score file, clips without scores by member, and metrics if the split has labels.

    ``written`` is False where the same was there already.
    """

    path: Path
    missing: dict[str, int]
    metrics: Metrics | None
    written: bool = True


def apply_fusion(folder: Path, split: str, given: Sequence[Path] = (), *, force: bool = False) -> Applied:
    """Fuse the members' scores of ``split`` with what the fusion in ``folder`` has learned, into ``SPLIT.arrow`` there.

    The members' files are ``given``, or lie beside those that it was made from. Raises :class:`UserError` when a file
    is missing or not of the member that was fused (run, views, weights, checkpoint, kind, classes and their order),
    when a member was trained on the split that the fusion was fitted on, when the record or its arrays are damaged, and
    when the folder holds other scores of that split (unless ``force``).
    """
    head = folder / RECORD
    with writing_in(folder, folder):
        recover(head)
        record, saved, content = _opened(head)
        paths = [input_of(member, saved, split, given) for member in saved.members]
        for path in given:
            if path.resolve() not in {own.resolve() for own in paths}:
                raise UserError(f"is of no member of {folder}, or not of split {split!r}", file=path)
        read = [open_scores(path) for path in paths]
        digests = [opened.digest for opened in read]
        for path, digest in zip(paths, digests, strict=True):
            check_recorded(path, digest)
        target = folder / f"{split}.arrow"
        if split in record.outputs and not force:
            for opened in read:
                opened.require()
            _refuse_other(record.outputs[split].digest, target, saved, digests)
            return Applied(target, {}, None, written=False)
        named = zip(saved.members, read, paths, strict=True)
        members = [Member(one.name, opened.table, path, opened) for one, opened, path in named]
        row = METHODS[saved.chosen]
        combination = Combination(row.apply, _learned(record, saved, folder), row.gives)
        scale = np.array([one.scaled_by for one in saved.members])
        aligned = align(members, kind=saved.takes, missing=saved.missing, scale=scale)
        fused = combination.fused(aligned, name=saved.name)
        fused = dataclasses.replace(fused, info=_described(content, folder, fused.info, saved, digests))
        lacking = missing_clips(aligned)
        _add(head, content, fused, list(zip(map(str, paths), digests, strict=True)), lacking)
        table = read_scores(target)
        if not table.labelled:
            return Applied(target, lacking, None)
        return Applied(target, lacking, evaluate(table.scores, label_matrix(table), saved.task, valid=table.valid))


def _refuse_other(digest: str, target: Path, saved: SavedFusion, digests: Sequence[str]) -> None:
    """Raise a UserError unless ``target`` is what was written of just these files."""
    before = [one.scores[target.stem].digest if target.stem in one.scores else None for one in saved.members]
    if before != list(digests) or not holds(target, digest):
        raise UserError("exists already, of other scores", file=target, fix="--force to write over it")


def _opened(head: Path) -> tuple[FusionRecord, SavedFusion, dict[str, Any]]:
    record, content = read_record(head), record_content(head)
    if record.arrays is None:
        raise UserError(
            "says nothing of what was learned: it was made by an older tinkit",
            file=head,
            fix="make the fusion again: `tinkit ensemble ... --force`",
        )
    try:
        saved = SavedFusion.model_validate(content)
    except ValidationError as error:
        raise damaged_record(error, head) from error
    sizes = [int(np.prod(shape, dtype=np.float64)) for shape in saved.shapes.values()]
    row = METHODS.get(saved.chosen)
    if row is None or not set(row.learns) == set(saved.shapes) or not all(0 <= size <= _MOST_NUMBERS for size in sizes):
        raise UserError(f"{saved.chosen!r} is not a way to fuse with the arrays {', '.join(saved.shapes)}", file=head)
    return record, saved, content


def _learned(record: FusionRecord, saved: SavedFusion, folder: Path) -> Learned:
    assert record.arrays is not None
    members, classes = len(saved.members), len(saved.classes)
    for name, shape in saved.shapes.items():
        if any(size not in (1, members, classes) for size in shape):
            raise UserError(f"the array {name!r} has the shape {shape}", file=folder / RECORD)
    shapes = {name: tuple(shape) for name, shape in saved.shapes.items()}
    return read_learned(folder / Path(record.arrays.path).name, shapes, record.arrays.sha256)


def _described(
    content: dict[str, Any], folder: Path, info: ScoreInfo, saved: SavedFusion, digests: Sequence[str]
) -> ScoreInfo:
    """``info`` with the hashes and the splits seen that the fusion's other files have."""
    other = next(iter(content["outputs"].values()))
    beside = read_info(folder / Path(other["path"]).name)
    hashes = {"checkpoint": beside.hashes.get("checkpoint", "")}
    hashes |= {f"member:{one.name}": digest for one, digest in zip(saved.members, digests, strict=True)}
    return dataclasses.replace(info, hashes=hashes, trained_on=beside.trained_on)


def _add(
    head: Path, content: dict[str, Any], fused: Fused, inputs: Sequence[tuple[str, str]], lacking: dict[str, int]
) -> None:
    """Write the scores, and ``fusion.json`` with them in it, both or neither."""
    split = fused.info.split
    for row, (path, digest) in zip(content["members"], inputs, strict=True):
        row["scores"][split] = {"path": path, "digest": digest}
    content["missing_clips"] = content.get("missing_clips", {}) | {split: lacking}
    name = f"{split}.arrow"
    with file_group(head, head.parent) as group:
        digest = write_blocks(group.place(name), fused, fused.blocks())
        content["outputs"][split] = {"path": name, "digest": digest, "clips": len(fused)}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        group.place(RECORD).write_text(text, encoding="utf-8", errors="backslashreplace")
