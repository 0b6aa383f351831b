"""Weights by name, of a run or a foreign checkpoint, and how they get into a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from tinkit.engine.runs.checkpoint import is_checkpoint, read_weights
from tinkit.engine.runs.run import find_checkpoint
from tinkit.engine.runs.weights import load_run_weights
from tinkit.errors import UsageError, UserError
from tinkit.models import Classifier, ForeignReport, load_foreign
from tinkit.models.foreign.classes import named_order, reorder_classes, rows_by_name
from tinkit.models.foreign.files import read_file
from tinkit.recipe.training import TrialMark
from tinkit.run_folder import find_folder, owner_of
from tinkit.temporal import TEMPORAL_MODULES

# Layouts in which a convolution behind a shift has another name; and that name.
_TELLING = ("tsm", "tsn", "trn", "mmaction2")
_SHIFTED = re.compile(r"\.(?:conv\d?(?:\.\d)?(?:\.conv)?\.net(?:\.conv)?|net\.conv1(?:\.conv)?)\.weight$")
# Temporal modules without weights of their own: the files of two differ in such names alone.
_TOLD_BY_NAME = tuple(row for row in TEMPORAL_MODULES if row.foreign.code_bases is None)
# Why an entry was dropped that changes what the network computes; a classifier that is left over does not.
_STEERING = "|".join(row.foreign.weights for row in TEMPORAL_MODULES if row.foreign.weights)
_MORE = re.compile(rf"a (?:{_STEERING}), |the model has no (?:consensus|backbone)\.(?!.*\b(?:fc|head|classifier)\b)")


@dataclass(frozen=True)
class LoadedWeights:
    """Weights and where they are from."""

    path: Path
    state: dict[str, Tensor]
    classes: tuple[str, ...] | None
    """The names of the classes in the order of the classifier, where the file names them."""
    trial: TrialMark | None = None
    """The mark of a trial in the file's own recipe."""


def open_source(name: str, runs: Path, weights: str | None = None) -> LoadedWeights:
    """A run's weights (its best, or what ``weights`` says), a file in a run's ``checkpoints``, or any checkpoint file.

    A file of ours outside of its run gives the weights that its header names, or with ``weights`` its
    raw (``last``, ``best``) or averaged ones (``ema``, ``best-ema``). Raises :class:`~tinkit.errors.UserError` for one
    that is missing, damaged or unsafe.
    """
    path, a_run = Path(name), find_folder(name, runs) is not None
    if not a_run and path.is_file() and not is_checkpoint(path):
        if weights is not None:
            raise UsageError(f"--weights {weights}, and {name} is a foreign checkpoint", fix="leave out --weights")
        file = read_file(path)
        return LoadedWeights(path, file.state, file.classes)
    if not a_run and path.is_file() and owner_of(path) is None:
        state, header = read_weights(path, ema=_averaged(weights))
    elif not a_run and not path.is_file() and (path.suffix or (len(path.parts) > 1 and not path.is_dir())):
        raise UsageError(f"{name}: no such file", expected="a checkpoint's file, or a run")
    else:
        run, word = find_checkpoint(name, weights, runs)
        state, path, header = load_run_weights(run, word)
    classes = header["info"].get("classes")
    trial = header["info"].get("recipe", {}).get("train", {}).get("trial")
    return LoadedWeights(path, state, None if classes is None else tuple(classes), trial)


def _averaged(weights: str | None) -> bool | None:
    """Whether a word of ``--weights`` means averaged weights, for a file outside of a run; None without a word."""
    if weights is None:
        return None
    if weights not in ("last", "best", "ema", "best-ema"):
        raise UsageError(
            f"--weights {weights} chooses among a run's checkpoints, and this file belongs to no run",
            expected="best for its raw weights, or best-ema for their average",
        )
    return weights in ("ema", "best-ema")


