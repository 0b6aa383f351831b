"""What a report is made of: runs and fusions with all that their folders hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from tinkit.engine.runs.run import Run
from tinkit.engine.runs.tables import read_rows
from tinkit.errors import UsageError, UserError
from tinkit.files.group import refuse_unfinished
from tinkit.fusion.record import RECORD, FusionRecord, check_recorded, read_record
from tinkit.inspection.inspection import Inspection, inspect_scores
from tinkit.recipe import Recipe
from tinkit.run_folder import find_run, score_files
from tinkit.scores import ScoreInfo, check_scores, read_info, verified_scores

CLIPS = 6  # shown at each end


@dataclass(frozen=True, eq=False)
class Entry:
    """A run or a fusion.

    ``scores`` is the labelled score file that was inspected, ``epochs``, ``offsets`` and ``left_out`` are the run's
    tables (empty for a fusion, and where there is none), ``record`` a fusion's ``fusion.json``. ``absent`` says what is
    missing and why.
    """

    name: str
    kind: Literal["run", "fusion"]
    folder: Path
    scores: Path | None = None
    inspection: Inspection | None = None
    epochs: pd.DataFrame = field(default_factory=pd.DataFrame)
    offsets: pd.DataFrame = field(default_factory=pd.DataFrame)
    left_out: pd.DataFrame = field(default_factory=pd.DataFrame)
    recipe: Recipe | None = None
    recipe_text: str = ""
    record: FusionRecord | None = None
    absent: tuple[str, ...] = ()


def read_entries(names: Sequence[str], split: str, runs: Path, fusions: Path) -> list[Entry]:
    """An entry a name, in the order given: a fusion's name below ``fusions`` or folder, else a run's.

    Raises :class:`~tinkit.errors.UserError` for what is neither, for damaged files, and where two have one name.
    """
    entries = [_entry(name, split, runs, fusions) for name in names]
    known: set[str] = set()
    for entry in entries:
        if entry.name in known:
            raise UsageError(f"two of them are called {entry.name}", fix="name each once, or copy one to another name")
        known.add(entry.name)
    return entries


def _entry(name: str, split: str, runs: Path, fusions: Path) -> Entry:
    for folder in (fusions / name, Path(name)):
        refuse_unfinished(folder / RECORD)
        if (folder / RECORD).is_file():
            return _fusion(folder, split)
    return _run(Run(find_run(name, runs)), split)


def _fusion(folder: Path, split: str) -> Entry:
    record = read_record(folder / RECORD)
    name = folder.absolute().name
    file = folder / f"{split}.arrow"
    if not file.is_file():
        return Entry(name, "fusion", folder, record=record, absent=(f"{name}: no scores of the split {split!r}",))
    inspection, why = _inspected(file)
    return Entry(name, "fusion", folder, file, inspection, record=record, absent=why)


def _run(run: Run, split: str) -> Entry:
    offsets = read_rows(run.offsets_path)
    recipe = run.load_recipe()
    file = _most_views(run, split)
    inspection, why = _inspected(file) if file else (None, (f"{run.name}: no labelled scores of {split!r}",))
    if file is None:
        why = (f"{why[0]}; `tinkit test {run.name} --split {split}` makes them",)
    if recipe.model.temporal == "tin" and offsets.empty:
        why += (f"{run.name}: no offsets.csv, so learned offsets are not drawn (runs write it at each validation)",)
    text = run.recipe_path.read_text(encoding="utf-8")
    return Entry(
        run.name,
        "run",
        run.folder,
        file,
        inspection,
        epochs=read_rows(run.metrics_path),
        offsets=offsets,
        left_out=read_rows(run.left_out_path),
        recipe=recipe,
        recipe_text=text,
        absent=why,
    )


def _inspected(file: Path) -> tuple[Inspection | None, tuple[str, ...]]:
    table, digest = verified_scores(file)
    check_recorded(file, digest)
    check_scores(table, file)
    try:
        return inspect_scores(table, top=CLIPS), ()
    except UserError as error:
        return None, (f"{file}: {error.problem}",)


def _most_views(run: Run, split: str) -> Path | None:
    """The run's score file of ``split`` with the most views; of as many that of ``best``, then by name."""
    found = [(path, read_info(path)) for path in score_files(run.folder)]
    fitting = [(path, info) for path, info in found if info.split == split]
    order = sorted(fitting, key=lambda item: (-_views(item[1]), item[1].weights != "best", item[0].name))
    return order[0][0] if order else None


def _views(info: ScoreInfo) -> int:
    temporal, _, spatial = info.views.partition("x")
    return int(temporal) * int(spatial) if temporal.isdigit() and spatial.isdigit() else 0
