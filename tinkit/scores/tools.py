"""What is done with score files between testing and fusing: labels put in, shards merged, two compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.errors import UserError
from tinkit.metrics import Metrics, evaluate
from tinkit.scores.table import COLUMNS, ArrowColumn, ScoreInfo, ScoreTable, as_arrow, label_matrix


@dataclass(frozen=True)
class Difference:
    """How two tables differ.

    ``facts``: metadata that differs, as (first, second); classes are counted only. ``only_first``, ``only_second``:
    how many ids. Of the ``shared`` clips: ``reordered`` whether their order differs; ``labels`` and ``validity`` how
    many differ in these; ``largest`` and ``mean`` absolute differences of scores that both have, the largest at the
    clip ``largest_id``; ``same_top1`` the share of clips with the same first class. None where nothing is shared.
    """

    facts: dict[str, tuple[str, str]]
    only_first: int
    only_second: int
    shared: int
    reordered: bool
    labels: int
    validity: int
    largest: float | None
    largest_id: str | None
    mean: float | None
    same_top1: float | None

    @property
    def same_rows(self) -> bool:
        """Whether clips, order, labels and scores are all equal."""
        unlike = self.only_first or self.only_second or self.reordered or self.labels or self.validity or self.largest
        return not unlike and "classes" not in self.facts


def measure(table: ScoreTable) -> Metrics | None:
    """The task's metrics of a table, or None when no clip has both labels and scores."""
    if not table.labelled:
        return None
    measured = evaluate(table.scores, label_matrix(table), table.info.task, valid=table.valid)
    return measured if measured.counts["measured"] else None


def with_labels(table: ScoreTable, labels: Mapping[str, tuple[int, ...]], file: Path | None = None) -> ScoreTable:
    """``table`` with the labels of ``labels`` (by id) in the place of its own; ``file`` is named in errors.

    Raises UserError for a clip that ``labels`` lacks, and for a label that the classes do not have.
    """
    known = []
    for name in table.ids:
        if name not in labels:
            raise UserError(f"has no answer for clip {name!r}", file=file, expected="an answer for every clip scored")
        if max(labels[name], default=0) >= len(table.info.classes):
            raise UserError(
                f"clip {name!r} has labels {list(labels[name])}",
                file=file,
                expected=f"0..{len(table.info.classes) - 1}",
            )
        known.append(labels[name])
    return dataclasses.replace(table, labels=known)


def merge_tables(tables: Sequence[ScoreTable], paths: Sequence[Path]) -> ScoreTable:
    """Shards of one split, one after the other; ``paths`` (one each) are named in errors.

    Raises UserError when their metadata differ in anything but ``hashes`` (of which the common ones are kept), and for
    a clip that two hold.
    """
    first = tables[0]
    for table, path in zip(tables[1:], paths[1:], strict=True):
        for name in unlike_facts(first.info, table.info, skip=("hashes", "gflops")):
            raise UserError(
                f"has other {name} than {paths[0]}", file=path, expected="shards of one split, made by one model"
            )
    hashes = set.intersection(*(set(table.info.hashes.items()) for table in tables))
    cost = next((table.info.gflops for table in tables if table.info.gflops is not None), None)
    return joined_rows(dataclasses.replace(first.info, hashes=dict(sorted(hashes)), gflops=cost), tables, paths)


def joined_rows(info: ScoreInfo, tables: Sequence[ScoreTable], paths: Sequence[Path]) -> ScoreTable:
    """The rows of ``tables``, one after the other, as a table of ``info``. UserError for a clip that two hold."""
    columns = {
        name: ArrowColumn(pa.concat_arrays([as_arrow(getattr(table, name), kind) for table in tables]))
        for name, kind in COLUMNS.items()
    }
    owner = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    codes = columns["ids"].array.dictionary_encode().indices.to_numpy()
    _, begin, count = np.unique(codes, return_index=True, return_counts=True)
    if (count > 1).any():
        row = int(begin[count > 1].min())
        again = int(np.flatnonzero(codes == codes[row])[1])
        raise UserError(f"clip {columns['ids'][row]!r} is in {paths[owner[row]]} too", file=paths[owner[again]])
    return ScoreTable(
        info=info,
        ids=columns["ids"],
        scores=np.concatenate([table.scores for table in tables]),
        valid=np.concatenate([table.valid for table in tables]),
        labels=columns["labels"],
        source=columns["source"],
    )


