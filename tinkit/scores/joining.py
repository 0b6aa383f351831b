"""Score files that become one member: out-of-fold parts put together, seeds, snapshots or views averaged."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.scores.kinds import to_kind
from tinkit.scores.table import COLUMNS, ArrowColumn, Kind, ScoreInfo, ScoreTable, as_arrow
from tinkit.scores.tools import joined_rows, unlike_facts

Missing = Literal["error", "mean"]
_BLOCK = 1 << 20  # score values averaged at a time
_ONE_SPLIT = ("kind", "task", "dataset", "dataset_version", "split")
_ONE_PROTOCOL = ("views", "average", "protocol", "view")


class ReadTable(NamedTuple):
    """A score file that was read: its rows, where it lies, and the SHA-256 of its bytes."""

    table: ScoreTable
    path: Path
    digest: str


def join_parts(parts: Sequence[ReadTable], run: str | None = None) -> ScoreTable:
    """Out-of-fold predictions of one split as one member: every clip scored by a model that was trained without it.

    The parts' models may differ in weights and run; the result is called ``run``, or as all of them. It counts as not
    trained on the split: that each part was is the caller's word. Classes are put in the order of the first by name.

    Raises :class:`~tinkit.errors.UserError` where the parts are not of one split and protocol, and for a clip that two
    of them hold.
    """
    first = parts[0].table.info
    for part in parts[1:]:
        _require_alike(parts[0], part, (*_ONE_SPLIT, *_ONE_PROTOCOL))
    tables = [in_class_order(part.table, first.classes, part.path) for part in parts]
    info = _joined_info(parts, _name(parts, run), "part")
    info = dataclasses.replace(info, gflops=_common([part.table.info.gflops for part in parts]))
    seen = tuple(name for name in info.trained_on if name != info.split)
    return joined_rows(dataclasses.replace(info, trained_on=seen), tables, [part.path for part in parts])


def mean_of(
    members: Sequence[ReadTable], run: str | None = None, *, kind: Kind | None = None, missing: Missing = "error"
) -> ScoreTable:
    """The mean over several seeds, snapshots or views of one model: the same clips, classes put in order by name.

    Scores are averaged as ``kind``, or as they are where all are of one. A clip without scores in some of them is an
    error, or averaged over the rest (``missing="mean"``). Raises :class:`~tinkit.errors.UserError` where they are not
    of one split or have other clips, and for labels that differ.
    """
    first = members[0]
    facts = _ONE_SPLIT[1:] if kind else _ONE_SPLIT
    for member in members[1:]:
        _require_alike(first, member, facts)
    ids = as_arrow(first.table.ids, COLUMNS["ids"])
    base = first.table
    total = np.zeros(base.scores.shape, np.float64 if len(base) < 1 << 16 else np.float32)
    count = np.zeros(len(base), np.int64)
    labels = as_arrow(base.labels, COLUMNS["labels"])
    for member in members:
        table = in_class_order(member.table, base.info.classes, member.path)
        rows = _rows_of(ids, table, member.path, first.path)
        table = to_kind(table, kind or base.info.kind)
        valid = table.valid[rows]
        if missing == "error" and not valid.all():
            name = ids[int(np.flatnonzero(~valid)[0])].as_py()
            raise UserError(
                f"has no scores for {int((~valid).sum())} clips, {name!r} among them",
                file=member.path,
                fix="say --missing mean to take the mean of the files that have scores",
            )
        labels = _same_labels(labels, as_arrow(table.labels, COLUMNS["labels"]).take(pa.array(rows)), ids, member.path)
        step = max(1, _BLOCK // base.scores.shape[1])
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            total[part] += np.where(valid[part, None], table.scores[rows[part]], 0)
        count += valid
    with np.errstate(invalid="ignore"):
        scores = (total / np.where(count, count, np.nan)[:, None]).astype(np.float32)
    info = _joined_info(members, _name(members, run), "member")
    costs = [member.table.info.gflops for member in members]
    info = dataclasses.replace(
        info,
        kind=kind or base.info.kind,
        view=_common([member.table.info.view for member in members]),
        gflops=sum(cost for cost in costs if cost) if all(costs) else None,
    )
    return dataclasses.replace(base, info=info, scores=scores, valid=count > 0, labels=ArrowColumn(labels))


def in_class_order(table: ScoreTable, classes: tuple[str, ...], path: Path) -> ScoreTable:
    """``table`` with its columns, and labels, in the order of ``classes``, which are the same names.

    Raises :class:`~tinkit.errors.UserError` naming a class that one of them lacks.
    """
    own = table.info.classes
    if own == classes:
        return table
    if set(own) != set(classes):
        odd = next((name for name in own if name not in set(classes)), None) or next(
            name for name in classes if name not in set(own)
        )
        raise UserError(
            f"has {len(own)} classes, of which {odd!r} is not in both files", file=path, expected="the same classes"
        )
    place = {name: index for index, name in enumerate(own)}
    order = np.array([place[name] for name in classes])
    new_place = np.argsort(order)
    labels = [None if one is None else tuple(sorted(int(new_place[k]) for k in one)) for one in table.labels]
    info = dataclasses.replace(table.info, classes=classes)
    return dataclasses.replace(table, info=info, scores=table.scores[:, order], labels=labels)


def duplicates(tables: Sequence[ScoreTable]) -> list[tuple[int, int]]:
    """Pairs (places in ``tables``) with exactly the same scores for the clips that both have, at least one.

    The order of rows may differ, that of classes not.
    """
    found = []
    for second in range(1, len(tables)):
        for first in range(second):
            if _same_scores(tables[first], tables[second]):
                found.append((first, second))
                break
    return found


def _same_scores(first: ScoreTable, second: ScoreTable) -> bool:
    if first.info.classes != second.info.classes or first.info.kind != second.info.kind:
        return False
    a, b = (as_arrow(table.ids, COLUMNS["ids"]) for table in (first, second))
    if a.equals(b):
        mine = theirs = np.arange(len(a))
    else:
        place = pc.index_in(a, value_set=b)
        mine = np.flatnonzero(place.is_valid().to_numpy(zero_copy_only=False))
        theirs = place.drop_null().to_numpy().astype(np.int64)
    if not len(mine) or not np.array_equal(first.valid[mine], second.valid[theirs]) or not first.valid[mine].any():
        return False
    step = max(1, _BLOCK // first.scores.shape[1])
    return all(
        np.array_equal(
            first.scores[mine[start : start + step]], second.scores[theirs[start : start + step]], equal_nan=True
        )
        for start in range(0, len(mine), step)
    )


def _require_alike(first: ReadTable, other: ReadTable, facts: Sequence[str]) -> None:
    for name, (ours, theirs) in unlike_facts(first.table.info, other.table.info).items():
        if name in facts:
            raise UserError(
                f"has {name} {theirs or 'none'}, and {first.path} has {ours or 'none'}",
                file=other.path,
                expected=f"files that are alike in {', '.join(facts)}",
            )


def _name(members: Sequence[ReadTable], run: str | None) -> str:
    names = {member.table.info.run for member in members}
    if run is None and len(names) > 1:
        raise UserError(
            f"files of {len(names)} runs: {', '.join(sorted(names))}",
            fix="say what they are called together: --run NAME",
        )
    return run or names.pop()


def _joined_info(members: Sequence[ReadTable], run: str, word: str) -> ScoreInfo:
    infos = [member.table.info for member in members]
    first = infos[0]
    protocol = {
        name: value for name, value in first.protocol.items() if all(i.protocol.get(name) == value for i in infos)
    }
    return dataclasses.replace(
        first,
        run=run,
        views=_common([info.views for info in infos]) or "",
        average=_common([info.average for info in infos]) or "",
        weights=_common([info.weights for info in infos]) or "",
        protocol=protocol,
        trained_on=tuple(dict.fromkeys(split for info in infos for split in info.trained_on)),
        trial=any(info.trial for info in infos),
        hashes={f"{word}:{number}": member.digest for number, member in enumerate(members, 1)},
        gflops=None,
    )


def _common(values: Sequence[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else None


def _rows_of(ids: pa.Array, table: ScoreTable, path: Path, first: Path) -> NDArray[np.int64]:
    """The rows of ``table`` that are the clips ``ids``, which have to be all of its clips."""
    own = as_arrow(table.ids, COLUMNS["ids"])
    place = pc.index_in(ids, value_set=own)
    if place.null_count:
        name = ids.filter(place.is_null())[0].as_py()
        raise UserError(f"lacks {place.null_count} clips that {first} has, {name!r} among them", file=path)
    if len(own) != len(ids):
        name = own.filter(pc.invert(pc.is_in(own, value_set=ids)))[0].as_py()
        raise UserError(f"has {len(own) - len(ids)} clips that {first} lacks, {name!r} among them", file=path)
    return np.asarray(place.to_numpy(zero_copy_only=False), np.int64)


def _same_labels(labels: pa.Array, own: pa.Array, ids: pa.Array, path: Path) -> pa.Array:
    """``labels``, completed by ``own``; known ones that differ are an error."""
    if own.equals(labels) or own.null_count == len(own):
        return labels
    known, theirs = list(ArrowColumn(labels)), list(ArrowColumn(own))
    for row, (mine, other) in enumerate(zip(known, theirs, strict=True)):
        if mine is not None and other is not None and set(mine) != set(other):
            raise UserError(
                f"says that clip {ids[row].as_py()!r} has labels {list(other)}, the files before it {list(mine)}",
                file=path,
            )
    joined = [other if mine is None else mine for mine, other in zip(known, theirs, strict=True)]
    return pa.array(joined, COLUMNS["labels"])
