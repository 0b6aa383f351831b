"""``make bench-fusion``: what ``auto`` is worth on made-up members, beside search and plain means, and what it says.

Of every world (:mod:`benchmarks.fusion_worlds`) and task a number of draws, each of a new world: fitted on some clips,
judged on fresh ones. Values are points of ``sample_map`` or ``top1``. The table goes to
``benchmarks/results/fusion.csv``, one row a world and task, each with the machine.

What ``auto`` says of itself is held against fresh clips. Both are samples: the luck of the labelled clips is told apart
by the same way as learned from other clips, which it owes nothing. What that measures on the labelled clips above what
it measures on the fresh ones is luck, and no estimate from those labels can know it. ``oracle`` is the mean error of
one who makes no other: who is told the way, and measures it on the labelled clips.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.fusion_trained import Digits
from benchmarks.fusion_worlds import SETTINGS, Drawn, World
from benchmarks.machine import machine
from tinkit.fusion import METHODS, Combination, Examples, Member, Options, align
from tinkit.fusion.choosing.choice import choose
from tinkit.fusion.choosing.crossfit import labelled, learn, options_for
from tinkit.fusion.choosing.estimate import by_source, standard_error
from tinkit.fusion.combine import equal_mean
from tinkit.fusion.methods import FusionMethod
from tinkit.fusion.scales import to_one_spread
from tinkit.fusion.ways.mean import weighted_mean
from tinkit.fusion.ways.spread import spreads
from tinkit.metrics import METRICS, MetricName, Task, challenge_metric, check_metric
from tinkit.scores import ScoreInfo, ScoreTable

RESULTS = Path(__file__).parent / "results" / "fusion.csv"
COLUMNS = (
    "date", "machine", "world", "task", "draws", "fitted on", "classes", "auto over equal mean",
    "search over equal mean", "auto over search", "better than search", "below a plain mean", "worse than equal",
    "over a constant ranking", "estimate less fresh", "optimistic less fresh", "mean |estimate less fresh|", "oracle",
    "estimate less fresh and luck", "mean |estimate less fresh and luck|", "chosen", "CPU s",
)  # fmt: skip
TRAINED = "digits"  # the world of members that are really trained
_DIGITS = 370  # clips of it
_OTHER = 1_000_000  # seeds of clips that are neither fitted on nor judged on
Row = dict[str, float | str]
Measure = Callable[[NDArray[np.float32]], float]


def main() -> None:
    """Run what is asked for and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--clips", type=int, default=1000, help="to fit on; as many again to judge on, twice")
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--first", type=int, default=0, help="seed of the first draw; what is tuned is tuned on others")
    parser.add_argument("--tasks", nargs="+", choices=get_args(Task), default=get_args(Task))
    parser.add_argument("--worlds", nargs="+", choices=[*SETTINGS, TRAINED], default=list(SETTINGS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--large", action="store_true", help="one draw of 10,000 clips, 313 classes and 13 members")
    asked = parser.parse_args()
    if TRAINED in asked.worlds:
        asked.clips, asked.classes, asked.worlds, asked.tasks = _DIGITS, 10, [TRAINED], ["single-label"]
    if asked.large:
        asked.draws, asked.clips, asked.classes, asked.worlds = 1, 10_000, 313, ["noise"]
    for name in asked.worlds:
        for task in asked.tasks:
            draws = range(asked.first, asked.first + asked.draws)
            rows = [one_draw(name, task, draw, asked.clips, asked.classes) for draw in draws]
            row = summary(rows) | {"world": name, "task": task, "fitted on": asked.clips, "classes": asked.classes}
            store({column: str(row[column]) for column in COLUMNS}, asked.out)
            print("  ".join(f"{column}: {row[column]}" for column in COLUMNS[2:]), flush=True)


def one_draw(name: str, task: Task, draw: int, clips: int, classes: int) -> Row:
    """What each way gives on fresh clips, in points over the equal mean, and what ``auto`` said of itself."""
    given, fresh, other = _drawn(name, task, draw, clips, classes)
    metric = check_metric(challenge_metric(task), task)
    measure = METRICS[metric].on(fresh.labels)
    started = time.process_time()
    members = _members(given, task)
    scale = to_one_spread(members)
    row, fitted, choice = choose(
        lambda kind: align(members, kind=kind, scale=scale), ["logits"] * len(members), metric, seed=draw, minutes=60
    )
    seconds = time.process_time() - started
    unseen = _members(fresh, task)

    def points(combination: Combination, kind: str, by: NDArray[np.float64] | None) -> float:
        table = combination.table(align(unseen, kind=kind, scale=by))  # type: ignore[arg-type]
        return 100 * measure(table.scores)

    plain = equal_mean(len(members))
    equal, probable = points(plain, "logits", None), points(plain, "probabilities", None)
    auto = points(Combination(row.apply, fitted.learned, row.gives), row.takes or "logits", scale)
    alike = {"weights": 1 / spreads(given.scores)}
    standard = points(Combination(plain.apply, alike), "logits", None)
    luck = _luck(given, fresh, _members(other, task), row, metric)
    constant = np.broadcast_to(fresh.labels.mean(axis=0), fresh.labels.shape).astype(np.float32)
    return {
        "auto": auto - equal,
        "search": points(_searched(given, metric), "logits", None) - equal,
        "plain": max(0.0, probable - equal),
        "constant": auto - 100 * measure(constant),
        "estimate": 100 * choice.improvement.value - (auto - standard),
        "optimistic": 100 * choice.optimistic - (auto - standard),
        "luck": 100 * luck.value,
        "error": 100 * luck.error,
        "chosen": row.name,
        "seconds": seconds,
    }


def summary(rows: list[Row]) -> Row:
    """The means over the draws, and in how many something was so."""
    by_name = {name: np.array([row[name] for row in rows]) for name in rows[0] if name != "chosen"}
    gap = by_name["auto"] - by_name["search"]
    names = [str(row["chosen"]) for row in rows]
    return {
        "date": date.today().isoformat(),
        "machine": machine("numpy", "scipy"),
        "draws": len(rows),
        "auto over equal mean": _mean(by_name["auto"]),
        "search over equal mean": _mean(by_name["search"]),
        "auto over search": _mean(gap),
        "better than search": _share(gap > 0),
        "below a plain mean": _share(by_name["auto"] < by_name["plain"]),
        "worse than equal": _share(by_name["auto"] < 0),
        "over a constant ranking": _mean(by_name["constant"]),
        "estimate less fresh": _mean(by_name["estimate"]),
        "optimistic less fresh": _mean(by_name["optimistic"]),
        "mean |estimate less fresh|": f"{np.abs(by_name['estimate']).mean():.2f}",
        "oracle": f"{(2 / np.pi) ** 0.5 * by_name['error'].mean():.2f}",
        "estimate less fresh and luck": _mean(by_name["estimate"] - by_name["luck"]),
        "mean |estimate less fresh and luck|": f"{np.abs(by_name['estimate'] - by_name['luck']).mean():.2f}",
        "chosen": ", ".join(f"{name} {names.count(name)}" for name in METHODS if name in names),
        "CPU s": f"{by_name['seconds'].mean():.1f}",
    }


def store(row: dict[str, str], path: Path) -> None:
    """Put ``row`` into the table at ``path``, in the place of one of the same machine, world, task and size."""
    key = ("machine", "world", "task", "fitted on", "classes")
    kept = []
    if path.is_file():
        with path.open(newline="") as handle:
            kept = [old for old in csv.DictReader(handle) if any(old[name] != row[name] for name in key)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator=os.linesep)
        writer.writeheader()
        writer.writerows([*kept, row])


def _members(drawn: Drawn, task: Task) -> list[Member]:
    classes = tuple(f"class {number}" for number in range(drawn.labels.shape[1]))
    info = ScoreInfo("logits", task, classes, "world", "1", "val")
    ids = [str(clip) for clip in range(len(drawn.labels))]
    labels = [tuple(np.flatnonzero(row).tolist()) for row in drawn.labels]
    sources = [str(number) for number in drawn.source]
    valid = np.ones(len(ids), bool)
    return [
        Member(f"member {number}", ScoreTable(info, ids, own, valid, [*labels], sources))
        for number, own in enumerate(drawn.scores)
    ]


def _drawn(name: str, task: Task, draw: int, clips: int, classes: int) -> tuple[Drawn, Drawn, Drawn]:
    """Clips of one world: to fit on, to judge on (twice as many), and, as many as the first, for neither."""
    if name == TRAINED:
        digits = Digits(draw)
        return digits.draw(clips), digits.draw(2 * clips), digits.draw(clips)
    world = World(draw, task, SETTINGS[name], classes)
    return world.draw(2 * draw, clips), world.draw(2 * draw + 1, 2 * clips), world.draw(_OTHER + draw, clips)


@dataclass(frozen=True)
class _Luck:
    """What a way measures on the labelled clips above what it does on the fresh ones, and the error of that."""

    value: float
    error: float


def _luck(given: Drawn, fresh: Drawn, others: list[Member], row: FusionMethod, metric: MetricName) -> _Luck:
    """The luck of ``given``: of the way ``row`` over the equal mean, with what ``others``, of neither, have taught."""
    scale = to_one_spread(others)
    known = labelled(align(others, kind=row.takes or "logits", scale=scale), 0)
    learned = learn(row, known, np.arange(known.rows.size), options_for(known.aligned, metric, 0, {}))
    alike = {"weights": 1 / spreads([one.table.scores for one in others])}
    values, errors = [], []
    for drawn in (given, fresh):
        members = _members(drawn, others[0].table.info.task)
        own = Combination(row.apply, learned, row.gives).table(align(members, kind=row.takes or "logits", scale=scale))
        plain = Combination(weighted_mean, alike).table(align(members, kind="logits"))
        first, second = (by_source(metric, one.scores, drawn.labels, drawn.source) for one in (own, plain))
        values.append(first.value - second.value)
        errors.append(standard_error(first, second))
    return _Luck(values[0] - values[1], float(np.hypot(*errors)))


def _searched(given: Drawn, metric: MetricName) -> Combination:
    """The way ``search`` as it was before members were divided by their spread."""
    from tinkit.fusion.ways.search import search_weights

    options = Options(len(given.scores), given.labels.shape[1], metric)
    examples = Examples(given.scores, given.labels, given.source)
    weights = search_weights(examples.scores, METRICS[options.metric].on(examples.labels), seed=options.seed)
    return Combination(METHODS["search"].apply, {"weights": weights})


def _mean(values: NDArray[np.float64]) -> str:
    spread = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{values.mean():.2f} +- {spread:.2f}"


def _share(values: NDArray[np.bool_]) -> str:
    return f"{100 * values.mean():.0f}%"


if __name__ == "__main__":
    main()
