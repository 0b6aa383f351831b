"""Weights that somebody names, a run's or a file of anybody's, and how they get into a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from tinkit.engine.checkpoint import is_checkpoint, read_weights
from tinkit.engine.run import find_checkpoint, load_run_weights
from tinkit.errors import UsageError, UserError
from tinkit.models import Classifier, ForeignReport, load_foreign, read_checkpoint
from tinkit.models.checkpoints import read_class_names
from tinkit.models.foreign import class_layers
from tinkit.models.foreign_classes import named_order, reorder_classes, rows_by_name


@dataclass(frozen=True)
class Source:
    """Weights and where they are from."""

    path: Path
    state: dict[str, Tensor]
    classes: tuple[str, ...] | None
    """The names of the classes in the order of the classifier, where the file tells them."""


def open_source(name: str, runs: Path, weights: str | None = None) -> Source:
    """A run's weights (its best, or what ``weights`` says), a file in a run's ``checkpoints``, or any checkpoint file.

    Raises :class:`~tinkit.errors.UserError` for one that is missing, damaged or unsafe.
    """
    path = Path(name)
    if path.is_file() and not is_checkpoint(path):
        return Source(path, read_checkpoint(path), read_class_names(path))
    if not path.is_file() and (path.suffix or (len(path.parts) > 1 and not path.is_dir())):
        raise UsageError(f"{name}: no such file", expected="a checkpoint's file, or a run")
    if path.is_file() and not (path.parent.parent / "recipe.toml").is_file():
        state, header = read_weights(path)  # one of ours, taken out of its run
    else:
        run, word = find_checkpoint(name, weights, runs)
        state, path, header = load_run_weights(run, word)
    classes = header["info"].get("classes")
    return Source(path, state, None if classes is None else tuple(classes))


def load_source(
    source: Source,
    model: Classifier,
    classes: Sequence[str],
    *,
    order: str | None = None,
    replace_head: bool = False,
    whole: bool = False,
) -> ForeignReport:
    """Load ``source`` into ``model``, whose classes shall be ``classes``, and say what became of every entry.

    ``order`` tells how the checkpoint numbers its classes (``alphabetical``, or a file of names), where it does not do
    so itself. The same names in another order are put into that of ``classes``; the report's notes say so. A classifier
    of another size is an error unless ``replace_head``, and with ``whole`` so is every entry that the file lacks.
    """
    if order is not None and source.classes is not None:
        raise UsageError(f"{source.path} tells the order of its classes itself", fix="leave out --class-order")
    report = load_foreign(source.state, model, replace_head=replace_head)
    if whole:
        _check_whole(source, report)
    theirs = named_order(order, classes) if order is not None else source.classes
    heads = {f"{name}.weight" for name in class_layers(model)}
    if theirs is None or not classes or heads.isdisjoint(report.used.values()):
        return report
    if order is None and set(theirs) != set(classes):
        note = "the checkpoint's classes have other names than the data set's, and keep their order"
    else:
        rows = rows_by_name(theirs, classes)
        reorder_classes(model, rows)
        moved = sum(row != number for number, row in enumerate(rows))
        by = order if order is not None else "the names in the checkpoint"
        note = f"classes: {moved} of {len(rows)} have another number here than in the checkpoint (order: {by})"
    return replace(report, notes=(*report.notes, note))


def _check_whole(source: Source, report: ForeignReport) -> None:
    """Raise if something of the model would have a random start: scores of it would mean nothing."""
    told = " ".join(report.notes)
    missing = [name for name in report.new if not name.endswith("num_batches_tracked") and name not in told]
    if missing:
        some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UserError(
            f"lacks {len(missing)} entries of the model ({some})",
            file=source.path,
            expected=f"all weights of the recipe's model; the file's layout is {report.layout}",
            fix="name the recipe of the network that the checkpoint was made with",
        )
