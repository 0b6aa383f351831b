"""``tinkit scores``: show score files, compare them, join shards, and import foreign scores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinkit.cli.options import ForceOption, JsonOption
from tinkit.cli.parser import examples
from tinkit.errors import UsageError, UserError
from tinkit.terminal import note, print_line, print_table

if TYPE_CHECKING:
    from tinkit.scores import ScoreInfo, ScoreTable

app = typer.Typer(no_args_is_help=True, help="Show, compare, merge and import score files.")

ScoreFile = Annotated[Path, typer.Argument(metavar="SCORES", help="A score file (.arrow).")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="The score file to write.")]


class KindChoice(StrEnum):
    """What foreign scores are."""

    logits = "logits"
    probabilities = "probabilities"
    ranks = "ranks"


class TaskChoice(StrEnum):
    """What the labels of a clip are."""

    multi = "multi-label"
    single = "single-label"


@app.command(
    "show",
    epilog=examples(
        "tinkit scores show runs/mmit_r50/scores/val-1x1-best.arrow",
        "tinkit scores show fusions/demo/test.arrow --answers data/demo-answers/test.csv",
    ),
)
def show(
    file: ScoreFile,
    *,
    answers: Annotated[
        Path | None, typer.Option("--answers", help="Labels to measure against (csv with the header id,labels).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show where scores come from and, where labels are known, how good they are."""
    from tinkit.scores import check_scores, verified_scores
    from tinkit.scores.tools import measure, with_labels

    table, _ = verified_scores(file)
    check_scores(table, file)
    if answers is not None:
        from tinkit.submission import read_answers

        given = read_answers(answers)
        table = with_labels(table, dict(zip(given.ids.ids, given.labels, strict=True)), answers)
    metrics = measure(table)
    rows: list[dict[str, Any]] = [{"what": name, "value": value} for name, value in _facts(table).items()]
    if metrics:
        counts = {name.replace("_", " "): str(count) for name, count in metrics.counts.items()}
        rows += [
            {"what": name if name.startswith("classes") else f"clips {name}", "value": count}
            for name, count in counts.items()
        ]
    seen = table.info.split in table.info.trained_on
    if as_json:
        values = {row["what"]: row["value"] for row in rows} | {"metrics": metrics.values if metrics else None}
        values["optimistic"] = seen and metrics is not None
        print_table(str(file), [values], as_json=True)
        return
    print_table(str(file), rows)
    if metrics:
        optimistic = f" (optimistic: the weights were fitted or trained on {table.info.split})" if seen else ""
        print_table(f"metrics, in percent{optimistic}", [{name: 100 * value for name, value in metrics.values.items()}])


