"""Read weights from a file that anyone may have made: nothing in it is ever executed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tinkit.errors import UserError
from tinkit.files.safetensors_layout import LayoutError, parse_json, read_layout
from tinkit.models.foreign.state_dicts import find_weights, is_averaged, is_worth_saying
from tinkit.models.foreign.torch_tensors import read_tensors
from tinkit.pickles.names import StandIn
from tinkit.pickles.tensors import OddTensor, PackedTensor, PickleError, RefusedError
from tinkit.pickles.torch_file import BarePickleError, TorchFile, open_torch_file

logger = logging.getLogger(__name__)

CLASSES_KEY = (
    "classes"  # the names of the classes in order: in a safetensors file's metadata as JSON, or under ``meta``
)


@dataclass(frozen=True)
class ForeignFile:
    """What a file of weights holds."""

    state: dict[str, Tensor]
    classes: tuple[str, ...] | None
    """The names of the classes in the order of the classifier, where a file of ``tinkit convert`` tells them."""
    under: str = ""
    """Where in the file the weights lie: ``state_dict``, ``model.state_dict``; empty for the file itself."""


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a file of weights: :func:`read_file` says which files, and what is raised."""
    return read_file(path).state


def read_file(path: str | Path, place: str | None = None) -> ForeignFile:
    """The state dict in a safetensors file or in one of ``torch.save``, on the CPU, and the names of its classes.

    Looks inside ``{"state_dict": ...}``, ``{"model": ...}`` and the like, or where ``place`` says; where there is a
    choice, what was taken and how to take another is logged. Entries that are not tensors are left out, and objects
    beside them are passed over. Raises :class:`~tinkit.errors.UserError` for a file that is missing, damaged, without
    weights, that mentions what no checkpoint has a use for, or whose weights are not plain tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("no such file", file=path, expected="a checkpoint: safetensors, or a file of torch.save")
    try:
        with path.open("rb") as handle:
            head = handle.read(9)
        if head[8:] == b"{" and head[:4] != b"PK\x03\x04":
            return _read_safetensors(path, place)
        return _read_torch(path, place)
    except (PickleError, LayoutError, SafetensorError) as error:
        raise _damaged(path, error) from error
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", file=path) from error


def _read_safetensors(path: Path, place: str | None) -> ForeignFile:
    with path.open("rb") as file:
        layout = read_layout(file)
    if not layout.tensors:
        raise UserError("holds no weights", file=path, expected="a state dict")
    if place:
        raise UserError(f"holds no weights under {place!r}: a safetensors file has no dictionaries", file=path)
    classes = parse_json(layout.metadata.get(CLASSES_KEY, "null"))
    try:
        state = load_file(path)
    except (AttributeError, KeyError) as error:  # the library knows this type of numbers, and PyTorch does not
        raise LayoutError(f"it has numbers of a type that PyTorch has not: {error}") from error
    return ForeignFile(state, _class_names(classes, path) if classes else None)


def _read_torch(path: Path, place: str | None) -> ForeignFile:
    try:
        file = open_torch_file(path)
    except RefusedError as error:
        raise UserError(
            f"holds Python objects beside tensors ({error}) that no checkpoint has a use for; nothing was loaded, "
            "since rebuilding them could run any code",
            file=path,
            fix="do not use this file unless you know who made it, and why",
        ) from error
    except BarePickleError as error:
        raise _bare_pickle(path, error) from error
    if isinstance(file.content, StandIn) and not file.content:
        raise UserError(
            f"holds a whole object ({file.content.name}) and not its weights",
            file=path,
            expected="a state dict",
            fix="where you trust its origin, load it with the program that made it, and save its weights alone: "
            "torch.save(model.state_dict(), 'weights.pth')",
        )
    return _weights_in(file, path, place)


def _weights_in(file: TorchFile, path: Path, place: str | None) -> ForeignFile:
    try:
        chosen, others = find_weights(file.content, place)
    except UserError as error:
        raise error.at(path) from error
    odd = {name: value for name, value in chosen.state.items() if isinstance(value, OddTensor)}
    if odd:
        name, value = next(iter(odd.items()))
        raise UserError(
            f"has {len(odd)} entries that are not plain tensors: {name[:200]} is {value.what}",
            file=path,
            expected="dense tensors with numbers",
            fix="save them as such: tensor.dequantize(), tensor.to_dense() or tensor.full_tensor()",
        )
    if others or is_worth_saying(chosen.place):
        _say_which(path, chosen.place, others)
    about = file.content.get("meta") if isinstance(file.content, dict) else None
    classes = about.get(CLASSES_KEY) if isinstance(about, dict) else None
    weights = read_tensors(file, chosen.state)
    return ForeignFile(weights, _class_names(classes, path) if classes else None, chosen.place)


def _say_which(path: Path, place: str, others: list[str]) -> None:
    kind = " (averaged weights)" if is_averaged(place) else ""
    beside = ""
    if others:
        named = ", ".join(f"{other!r}" for other in others[:6])
        beside = f"; there are more under {named}: `tinkit convert {path} --weights {others[0]} --out FILE` takes those"
    logger.warning("%s: the weights under %r%s are taken%s", path, place or "the file itself", kind, beside)


def _bare_pickle(path: Path, error: BarePickleError) -> UserError:
    content = error.content
    blobs = content.get("blobs") if isinstance(content, dict) else None
    if isinstance(blobs, dict):
        return UserError(
            f"is a Caffe2 checkpoint ({len(blobs)} blobs), which is not read here",
            file=path,
            expected="a file of torch.save or a safetensors file",
            fix="take the .pyth file of the same model from PySlowFast's model zoo, or load the .pkl in PySlowFast "
            "(TRAIN.CHECKPOINT_TYPE caffe2) and save a checkpoint there",
        )
    arrays = isinstance(content, dict) and any(_is_array(value) for one in _nested(content) for value in one.values())
    packed = isinstance(content, dict) and any(
        isinstance(value, PackedTensor) for one in _nested(content) for value in one.values()
    )
    if packed:
        return UserError(
            "is a plain pickle of tensors, which is not read here",
            file=path,
            expected="a file of torch.save or a safetensors file",
            fix="where you trust its origin, load it with pickle.load and save it with torch.save",
        )
    if arrays:
        return UserError(
            "is a pickle of NumPy arrays, which is not read here",
            file=path,
            expected="a file of torch.save or a safetensors file",
            fix="save the arrays as tensors: safetensors.numpy.save_file(arrays, 'weights.safetensors')",
        )
    if isinstance(content, dict | list | tuple | StandIn):
        return UserError("is a pickle without tensors", file=path, expected="a file of torch.save or safetensors")
    return _damaged(path, error)


def _nested(content: dict[Any, Any]) -> list[dict[Any, Any]]:
    return [content, *(value for value in content.values() if isinstance(value, dict))]


def _is_array(value: Any) -> bool:
    return isinstance(value, StandIn) and value.state is not None and str(value.name) != "numpy.dtype"


def _class_names(classes: Any, path: Path) -> tuple[str, ...]:
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) for name in classes):
        raise UserError("its class names are not a list of text", file=path, expected="a file of `tinkit convert`")
    return tuple(classes)


def _damaged(path: Path, error: Exception) -> UserError:
    with path.open("rb") as handle:
        begins = handle.read(265)
    head = begins.lstrip()
    reason = (str(error).splitlines() or [""])[0][:200]
    if head.startswith(b"version https://git-lfs"):
        reason = "it is Git LFS's note of where the file is"
    elif head.startswith(b"<"):
        reason = "it is a page of the web"
    elif begins[:2] == b"\x1f\x8b" or begins[257:262] == b"ustar":
        reason = "it is an archive (tar or gzip): unpack it first"
    return UserError(
        f"cannot be read as a checkpoint: {reason}",
        file=path,
        expected="a whole safetensors file or file of torch.save",
        fix="download or copy it again, and compare its size",
    )
