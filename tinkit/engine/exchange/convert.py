"""Convert a checkpoint of one code base to a checkpoint of another, by way of our model."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from tinkit.engine.exchange.pretrained import LoadedWeights, check_lacking, load_source, open_source
from tinkit.engine.runs.checkpoint import is_checkpoint
from tinkit.engine.runs.run import find_checkpoint
from tinkit.engine.runs.writers import writing_result
from tinkit.engine.runtime.build import build_model
from tinkit.errors import UsageError, UserError
from tinkit.files.atomic import atomic_path
from tinkit.files.hashes import sha256_file, sha256_text
from tinkit.models import Classifier, ForeignReport
from tinkit.models.foreign.files import CLASSES_KEY, read_file
from tinkit.models.foreign.load import classes_in
from tinkit.models.foreign.save import to_foreign
from tinkit.recipe import Recipe, load_recipe
from tinkit.run_folder import find_folder, owner_of

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


@dataclass(frozen=True)
class Converted:
    """What a conversion did: ``report`` has what became of every entry; ``before``: it had been done already."""

    report: ForeignReport
    before: bool = False


def convert(
    source: LoadedWeights,
    recipe: Recipe,
    out: Path,
    to: str = "tinkit",
    *,
    classes: Sequence[str] = (),
    order: str | None = None,
    replace_head: bool = False,
    force: bool = False,
) -> Converted:
    """Write ``source``, weights of the network that ``recipe`` describes, to ``out`` in the names of ``to``.

    ``classes`` are the names in the order of the new file (none: whatever the source has), and ``order`` tells
    how the source numbers them. A name that ends in ``.safetensors`` gives such a file, with our names and the
    classes in its metadata; any other one of ``torch.save``, laid out as the code base's own, with the classes under
    ``meta`` unless it is a bare state dict there. The account of every entry goes beside it, with ``.json`` behind its
    name, before the file itself: an account without its file is of a conversion that was cut off, and
    is replaced. What this very conversion wrote is found and left; other existing files are replaced with
    ``force`` only, the source never. Raises :class:`~tinkit.errors.UserError` for what is impossible, for a file that
    lacks anything but classes, and for non-finite weights.
    """
    account_path = out.with_name(f"{out.name}.json")
    with writing_result(out):
        for path in (out, account_path):
            _check_kind(path, source.path)
        classes = classes or source.classes or ()
        asked = _asked(source, recipe, to, classes, order, replace_head=replace_head)
        there = _read_account(account_path)
        if not force and there.get("asked") == asked and _is_result(out, there):
            return Converted(_report_of(there), before=True)
        _check_free(out, account_path, there, force=force)
        model, report = _loaded(source, recipe, classes, order, replace_head=replace_head)
        weights = {name: value.contiguous() for name, value in to_foreign(model, to).items()}
        data = _packed(out, weights, to, classes)
        account = {"file": str(source.path), "sha256": asked["sha256"], "to": to, "classes": list(classes)}
        account |= {"asked": asked, "result": hashlib.sha256(data).hexdigest()}
        # both are whole beside their places before either is put there, the account first
        with atomic_path(out) as new, atomic_path(account_path) as told:
            told.write_text(json.dumps(account | report.to_json(), indent=2) + "\n")
            new.write_bytes(data)
    return Converted(report)


def _loaded(
    source: LoadedWeights, recipe: Recipe, classes: Sequence[str], order: str | None, *, replace_head: bool
) -> tuple[Classifier, ForeignReport]:
    """The recipe's model with the source's weights, all of them there and finite."""
    if len(set(classes)) < len(classes):
        raise UsageError("a class of the new file is named twice", expected="a different name for each class")
    if order is not None and not classes:
        raise UsageError("--class-order needs the classes' names", fix="name the order of the new file: --classes FILE")
    count = len(classes) or _classes_of(source, recipe)
    if count is None:
        raise UsageError(f"{source.path} has no classifier", fix="name the classes of the new one: --classes FILE")
    model = build_model(recipe, count, pretrained=False)
    report = load_source(source, model, classes, order=order, replace_head=replace_head)
    try:
        check_lacking(report, but=tuple(model.class_layers()))
    except UserError as error:
        raise error.at(source.path) from error
    return model, report


def _asked(
    source: LoadedWeights, recipe: Recipe, to: str, classes: Sequence[str], order: str | None, *, replace_head: bool
) -> dict[str, Any]:
    """What makes two conversions the same one."""
    network = recipe.model_dump(mode="json", include={"model", "clip"})
    by = order if order is None or not Path(order).is_file() else sha256_file(order)
    asked = {
        "sha256": sha256_file(source.path),
        "weights": _fingerprint(source.state),
        "to": to,
        "classes": list(classes),
        "order": by,
        "new_head": replace_head,
    }
    return asked | {"network": sha256_text(json.dumps(network, sort_keys=True))}


def _fingerprint(state: Mapping[str, Tensor]) -> str:
    """Differs for the weights of one file, such as raw and averaged ones; files differ by their hash."""
    sums = hashlib.sha256()
    for name, value in sorted(state.items()):  # files of safetensors come in any order
        words = value.detach().contiguous().flatten().view(torch.uint8)
        words = words.view(torch.int32) if words.numel() % 4 == 0 and words.storage_offset() % 4 == 0 else words
        sums.update(f"{name} {value.dtype} {list(value.shape)} {int(words.sum(dtype=torch.int64))}\n".encode())
    return sums.hexdigest()


def _read_account(path: Path) -> dict[str, Any]:
    """The account of an earlier conversion; empty for none, and for any other file."""
    try:
        found = json.loads(path.read_bytes()) if path.is_file() else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("result"), str) else {}


def _is_result(out: Path, account: Mapping[str, Any]) -> bool:
    return out.is_file() and sha256_file(out) == account.get("result")


def _report_of(account: Mapping[str, Any]) -> ForeignReport:
    return ForeignReport(
        account["used"], tuple(account["new"]), account["dropped"], account["layout"], tuple(account["notes"])
    )


def _check_kind(path: Path, source: Path) -> None:
    """Raise :class:`~tinkit.errors.UsageError` where ``path`` cannot be written, whatever else is said."""
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_file():
        raise UsageError("exists, and is not a file", file=path, fix="name a file: --out FILE")
    if path.samefile(source):
        raise UsageError("is the checkpoint that is converted", file=path, fix="name another file: --out FILE")


def _check_free(out: Path, account_path: Path, account: Mapping[str, Any], *, force: bool) -> None:
    """Raise :class:`~tinkit.errors.UsageError` where a file would be lost."""
    cut_off = bool(account) and not out.exists()
    for path in (out, account_path):
        if path.exists() and not force and not (cut_off and path == account_path):
            raise UsageError("exists already", file=path, fix="move it away to keep it, or replace it with --force")


def _classes_of(source: LoadedWeights, recipe: Recipe) -> int | None:
    """How many classes the source's classifier has, found on a model without memory."""
    with torch.device("meta"):
        return classes_in(source.state, build_model(recipe, 2, pretrained=False))


