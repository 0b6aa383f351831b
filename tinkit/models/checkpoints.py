"""Read weights from a file that anyone may have made: nothing in it is ever executed."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from tinkit.errors import UserError
from tinkit.models.stand_ins import allowed_names

# Where training scripts put the weights inside what they save.
WRAPPERS = ("state_dict", "model", "model_state_dict", "model_state", "weights")
CLASSES_KEY = (
    "classes"  # the names of the classes in order: in a safetensors file's metadata as JSON, or under ``meta``
)


@dataclass(frozen=True)
class ForeignFile:
    """What a file of weights holds."""

    state: dict[str, Tensor]
    classes: tuple[str, ...] | None
    """The names of the classes in the order of the classifier, where a file of ``tinkit convert`` tells them."""


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a file of weights: :func:`read_file` says which files, and what is raised."""
    return read_file(path).state


def read_file(path: str | Path) -> ForeignFile:
    """The state dict in a safetensors file or in one of ``torch.save``, on the CPU, and the names of its classes.

    Looks inside ``{"state_dict": ...}``, ``{"model": ...}`` and the like. Entries that are not tensors are left out.
    Raises :class:`~tinkit.errors.UserError` for a file that is missing, damaged, without weights, or that holds Python
    objects beside tensors, which ``torch.load(weights_only=True)`` refuses to rebuild.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("no such file", file=path, expected="a checkpoint: safetensors, or a file of torch.save")
    with path.open("rb") as handle:
        head = handle.read(9)
    if head[8:] == b"{":
        content, classes = _read_safetensors(path)
    else:
        content = _read_pickle(path)
        about = content.get("meta") if isinstance(content, dict) else None
        classes = about.get(CLASSES_KEY) if isinstance(about, dict) else None
    weights = _unwrap(content)
    if not weights:
        raise UserError("holds no weights", file=path, expected=f"a state dict, or one under {', '.join(WRAPPERS)}")
    return ForeignFile(weights, _class_names(classes, path) if classes else None)


def _class_names(classes: Any, path: Path) -> tuple[str, ...]:
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) for name in classes):
        raise UserError("its names of classes are no list of text", file=path, expected="a file of `tinkit convert`")
    return tuple(classes)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    try:
        with safe_open(path, "pt") as file:
            classes = (file.metadata() or {}).get(CLASSES_KEY, "null")
        return load_file(path), json.loads(classes)
    except Exception as error:  # the format's own errors, and whatever a damaged header leads to
        raise _damaged(path, error) from error


def _read_pickle(path: Path) -> Any:
    with torch.serialization.safe_globals(allowed_names()):
        try:
            return _load(path)
        except Exception as error:  # a damaged pickle can raise nearly anything
            objects = _refused_objects(path, error)
            if not objects:
                raise _damaged(path, error) from error
            raise UserError(
                f"holds Python objects beside tensors ({', '.join(objects[:5])}); they were not loaded, "
                "since rebuilding them could run any code",
                file=path,
                fix="where you trust its origin, load it yourself and save the weights alone: "
                "torch.save(model.state_dict(), 'weights.pth')",
            ) from error


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnicodeDecodeError:  # Python 2 wrote the bytes of NumPy's numbers as text
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch says that it does not heed the encoding, and does
            return torch.load(path, map_location="cpu", weights_only=True, encoding="latin1")


def _refused_objects(path: Path, error: Exception) -> list[str]:
    """The names of what ``weights_only`` refuses in the file; none if it cannot even be read."""
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # damaged, or of the format before PyTorch 1.6, where the first one stands in the error alone
        found = re.search(r"\bGLOBAL (\w+(?:\.\w+)*\.(\w+))", str(error))
    if found is None:
        return []
    with path.open("rb") as handle:
        handle.seek(max(0, path.stat().st_size - len(found[2]) - 1))
        cut = found[2].encode() in handle.read()  # the file ends within the name, less a byte taken for a line's end
    return [] if cut else [found[1]]


def _damaged(path: Path, error: Exception) -> UserError:
    with path.open("rb") as handle:
        head = handle.read(64).lstrip()
    reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    if head.startswith(b"version https://git-lfs"):
        reason = "it is Git LFS's note of where the file is"
    elif head.startswith(b"<"):
        reason = "it is a page of the web"
    elif "weights_only" in str(error):  # PyTorch says how to run whatever is in it, which nobody should
        reason = f"{type(error).__name__}: neither weights nor anything that may be loaded"
    return UserError(
        f"cannot be read as a checkpoint: {reason}",
        file=path,
        expected="a whole safetensors file or file of torch.save",
        fix="download or copy it again, and compare its size",
    )


def _unwrap(content: Any) -> dict[str, Tensor]:
    for _ in range(3):  # {"model": {"state_dict": ...}} is as deep as scripts go
        if not isinstance(content, dict):
            return {}
        inner = next((content[name] for name in WRAPPERS if isinstance(content.get(name), dict)), None)
        if inner is None:
            break
        content = inner
    return {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
