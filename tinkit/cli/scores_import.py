"""``tinkit scores import``: another program's scores as a score file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tinkit.cli.options import ForceOption
from tinkit.cli.score_output import OutOption, place_for, write_table
from tinkit.errors import UsageError
from tinkit.terminal import note, print_line


class KindChoice(StrEnum):
    """What foreign scores are."""

    logits = "logits"
    probabilities = "probabilities"
    ranks = "ranks"


class TaskChoice(StrEnum):
    """What the labels of a clip are."""

    multi = "multi-label"
    single = "single-label"


class NonFiniteChoice(StrEnum):
    """What becomes of a clip with missing or infinite scores."""

    error = "error"
    null = "null"


def import_scores(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="csv, json, npy, npz, Parquet, Feather, Arrow, a pickle or a file of torch.save."
        ),
    ],
    *,
    out: OutOption,
    kind: Annotated[
        KindChoice | None, typer.Option("--kind", help="What the numbers are; needed where the file does not say.")
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            "--like", help="A score file of the same split: classes, data set, labels and sources come from it."
        ),
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option("--ids", help="For a file without ids: the clips in its order (the annotation, or an id a line)."),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option("--classes", help="The classes in the order of the columns; a category file.")
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
    delimiter: Annotated[
        str | None,
        typer.Option("--delimiter", help="Of a csv: one character, or `tab`; told from the file if not given."),
    ] = None,
    header: Annotated[
        bool | None, typer.Option("--header/--no-header", help="Whether the first line of a csv names the columns.")
    ] = None,
    head: Annotated[
        str | None, typer.Option("--head", help="Of a file of several heads, which one: verb, noun, ...")
    ] = None,
    scores_key: Annotated[
        str | None, typer.Option("--scores", help="The key, array or column of lists that holds the scores.")
    ] = None,
    ids_key: Annotated[
        str | None, typer.Option("--id-column", help="The column, key or array that holds the ids.")
    ] = None,
    sum_of: Annotated[
        int, typer.Option("--sum-of", min=1, help="Rows are sums over so many views: divide by their number.")
    ] = 1,
    non_finite: Annotated[
        NonFiniteChoice,
        typer.Option(
            "--non-finite", help="A clip with missing or infinite scores: an error, or a clip without scores."
        ),
    ] = NonFiniteChoice.error,
    force: ForceOption = False,
) -> None:
    """Import another program's scores as a score file.

    Nothing in the file is executed. Ids are matched with those of --like verbatim, by base name or by stem, and columns
    with its classes by name, by number from 0 or 1, or by place; it is said which.
    """
    from tinkit.files.class_names import read_class_names
    from tinkit.files.hashes import sha256_file
    from tinkit.files.system_errors import read_errors
    from tinkit.foreign_scores import Hints, classes_of, converted, kind_of, read_foreign, with_names
    from tinkit.scores import ScoreInfo, verified_scores
    from tinkit.submission.ids import read_ids

    if like is not None and (task or dataset or split):
        raise UsageError("--like gives task, data set and split: leave out --task, --dataset and --split")
    model = verified_scores(like)[0] if like else None
    names = read_class_names(classes).names if classes else None
    known = names or (model.info.classes if model else None)
    found = read_foreign(file, Hints(_character(delimiter), header, head, scores_key, ids_key, known, ids is None))
    if model is not None:
        base = model.info
        found = with_names(found, names, file)
        facts = (base.task, base.classes, base.dataset, base.dataset_version, base.split)
    elif task and dataset and split:
        facts = (task.value, classes_of(found, names, file), dataset, dataset_version, split)
    else:
        raise UsageError(
            "the scores' task, data set or split is missing",
            fix="give --like SCORES, or all of --task, --dataset and --split",
        )
    with read_errors(file):
        hashes = {"imported": sha256_file(file)}
    said = kind_of(kind.value if kind else None, found, file)
    info = ScoreInfo(said, *facts, trained_on=tuple(trained_on or ()), run=run or file.stem, hashes=hashes)
    listed = read_ids(ids, facts[-1]).ids if ids else None
    made = converted(found, info, file, known=model, ids=listed, views=sum_of, non_finite=non_finite.value)
    for doubt in made.doubts:
        note(f"{file}: {doubt}")
    with place_for(out, [path for path in (file, like, ids, classes) if path]):
        write_table(out, made.table, force=force)
    for line in (f"read as {found.form}", *made.notes):
        print_line(f"{file}: {line}")
    known_to = "" if made.known is None else f", {made.known} of them known to {like} (ids match {made.matched})"
    print_line(f"{out}: {len(made.table)} clips{known_to}, {int((~made.table.valid).sum())} without scores")


def _character(word: str | None) -> str | None:
    """A delimiter as a person names it."""
    text = {"tab": "\t", "\\t": "\t", "space": " "}.get(word, word) if word else word
    if text is not None and (len(text) != 1 or text in '"\r\n'):
        raise UsageError(f"--delimiter {word!r} is not a delimiter", expected="one character, or tab or space")
    return text