@app.command(
    "diff",
    epilog=examples("tinkit scores diff runs/a/scores/val-1x1-best.arrow runs/b/scores/val-1x1-best.arrow"),
)
def diff(
    first: ScoreFile,
    second: Annotated[Path, typer.Argument(metavar="SCORES", help="Another.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Compare two score files clip by clip. The exit code is 1 when clips, labels or scores differ."""
    from tinkit.scores import verified_scores
    from tinkit.scores.tools import diff_tables, measure

    (a, _), (b, _) = verified_scores(first), verified_scores(second)
    found = diff_tables(a, b)
    rows: list[dict[str, Any]] = [{"what": name, "first": x, "second": y} for name, (x, y) in found.facts.items()]
    rows.append({"what": "clips", "first": len(a), "second": len(b)})
    rows.append({"what": "clips only here", "first": found.only_first, "second": found.only_second})
    shared = {
        "clips in both": found.shared,
        "in another order": "yes" if found.reordered else "no",
        "clips with other labels": found.labels,
        "clips scored in one only": found.validity,
        "largest difference": _number(found.largest),
        "largest difference at": found.largest_id,
        "mean difference": _number(found.mean),
        "same first class (%)": None if found.same_top1 is None else 100 * found.same_top1,
    }
    rows += [{"what": name, "first": value, "second": None} for name, value in shared.items()]
    one, other = measure(a), measure(b)
    if one and other and one.task == other.task:
        rows += [{"what": f"{k} (%)", "first": 100 * one[k], "second": 100 * other[k]} for k in one.values]
    print_table(f"{first} and {second}", rows, as_json=as_json)
    if not found.same_rows:
        raise typer.Exit(1)


@app.command("merge", epilog=examples("tinkit scores merge shard-0.arrow shard-1.arrow --out val-1x1-best.arrow"))
def merge(
    files: Annotated[list[Path], typer.Argument(metavar="SCORES...", help="Shards of one split.")],
    *,
    out: OutOption,
    force: ForceOption = False,
) -> None:
    """Join shards of one split, made by one model, into one score file."""
    from tinkit.scores import verified_scores
    from tinkit.scores.tools import merge_tables

    with _place_for(out, files):
        table = merge_tables([verified_scores(file)[0] for file in files], files)
        _write(out, table, force=force)
    print_line(f"{out}: {len(table)} clips of {len(files)} files")


@app.command(
    "import",
    epilog=examples(
        "tinkit scores import theirs.csv --out theirs-val.arrow --like runs/mmit_r50/scores/val-1x1-best.arrow"
        " --kind probabilities",
        "tinkit scores import theirs.npz --out theirs-test.arrow --kind logits --task multi-label --dataset mmit"
        " --split test --run theirs",
    ),
)
def import_scores(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .csv (id, then a column a class) or .npz (ids, scores).")
    ],
    *,
    out: OutOption,
    kind: Annotated[KindChoice, typer.Option("--kind", help="What the numbers are.")],
    like: Annotated[
        Path | None,
        typer.Option(
            "--like", help="A score file of the same split: classes, data set, labels and sources come from it."
        ),
    ] = None,
    task: Annotated[TaskChoice | None, typer.Option("--task", help="Without --like: the task.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", help="Without --like: the data set's name.")] = None,
    dataset_version: Annotated[str, typer.Option("--dataset-version", help="Without --like.")] = "1",
    split: Annotated[str | None, typer.Option("--split", help="Without --like: the split.")] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="What the model is called; the file's name if not given.")
    ] = None,
    trained_on: Annotated[
        list[str] | None, typer.Option("--trained-on", help="A split that the model has seen; may be repeated.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Import a csv or npz of another program's scores as a score file."""
    from tinkit.files.hashes import sha256_file
    from tinkit.files.system_errors import read_errors
    from tinkit.scores import ScoreInfo, verified_scores
    from tinkit.scores.foreign import foreign_table, is_numbered, read_foreign

    found = read_foreign(file)
    model = verified_scores(like)[0] if like else None
    if model is not None:
        if task or dataset or split:
            raise UsageError("--like gives task, data set and split: leave out --task, --dataset and --split")
        base = model.info
        facts = (base.task, base.classes, base.dataset, base.dataset_version, base.split)
    elif not (task and dataset and split):
        raise UsageError(
            "the scores' task, data set or split is missing",
            fix="give --like SCORES, or all of --task, --dataset and --split",
        )
    elif found.columns is None or is_numbered(found.columns):
        raise UserError("the columns are not named by class", file=file, fix="name them, or give --like SCORES")
    else:
        facts = (task.value, found.columns, dataset, dataset_version, split)
    with read_errors(file):
        hashes = {"imported": sha256_file(file)}
    seen = tuple(trained_on or ())
    info = ScoreInfo(kind.value, *facts, trained_on=seen, run=run or file.stem, hashes=hashes)
    labels = dict(zip(model.ids, model.labels, strict=True)) if model else None
    source = dict(zip(model.ids, model.source, strict=True)) if model else None
    table = foreign_table(found, info, file, labels=labels, source=source)
    with _place_for(out, [file, *([like] if like else [])]):
        _write(out, table, force=force)
    known = "" if labels is None else f", {sum(name in labels for name in found.ids)} of them known to {like}"
    print_line(f"{out}: {len(table)} clips{known}, {int((~table.valid).sum())} without scores")


def _facts(table: ScoreTable) -> dict[str, str]:
    from tinkit.scores.protocol import protocol_words

    info: ScoreInfo = table.info
    known = table.scores[table.valid]
    facts = {
        "run": info.run,
        "data set": f"{info.dataset}, version {info.dataset_version}",
        "split": info.split,
        "task": info.task,
        "kind": info.kind,
        "views": f"{info.views}, mean of {info.average}" if info.views else "",
        "protocol": protocol_words(info.protocol),
        "view": "" if info.view is None else str(info.view),
        "weights": info.weights,
        "trained on": ", ".join(info.trained_on),
        "classes": str(len(info.classes)),
        "clips": str(len(table)),
        "clips without scores": str(int((~table.valid).sum())),
        "lowest, mean, highest": f"{known.min():.4g}, {known.mean():.4g}, {known.max():.4g}" if known.size else "",
    }
    facts |= {f"hash of {name}": text for name, text in info.hashes.items()}
    return {name: text or "-" for name, text in facts.items()}


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"


@contextmanager
def _place_for(out: Path, inputs: list[Path]) -> Iterator[None]:
    """Be the only writer of ``out``, which is none of ``inputs`` and may be written."""
    from tinkit.files.atomic import check_place
    from tinkit.files.group import sweep, writing_in

    check_place(out)
    if out.resolve() in {path.resolve() for path in inputs}:
        raise UserError("is a file that is read here", file=out, fix="name another --out")
    with writing_in(out.parent, out):
        sweep(out)
        yield


def _write(out: Path, table: ScoreTable, *, force: bool) -> None:
    """Write ``table``, or say that it exists already: the same command may have been killed at its very end."""
    from tinkit.files.group import write_errors
    from tinkit.scores import verified_scores, write_scores
    from tinkit.scores.tools import same_tables

    if out.exists() and not force:
        try:
            same = same_tables(verified_scores(out)[0], table)
        except UserError:  # whatever it is, it is not this table
            same = False
        if not same:
            raise UserError("exists already", file=out, fix="--out another, or --force to write over it")
        note(f"{out}: exists already, with the same content: nothing was changed")
        return
    with write_errors(out):
        write_scores(out, table)
