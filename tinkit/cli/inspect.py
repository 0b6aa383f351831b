"""``tinkit inspect``: what scores got wrong, by class and by clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinkit.cli.options import FusionsOption, JsonOption, RunsOption, complete_runs
from tinkit.cli.parser import examples
from tinkit.inspection.order import ClassOrder
from tinkit.terminal import note, print_json, print_line, print_table

if TYPE_CHECKING:
    from tinkit.inspection.inspection import Inspection

EPILOG = examples(
    "tinkit inspect mmit_r50",
    "tinkit inspect fusions/mine --sort clips --top 20",
    "tinkit inspect runs/mmit_r50/scores/val-1x1-best.arrow --csv out/inspected",
)

_CLASSES = 15  # shown on the screen, unless all are asked for


def inspect(
    name: Annotated[
        str,
        typer.Argument(metavar="RUN|SCORES|FUSION", help="What has labelled scores.", autocompletion=complete_runs),
    ],
    *,
    split: Annotated[str, typer.Option(help="Of a run or a fusion: the scores of this split.")] = "val",
    top: Annotated[int, typer.Option(min=1, metavar="N", help="How many clips at each end.")] = 10,
    sort: Annotated[ClassOrder, typer.Option(help="Order of the classes.")] = "value",
    every: Annotated[bool, typer.Option("--all", help="Show all classes, not only the first 15.")] = False,
    answers: Annotated[
        Path | None, typer.Option(help="Labels of a split without any (csv with the header id,labels).")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--csv", metavar="DIR", help="Write the tables there, whole.")] = None,
    runs: RunsOption = Path("runs"),
    fusions: FusionsOption = Path("fusions"),
    as_json: JsonOption = False,
) -> None:
    """Show what scores got wrong.

    A table of the classes (AP or recall, clips, the class that most often ranks above it), the clips most wrongly and
    most rightly scored, the strongest confusions, and whether probabilities are frequencies. `tinkit report` draws it.
    """
    from tinkit.inspection import tables
    from tinkit.inspection.inspection import inspect_scores
    from tinkit.scores import check_scores, verified_scores
    from tinkit.scores.tools import with_labels
    from tinkit.submission import find_scores, read_answers

    file = find_scores(name, split, fusions=fusions, runs=runs)
    table, _ = verified_scores(file)
    check_scores(table, file)
    if answers is not None:
        given = read_answers(answers, classes=table.info.classes, split=table.info.split)
        table = with_labels(table, given.by_id(table.ids), answers)
    inspection = inspect_scores(table, top=top)
    if folder is not None:
        for path in tables.write_tables(folder, inspection):
            note(f"wrote {path}")
    if as_json:
        print_json(tables.as_json(inspection))
    else:
        _show(inspection, file, sort, None if every else _CLASSES)


def _show(inspection: Inspection, file: Path, sort: ClassOrder, most: int | None) -> None:
    from tinkit.inspection import tables

    measured = "  ".join(f"{name} {100 * value:.2f}" for name, value in inspection.metrics.values.items())
    print_line(f"{file}: {measured}")
    if inspection.optimistic:
        note(f"the split {inspection.info.split!r} was trained or fitted on: all this is optimistic")
    if inspection.broken:
        note(f"{len(inspection.broken)} clips have no scores: {', '.join(inspection.broken[:5])}")
    classes = tables.class_rows(inspection, sort)
    shown = classes if most is None else classes[:most]
    print_table(f"Classes by {sort}, in percent: {len(shown)} of {len(classes)}", shown)
    print_table("Clips most wrongly scored", tables.clip_rows(inspection.worst))
    print_table("Clips most rightly scored", tables.clip_rows(inspection.best))
    if pairs := tables.confusion_rows(inspection, len(inspection.worst)):
        print_table("Strongest confusions", pairs)
    if inspection.calibration is None:
        note("ranks are not probabilities: calibration is left out")
    else:
        error = 100 * inspection.calibration.error
        print_table(f"Calibration: expected error {error:.2f} points", tables.calibration_rows(inspection.calibration))
