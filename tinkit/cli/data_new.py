"""``tinkit data new``: a data set and a first recipe out of one's own videos."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinkit.cli.options import ForceOption
from tinkit.cli.parser import examples
from tinkit.errors import UsageError, UserError
from tinkit.terminal import note, print_line, print_table

if TYPE_CHECKING:
    from tinkit.data.own.clips import OwnClip, OwnClips
    from tinkit.metrics import Task

EPILOG = examples(
    "tinkit data new videos",
    "tinkit data new labels.csv --clips videos --val 0.25",
    "tinkit data new labels.csv --path-column file --label-column action",
)


def new(
    what: Annotated[
        Path, typer.Argument(metavar="FOLDER|CSV", help="A folder with one for each class, or a csv that names clips.")
    ],
    *,
    clips: Annotated[
        Path | None, typer.Option("--clips", help="Folder that a csv's paths are relative to; else the csv's own.")
    ] = None,
    classes: Annotated[Path | None, typer.Option("--classes", help="Names of the classes in the order wanted.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="What the recipe is called; else the folder's name.")
    ] = None,
    val: Annotated[float, typer.Option("--val", min=0.01, max=0.5, help="Share of the clips to validate on.")] = 0.2,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the split.")] = 0,
    path_column: Annotated[str | None, typer.Option(help="A csv's column of paths; guessed unless given.")] = None,
    label_column: Annotated[str | None, typer.Option(help="A csv's column of labels; guessed unless given.")] = None,
    split_column: Annotated[str | None, typer.Option(help="A csv's column of splits; guessed unless given.")] = None,
    source_column: Annotated[
        str | None, typer.Option(help="A csv's column that says which clips belong together; guessed unless given.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Make a data set of your own videos: annotations, a split, and a recipe that fits this machine.

    Videos stay where they are. The annotations are written into ANNOTATIONS beside them, the recipe into this folder.
    """
    from tinkit.data.own.clips import ANNOTATIONS, check_names, clips_in_folders, taken_apart
    from tinkit.data.own.columns import Columns, clips_in_csv
    from tinkit.data.own.split import split_clips
    from tinkit.data.own.write import write_annotations
    from tinkit.files.atomic import write_atomic

    if what.is_dir():
        root, own = what.resolve(), clips_in_folders(what.resolve())
    elif what.is_file():
        root = (clips or what.parent).resolve()
        columns = Columns(path_column, label_column, split_column, source_column)
        own, words = clips_in_csv(what, root, columns)
        note(f"{what}: {words}")
    else:
        raise UsageError(f"{what} is not there", expected="a folder of videos, or a csv that names them")
    if classes is None:
        own = _named(own)
    if apart := taken_apart(own.clips):
        note(
            f"{len(apart)} clips such as {apart[0].path} count as videos of their own; if they were cut from one, "
            "say so in a csv with a column of sources"
        )
    recipe = Path(f"{_slug(name or root.name)}.toml")
    if recipe.exists() and not force:
        raise UserError("exists already", file=recipe, fix="--name another, or --force to write over it")
    for line in own.skipped:
        note(f"left out: {line}")
    names = _classes(own, classes)
    if len(names) < 2:
        raise UserError(
            f"all clips have one label, {names[0]!r}" if names else "no clip has a label",
            file=root,
            expected="two classes or more to tell apart",
        )
    check_names(names, root)
    divided = split_clips(own.clips, val, seed)
    write_annotations(root / ANNOTATIONS, divided, names, force=force)
    write_atomic(recipe, _recipe(own, recipe.stem, divided, len(names)))
    _tell(divided, names)
    print_line(f"wrote {root / ANNOTATIONS} and {recipe}. Next:")
    print_line(f"  tinkit train {recipe}")
    print_line(f"  tinkit test {recipe.stem}")
    print_line(f"  tinkit predict {recipe.stem} VIDEO")


def _named(own: OwnClips) -> OwnClips:
    """Classes that are mere numbers get names, since their places in the list are other numbers."""
    from tinkit.data.own.clips import with_named_numbers

    named = with_named_numbers(own)
    if named is not own:
        note(f"the classes are numbers, and are called {named.classes[0]!r} to {named.classes[-1]!r}")
    return named


def _classes(own: OwnClips, file: Path | None) -> tuple[str, ...]:
    """The names of the classes: those in ``file`` where it is given, which must hold all labels; else sorted."""
    from tinkit.errors import did_you_mean
    from tinkit.files.class_names import read_class_names

    if file is None:
        return own.classes
    names = read_class_names(file).names
    for label in own.classes:
        if label not in names:
            raise UserError(
                f"a clip has the label {label!r}, which is not among the classes{did_you_mean(label, names)}", file=file
            )
    return names


def _recipe(own: OwnClips, name: str, clips: tuple[OwnClip, ...], classes: int) -> str:
    from tinkit.engine.runtime.capacity import this_machine
    from tinkit.recipe.starter import OwnSet, starter_recipe

    trained = sum(clip.split == "train" for clip in clips)
    task: Task = "multi-label" if own.multi_label else "single-label"
    negatives = any(not clip.labels for clip in clips)
    found = OwnSet(name, own.root, task, own.media, own.frame_template, trained, classes, negatives)
    return starter_recipe(found, this_machine())


def _tell(clips: tuple[OwnClip, ...], names: tuple[str, ...]) -> None:
    """The clips of every class by split; what no validation clip shows is said."""
    splits = [split for split in ("train", "val", "test") if any(clip.split == split for clip in clips)]
    rows = [
        {"class": name}
        | {split: sum(clip.split == split and name in clip.labels for clip in clips) for split in splits}
        for name in names
    ]
    print_table(f"{len(clips)} clips from {len({clip.source for clip in clips})} sources", rows)
    unseen = [str(row["class"]) for row in rows if not row.get("val")]
    if unseen:
        note(f"no validation clip shows {', '.join(unseen[:5])}{' and others' if len(unseen) > 5 else ''}")


def _slug(name: str) -> str:
    """A name that a run and a file may have."""
    return re.sub(r"[^A-Za-z0-9_.+=-]+", "_", name).strip("._-") or "mine"