def load_source(
    source: LoadedWeights,
    model: Classifier,
    classes: Sequence[str],
    *,
    order: str | None = None,
    replace_head: bool = False,
    whole: bool = False,
) -> ForeignReport:
    """Load ``source`` into ``model``, whose classes are ``classes``, and report what became of every entry.

    ``order`` tells how the checkpoint numbers its classes (``alphabetical``, or a file of names), where it does not do
    so itself. The same names in another order are put into that of ``classes``; the report's notes say so. A classifier
    of another size is an error unless ``replace_head``. With ``whole`` the file must be of this very network: every
    entry that it lacks is an error, and so is every weight that the model has no place for. Non-finite weights
    are an error in any case.
    """
    if order is not None and source.classes is not None:
        raise UsageError(f"{source.path} names its classes in their order itself", fix="leave out --class-order")
    try:
        report = load_foreign(source.state, model, replace_head=replace_head or whole)
        if whole:
            check_lacking(report)
            _check_network(source, report, model)
        return _in_order(source, report, model, classes, order)
    except UserError as error:
        raise error.at(source.path) from error


def _in_order(
    source: LoadedWeights, report: ForeignReport, model: Classifier, classes: Sequence[str], order: str | None
) -> ForeignReport:
    """Put the classes that ``model`` has from ``source`` into the order of ``classes``, and note it."""
    theirs = named_order(order, classes) if order is not None else source.classes
    heads = {f"{name}.weight" for name in model.class_layers()}
    if theirs is None or not classes or heads.isdisjoint(report.used.values()):
        if order is None:
            return report
        return replace(report, notes=(*report.notes, "the order of its classes does not matter: none of them is used"))
    if order is None and set(theirs) != set(classes):
        note = "the checkpoint's classes have other names than the data set's, and keep their order"
    else:
        rows = rows_by_name(theirs, classes)
        reorder_classes(model, rows)
        moved = sum(row != number for number, row in enumerate(rows))
        by = order if order is not None else "the names in the checkpoint"
        note = f"classes: {moved} of {len(rows)} have another number here than in the checkpoint (order: {by})"
    return replace(report, notes=(*report.notes, note))


def check_lacking(report: ForeignReport, but: Sequence[str] = ()) -> None:
    """Raise if something of the model, ``but`` some layers, would have a random start: scores would mean nothing."""
    head = next((reason for reason in report.dropped.values() if reason.startswith("a classifier")), None)
    if head is not None and not but:
        raise UserError(f"has {head}", fix="name the recipe and the data set that the checkpoint was made with")
    told = " ".join(report.notes)
    missing = [
        name
        for name in report.new
        if not name.endswith("num_batches_tracked") and name not in told and name.rpartition(".")[0] not in but
    ]
    if missing:
        some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UserError(
            f"lacks {len(missing)} entries of the model ({some})",
            expected=f"all weights of the recipe's model; the file's layout is {report.layout}",
            fix="name the recipe of the network that the checkpoint was made with; to train from it as it is, "
            "`tinkit train RECIPE --tune-from FILE`",
        )


def _check_network(source: LoadedWeights, report: ForeignReport, model: Classifier) -> None:
    """Raise if the file is of a network that does more than the model, or shifts where the model does not."""
    more = [reason for reason in report.dropped.values() if _MORE.match(reason)]
    if more:
        raise UserError(
            f"has {len(more)} weights that the recipe's model has no place for: {more[0]}",
            expected="a file of the recipe's very network",
            fix="name the recipe of the network that the checkpoint was made with",
        )
    shifts = any(_SHIFTED.search(name) for name in source.state)
    fitting = [row.name for row in _TOLD_BY_NAME if bool(row.foreign.wrapper) == shifts]
    known = any(row.name == model.temporal for row in _TOLD_BY_NAME)
    if report.layout in _TELLING and known and model.temporal not in fitting:
        raise UserError(
            f"is of a network that {'shifts' if shifts else 'does not shift'} features, by its names, and the recipe's "
            f"model is a {model.temporal}",
            fix=f"name a recipe with temporal = {' or '.join(map(repr, fitting))}",
        )
