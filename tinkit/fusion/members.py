"""Members side by side: every member's scores for the same clips, in the same order, of the same kind.

Alignment is by id. Whatever cannot be aligned is an error that names the member and the clip; nothing is dropped,
guessed or reordered silently, except that the order of rows may differ between members.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.files.large import large_array
from tinkit.fusion.ways.spread import sampled_spread
from tinkit.scores import Kind, Labels, OpenScores, ScoreInfo, ScoreTable, check_scores, to_kind
from tinkit.scores.checks import all_differ
from tinkit.scores.table import COLUMNS, ArrowColumn, as_arrow

Missing = Literal["error", "mean"]


@dataclass(frozen=True)
class Member:
    """One model in a fusion: its name there and its scores for one split; ``path`` is where they were read from.

    ``opened`` is its open file, where the scores are compared with their checksum, and found finite, as they are used.
    """

    name: str
    table: ScoreTable
    path: Path | None = None
    opened: OpenScores | None = None


@dataclass(frozen=True, eq=False)
class Aligned:
    """M members over the same N clips of one split.

    ``scores``: for each member (N, C) float32, NaN rows where ``valid`` (M, N) of bool is False. ``infos`` are the
    members' own, ``kind`` what ``scores`` are now. ``ids``, ``labels`` and ``source`` as in a ScoreTable. ``pending``
    are the members whose scores are to be checked as they are used, by their numbers.
    """

    names: tuple[str, ...]
    infos: tuple[ScoreInfo, ...]
    kind: Kind
    ids: Sequence[str]
    scores: tuple[NDArray[np.float32], ...]
    valid: NDArray[np.bool_]
    labels: Sequence[Labels]
    source: Sequence[str]
    pending: Mapping[int, Member] = field(default_factory=dict)

    @cached_property
    def spreads(self) -> NDArray[np.float64]:
        """How far the scores of each member spread, (M,)."""
        return np.array([sampled_spread(own) for own in self.scores])

    @property
    def missing(self) -> dict[str, int]:
        """How many clips each member has no scores for (members that miss none are left out)."""
        lacking = np.count_nonzero(~self.valid, axis=1)
        return {name: int(count) for name, count in zip(self.names, lacking, strict=True) if count}


def align(
    members: Sequence[Member],
    *,
    kind: Kind | None = None,
    missing: Missing = "error",
    scale: NDArray[np.float64] | None = None,
) -> Aligned:
    """Put ``members`` in the row order of the first and turn their scores into ``kind`` (None: they must agree).

    ``scale`` (M,): what to multiply each member's logits with before they are turned into another kind.

    Raises :class:`~tinkit.errors.UserError`, naming the member and the clip, when a clip is missing, doubled or not
    scored (unless ``missing`` is ``"mean"``), when known labels disagree, and when data set, version, split, task or
    classes and their order are not those of the first. Labels that one member does not know are taken from another.
    """
    if not members:
        raise UserError("no members to fuse")
    names = tuple(member.name for member in members)
    if doubled := [name for name in names if names.count(name) > 1]:
        raise UserError(f"two members are called {doubled[0]!r}", fix="give one another name")
    first = members[0]
    for member in members[1:]:
        _check_alike(first, member, also_kind=kind is None)
    ids = as_arrow(first.table.ids, COLUMNS["ids"])
    columns: list[NDArray[np.float32]] = []
    valid = np.empty((len(members), len(ids)), bool)
    labels = as_arrow(first.table.labels, COLUMNS["labels"])
    for number, member in enumerate(members):
        order = _order(first, member, ids)
        as_it_is = order is None and (kind or member.table.info.kind) == member.table.info.kind
        if member.opened is None:
            check_scores(member.table, member.path)  # before a conversion makes a number of what is not finite
        elif not as_it_is:
            member.opened.require()
        table = _converted(member, kind or first.table.info.kind, 1.0 if scale is None else float(scale[number]))
        columns.append(table.scores if order is None else table.scores[order])
        valid[number] = table.valid if order is None else table.valid[order]
        own = as_arrow(table.labels, COLUMNS["labels"])
        labels = _joined_labels(labels, own if order is None else own.take(order), ids, member)
    if missing == "error":
        _refuse_missing(members, valid, ids)
    return Aligned(
        names=names,
        infos=tuple(member.table.info for member in members),
        kind=kind or first.table.info.kind,
        ids=ArrowColumn(ids),
        scores=tuple(columns),
        valid=valid,
        labels=ArrowColumn(labels),
        source=_sources(members, ids),
        pending={number: one for number, one in enumerate(members) if one.opened is not None and one.opened.pending},
    )


def _check_alike(first: Member, member: Member, *, also_kind: bool) -> None:
    a, b = first.table.info, member.table.info
    for name in ("dataset", "dataset_version", "split", "task", *(["kind"] if also_kind else [])):
        if getattr(a, name) != getattr(b, name):
            raise UserError(
                f"member {member.name!r} has {name} {getattr(b, name)!r}, {first.name!r} has {getattr(a, name)!r}",
                file=member.path,
                expected="members of one data set, version, split and task",
            )
    if a.classes == b.classes:
        return
    if len(a.classes) != len(b.classes):
        problem = f"member {member.name!r} has {len(b.classes)} classes, {first.name!r} has {len(a.classes)}"
    else:
        index = next(i for i, pair in enumerate(zip(a.classes, b.classes, strict=True)) if pair[0] != pair[1])
        order = "the same classes in another order" if set(a.classes) == set(b.classes) else "other classes"
        problem = f"member {member.name!r} has {order}: class {index} is {b.classes[index]!r}, not {a.classes[index]!r}"
    raise UserError(problem, file=member.path, expected=f"the classes of {first.name!r}, in their order")


def _order(first: Member, member: Member, ids: pa.Array) -> pa.Array | None:
    """Which rows of ``member`` are the rows ``ids``, as int64; None where its order is the same already."""
    own = as_arrow(member.table.ids, COLUMNS["ids"])
    if member is not first and own.equals(ids):  # the first one's are known to be there once
        return None
    if not all_differ(own):
        codes = own.dictionary_encode()
        counts = np.bincount(codes.indices.to_numpy())
        raise _about_ids(member, "has a clip twice", codes.dictionary.filter(pa.array(counts > 1)))
    if member is first:
        return None
    order = pc.index_in(ids, value_set=own)
    if order.null_count:
        fix = "test all members on the same clips (a clip that one could not decode has a row without scores)"
        raise _about_ids(member, f"lacks clips that {first.name!r} has", ids.filter(order.is_null()), fix)
    if len(own) > len(ids):
        known = pc.is_in(own, value_set=ids)
        raise _about_ids(member, f"has clips that {first.name!r} lacks", own.filter(pc.invert(known)))
    return order.cast(pa.int64())


def _converted(member: Member, kind: Kind, scale: float) -> ScoreTable:
    table = member.table
    if scale != 1 and table.info.kind == "logits" and kind != "logits":
        scaled = np.multiply(table.scores, np.float32(scale), out=large_array(table.scores.shape))
        table = dataclasses.replace(table, scores=scaled)
    try:
        return to_kind(table, kind)
    except UserError as error:
        raise UserError(f"member {member.name!r}: {error.problem}", file=member.path, fix=error.fix) from error


def _joined_labels(labels: pa.Array, own: pa.Array, ids: pa.Array, member: Member) -> pa.Array:
    """``labels``, completed by the member's; two known ones that differ (as sets) are an error."""
    if own.equals(labels) or own.null_count == len(own):
        return labels
    joined = list(ArrowColumn(labels))
    for row, (known, theirs) in enumerate(zip(joined, ArrowColumn(own), strict=True)):
        if known is None:
            joined[row] = theirs
        elif theirs is not None and set(known) != set(theirs):
            raise UserError(
                f"member {member.name!r} says that clip {ids[row].as_py()!r} has labels {list(theirs)}, "
                f"the members before it say {list(known)}",
                file=member.path,
                fix="test all members with the same annotations",
            )
    return pa.array(joined, COLUMNS["labels"])


def _refuse_missing(members: Sequence[Member], valid: NDArray[np.bool_], ids: pa.Array) -> None:
    for member, own in zip(members, valid, strict=True):
        if not own.all():
            raise _about_ids(
                member,
                "has no scores for clips (they could not be decoded, or have no sound)",
                ids.filter(pa.array(~own)),
                fix="say --missing mean to take the mean of the members that have scores",
            )


def _sources(members: Sequence[Member], ids: pa.Array) -> Sequence[str]:
    """The sources of the first member that knows any (imported scores often have their ids for sources)."""
    for member in members:
        own_ids = as_arrow(member.table.ids, COLUMNS["ids"])
        source = as_arrow(member.table.source, COLUMNS["source"])
        if not source.equals(own_ids):
            return ArrowColumn(source if own_ids.equals(ids) else source.take(pc.index_in(ids, value_set=own_ids)))
    return ArrowColumn(ids)


def _about_ids(member: Member, problem: str, ids: pa.Array, fix: str | None = None) -> UserError:
    shown = ", ".join(repr(name) for name in ids[:3].to_pylist())
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    return UserError(f"member {member.name!r} {problem}: {shown}{more}", file=member.path, fix=fix)