def _packed(out: Path, weights: dict[str, Tensor], to: str, classes: Sequence[str]) -> bytes:
    """The bytes of the new file. In memory: both libraries hide the system's error of a full disk, and PyTorch may
    abort the process."""
    if out.suffix == ".safetensors":
        packed: bytes = save(weights, {"format": "pt"} | ({CLASSES_KEY: json.dumps(classes)} if classes else {}))
        return packed
    inside, prefix = _WRAPPED.get(to, ("", ""))
    named = {f"{prefix}{name}": value for name, value in weights.items()}
    buffer = io.BytesIO()
    torch.save({inside: named, "meta": {CLASSES_KEY: list(classes)}} if inside else named, buffer)
    return buffer.getvalue()


def recipe_of(checkpoint: str, recipe: str | None, overrides: Sequence[str], weights: str | None, runs: Path) -> Recipe:
    """The recipe that describes a checkpoint's network: the one that is named, else its run's.

    Raises :class:`~tinkit.errors.UsageError` for a file that belongs to no run, without a recipe.
    """
    if recipe is not None:
        return load_recipe(recipe, overrides).recipe
    path = Path(checkpoint)
    if find_folder(checkpoint, runs) is None and path.is_file() and owner_of(path) is None:
        raise UsageError(
            f"{checkpoint} belongs to no run, and does not name its network",
            fix="name the recipe of it: --recipe RECIPE, with --set for what is otherwise",
        )
    run, _ = find_checkpoint(checkpoint, weights, runs)
    return run.load_recipe(overrides)


def source_of(checkpoint: str, weights: str | None, runs: Path) -> LoadedWeights:
    """The weights that ``tinkit convert`` is given: of a run, by a word of ``--weights``, or of a file.

    Of a foreign file that holds several, ``weights`` is the place of those that are meant (``state_dict_ema``). Raises
    :class:`~tinkit.errors.UserError`.
    """
    path = Path(checkpoint)
    if weights is None or not path.is_file() or is_checkpoint(path):
        return open_source(checkpoint, runs, weights)
    file = read_file(path, weights)
    return LoadedWeights(path, file.state, file.classes)
