"""The order of a checkpoint's classes, by name.

Code bases number the same classes differently: TSN's descendants sort the names of Something-Something V1 and of
Jester, mmaction2 goes by the labels file. Loaded in the wrong order, a model is as good as random.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from tinkit.errors import UserError, did_you_mean
from tinkit.files.class_names import read_class_names
from tinkit.models.classifier import Classifier

ALPHABETICAL = "alphabetical"


def named_order(order: str, classes: Sequence[str]) -> tuple[str, ...]:
    """The names of a checkpoint's classes, in its order.

    ``order`` is ``alphabetical``, which sorts ``classes`` as Python sorts text, or a file of one name a line. Raises
    :class:`~tinkit.errors.UserError` if the file is missing.
    """
    return tuple(sorted(classes)) if order == ALPHABETICAL else read_names(Path(order))


def read_names(path: Path) -> tuple[str, ...]:
    """The names in a file of class names, in their order; see :func:`~tinkit.files.class_names.read_class_names`.

    Raises :class:`~tinkit.errors.UserError`.
    """
    if not path.is_file():
        raise UserError(
            "no such file",
            file=path,
            expected=f"a text file of one class name a line, or the word {ALPHABETICAL}",
        )
    return read_class_names(path).names


def rows_by_name(theirs: Sequence[str], ours: Sequence[str]) -> list[int]:
    """For each of our classes the number of theirs of that name.

    Raises :class:`~tinkit.errors.UserError` unless both have the same names, each once.
    """
    fix = f"name the order by a file of the same names, one a line, or by the word {ALPHABETICAL}"
    row = {name: number for number, name in enumerate(theirs)}
    for names, whose in ((theirs, "the checkpoint's"), (ours, "the data set's")):
        if len(set(names)) < len(names):
            twice = next(name for name in names if list(names).count(name) > 1)
            raise UserError(f"{whose} classes cannot be told by name: {twice!r} is there twice", fix=fix)
    for name in ours:
        if name not in row:
            raise UserError(f"the checkpoint has no class {name!r}{did_you_mean(name, theirs)}", fix=fix)
    if len(ours) < len(theirs):
        more = next(name for name in theirs if name not in ours)
        raise UserError(f"the data set has no class {more!r}{did_you_mean(more, ours)}", fix=fix)
    return [row[name] for name in ours]


def reorder_classes(model: Classifier, rows: Sequence[int]) -> None:
    """Let the model's class ``n`` be the one that was number ``rows[n]``."""
    index = torch.tensor(rows)
    with torch.no_grad():
        for layer in model.class_layers().values():
            for parameter in layer.parameters():
                parameter.copy_(parameter[index.to(parameter.device)])
