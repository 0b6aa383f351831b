"""A checkpoint of one code base becomes a checkpoint of another, by way of our model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from tinkit.engine.build import build_model
from tinkit.engine.run import find_checkpoint
from tinkit.engine.weights import Source, check_lacking, load_source
from tinkit.errors import UsageError, UserError
from tinkit.files import atomic_path, sha256_file, write_atomic
from tinkit.models import ForeignReport
from tinkit.models.checkpoints import CLASSES_KEY
from tinkit.models.foreign import class_layers, classes_in
from tinkit.models.foreign_save import to_foreign
from tinkit.recipe import Recipe, load_recipe

# What each code base expects around the weights in a file of torch.save, and before every name.
_WRAPPED: Mapping[str, tuple[str, str]] = {
    "tinkit": ("state_dict", ""),
    "tin": ("state_dict", "module."),
    "tsm": ("state_dict", "module."),
    "trn": ("state_dict", "module."),
    "x_temporal": ("model", "module."),
    "mmaction2": ("state_dict", ""),
    "pyslowfast": ("model_state", ""),
}


def convert(
    source: Source,
    recipe: Recipe,
    out: Path,
    to: str = "tinkit",
    *,
    classes: Sequence[str] = (),
    order: str | None = None,
    replace_head: bool = False,
    force: bool = False,
) -> ForeignReport:
    """Write ``source``, weights of the network that ``recipe`` describes, to ``out`` in the names of ``to``.

    ``classes`` are the names in the order that the new file shall have (none: whatever the source has), and ``order``
    tells how the source numbers them. A name that ends in ``.safetensors`` gives such a file, with our names and the
    classes in its metadata; any other one of ``torch.save``, laid out as the code base's own, with the classes under
    ``meta`` unless it is a bare state dict there. The account of every entry goes beside it, with ``.json`` behind its
    name. Files that are there are replaced with ``force`` only, the source never. Raises
    :class:`~tinkit.errors.UserError` for what does not go, and for a file that lacks anything but classes.
    """
    account_path = out.with_name(f"{out.name}.json")
    for path in (out, account_path):
        _check_place(path, source.path, force=force)
    classes = classes or source.classes or ()
    if len(set(classes)) < len(classes):
        raise UsageError("a class of the new file is named twice", expected="names that tell the classes apart")
    if order is not None and not classes:
        raise UsageError("--class-order needs the classes' names", fix="name the order to have: --classes FILE")
    count = len(classes) or _classes_of(source, recipe)
    if count is None:
        raise UsageError(f"{source.path} has no classifier", fix="name the classes of the new one: --classes FILE")
    model = build_model(recipe, count, pretrained=False)
    report = load_source(source, model, classes, order=order, replace_head=replace_head)
    try:
        check_lacking(report, but=class_layers(model))
    except UserError as error:
        raise error.at(source.path) from error
    weights = {name: value.contiguous() for name, value in to_foreign(model, to).items()}
    account = {"file": str(source.path), "sha256": sha256_file(source.path), "to": to, "classes": list(classes)}
    _write(out, weights, to, classes)
    write_atomic(account_path, json.dumps(account | report.to_json(), indent=2) + "\n")
    return report


def _check_place(path: Path, source: Path, *, force: bool) -> None:
    """Raise :class:`~tinkit.errors.UsageError` where writing ``path`` would lose something, or cannot be done."""
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_file():
        raise UsageError("is there, and no file", file=path, fix="name a file: --out FILE")
    if path.samefile(source):
        raise UsageError("is the checkpoint that is converted", file=path, fix="name another file: --out FILE")
    if not force:
        raise UsageError("is there already", file=path, fix="move it away to keep it, or say --force to replace it")


def _classes_of(source: Source, recipe: Recipe) -> int | None:
    """How many classes the source's classifier has, found on a model without memory."""
    with torch.device("meta"):
        return classes_in(source.state, build_model(recipe, 2, pretrained=False))


def _write(out: Path, weights: dict[str, Tensor], to: str, classes: Sequence[str]) -> None:
    with atomic_path(out) as temporary:
        if out.suffix == ".safetensors":
            save_file(weights, temporary, {"format": "pt"} | ({CLASSES_KEY: json.dumps(classes)} if classes else {}))
            return
        inside, prefix = _WRAPPED.get(to, ("", ""))
        named = {f"{prefix}{name}": value for name, value in weights.items()}
        torch.save({inside: named, "meta": {CLASSES_KEY: list(classes)}} if inside else named, temporary)


def recipe_of(checkpoint: str, recipe: str | None, overrides: Sequence[str], weights: str | None, runs: Path) -> Recipe:
    """The recipe that describes a checkpoint's network: the one that is named, else its run's.

    Raises :class:`~tinkit.errors.UsageError` for a file that belongs to no run, without a recipe.
    """
    if recipe is not None:
        return load_recipe(recipe, overrides).recipe
    path = Path(checkpoint)
    if path.is_file() and not (path.resolve().parent.parent / "recipe.toml").is_file():
        raise UsageError(
            f"{checkpoint} belongs to no run, and does not tell which network it is of",
            fix="name the recipe of it: --recipe RECIPE, with --set for what is otherwise",
        )
    run, _ = find_checkpoint(checkpoint, weights, runs)
    return run.load_recipe(overrides)