def same_tables(first: ScoreTable, second: ScoreTable) -> bool:
    """Whether two tables would be the same file: metadata, rows, and every bit of the scores."""
    alike = all(
        as_arrow(getattr(first, name), kind).equals(as_arrow(getattr(second, name), kind))
        for name, kind in COLUMNS.items()
    )
    return (
        first.info == second.info
        and alike
        and np.array_equal(first.valid, second.valid)
        and np.array_equal(first.scores[first.valid].view(np.uint32), second.scores[second.valid].view(np.uint32))
    )


def diff_tables(first: ScoreTable, second: ScoreTable) -> Difference:
    """Compare two tables clip by clip; scores only where the classes are the same."""
    a, b = (as_arrow(table.ids, COLUMNS["ids"]) for table in (first, second))
    place = pc.index_in(a, value_set=b)
    in_first = np.flatnonzero(place.is_valid().to_numpy(zero_copy_only=False))
    in_second = place.drop_null().to_numpy().astype(np.int64)
    shared = len(in_first)
    labels = sum(
        mine != theirs
        for mine, theirs in zip(
            ArrowColumn(as_arrow(first.labels, COLUMNS["labels"]).take(pa.array(in_first))),
            ArrowColumn(as_arrow(second.labels, COLUMNS["labels"]).take(pa.array(in_second))),
            strict=True,
        )
    )
    both = first.valid[in_first] & second.valid[in_second]
    comparable = first.info.classes == second.info.classes and bool(both.any())
    rows = np.flatnonzero(both) if comparable else np.zeros(0, np.int64)
    worst, total, same, worst_row = -1.0, 0.0, 0, 0
    for start in range(0, len(rows), 4096):
        part = rows[start : start + 4096]
        mine, theirs = first.scores[in_first[part]], second.scores[in_second[part]]
        gaps = np.abs(mine.astype(np.float64) - theirs)
        same += int(np.count_nonzero(mine.argmax(axis=1) == theirs.argmax(axis=1)))
        total += float(gaps.sum())
        if gaps.max() > worst:
            worst, worst_row = float(gaps.max()), int(in_first[part[gaps.max(axis=1).argmax()]])
    return Difference(
        facts=unlike_facts(first.info, second.info),
        only_first=len(first) - shared,
        only_second=len(second) - shared,
        shared=shared,
        reordered=bool((np.diff(in_second) < 0).any()),
        labels=labels,
        validity=int(np.count_nonzero(first.valid[in_first] != second.valid[in_second])),
        largest=worst if comparable else None,
        largest_id=first.ids[worst_row] if comparable else None,
        mean=total / (len(rows) * len(first.info.classes)) if comparable else None,
        same_top1=same / len(rows) if comparable else None,
    )


def unlike_facts(first: ScoreInfo, second: ScoreInfo, skip: Sequence[str] = ()) -> dict[str, tuple[str, str]]:
    """The fields in which two infos differ, with both values in words."""
    unlike = {}
    for item in dataclasses.fields(ScoreInfo):
        a, b = getattr(first, item.name), getattr(second, item.name)
        if item.name not in skip and a != b:
            unlike[item.name] = (_in_words(item.name, a), _in_words(item.name, b))
    return unlike


def _in_words(name: str, value: object) -> str:
    if name == "classes" and isinstance(value, tuple):
        return f"{len(value)} classes"
    if isinstance(value, dict):
        return ", ".join(f"{key} {str(text)[:12]}" for key, text in value.items())
    return ", ".join(value) if isinstance(value, tuple) else str(value)
