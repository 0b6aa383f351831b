"""``tinkit scores``: show score files, compare them, join shards, and import foreign scores."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinkit.cli.options import ForceOption, JsonOption
from tinkit.cli.parser import examples
from tinkit.cli.score_output import OutOption, place_for, write_table
from tinkit.cli.scores_import import KindChoice, import_scores
from tinkit.errors import UsageError
from tinkit.terminal import note, percents, print_line, print_table

if TYPE_CHECKING:
    from tinkit.scores import ScoreInfo, ScoreTable

app = typer.Typer(no_args_is_help=True, help="Show, compare, merge and import score files.")


class HowChoice(StrEnum):
    """How score files become one."""

    shards = "shards"
    parts = "parts"
    mean = "mean"


class MissingChoice(StrEnum):
    """What becomes of a clip that some files have no scores for."""

    error = "error"
    mean = "mean"


ScoreFile = Annotated[Path, typer.Argument(metavar="SCORES", help="A score file (.arrow).")]


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

        given = read_answers(answers, classes=table.info.classes, split=table.info.split)
        table = with_labels(table, given.by_id(table.ids), answers)
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
        print_table(f"metrics, in percent{optimistic}", [percents(metrics.values)])


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


@app.command(
    "merge",
    epilog=examples(
        "tinkit scores merge shard-0.arrow shard-1.arrow --out val-1x1-best.arrow",
        "tinkit scores merge runs/part*/scores/val-1x1-best.arrow --how parts --run tin --out tin-val.arrow",
        "tinkit scores merge runs/seed*/scores/val-1x1-best.arrow --how mean --run tin --out tin-val.arrow",
    ),
)
def merge(
    files: Annotated[list[Path], typer.Argument(metavar="SCORES...", help="Score files of one split.")],
    *,
    out: OutOption,
    how: Annotated[
        HowChoice,
        typer.Option(
            "--how",
            help="shards: one model's, clips apart. parts: out of fold, each of a model trained without its clips. "
            "mean: seeds, snapshots or views of a model, averaged over the same clips.",
        ),
    ] = HowChoice.shards,
    run: Annotated[str | None, typer.Option("--run", help="What parts or a mean of several runs are called.")] = None,
    kind: Annotated[
        KindChoice | None, typer.Option("--kind", help="What a mean is taken of: logits, probabilities or ranks.")
    ] = None,
    missing: Annotated[
        MissingChoice, typer.Option("--missing", help="A clip that some file of a mean has no scores for.")
    ] = MissingChoice.error,
    force: ForceOption = False,
) -> None:
    """Join score files of one split into one: shards, out-of-fold parts, or the mean of seeds, snapshots or views."""
    from tinkit.scores import verified_scores
    from tinkit.scores.joining import ReadTable, duplicates, join_parts, mean_of
    from tinkit.scores.tools import merge_tables

    if how is HowChoice.shards and run:
        raise UsageError("--run names what several models are together", fix="leave it out, or say --how")
    if how is not HowChoice.mean and (kind or missing is not MissingChoice.error):
        raise UsageError("--kind and --missing are for a mean", fix="say --how mean, or leave them out")
    with place_for(out, files):
        read = [ReadTable(table, file, digest) for file in files for table, digest in [verified_scores(file)]]
        match how:
            case HowChoice.shards:
                table = merge_tables([one.table for one in read], files)
            case HowChoice.parts:
                table = join_parts(read, run)
            case HowChoice.mean:
                for first, second in duplicates([one.table for one in read]):
                    note(
                        f"{files[first]} and {files[second]} have exactly the same scores: one of them is counted twice"
                    )
                table = mean_of(read, run, kind=kind.value if kind else None, missing=missing.value)
        write_table(out, table, force=force)
    print_line(f"{out}: {len(table)} clips of {len(files)} files, {int((~table.valid).sum())} without scores")


app.command(
    "import",
    epilog=examples(
        "tinkit scores import theirs.csv --out theirs-val.arrow --like runs/mmit_r50/scores/val-1x1-best.arrow"
        " --kind probabilities",
        "tinkit scores import dump.pkl --ids validationSet.csv --out tin-val.arrow --kind probabilities"
        " --like runs/mmit_r50/scores/val-1x1-best.arrow",
        "tinkit scores import theirs.npz --out theirs-test.arrow --kind logits --task multi-label --dataset mmit"
        " --split test --classes moments_categories.txt",
        "tinkit scores import epic.pt --head verb --out verb.arrow --kind logits --task single-label --dataset epic"
        " --split test --classes EPIC_100_verb_classes.csv",
    ),
)(import_scores)


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
