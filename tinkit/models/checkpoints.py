"""Read weights from a file that anyone may have made: nothing in it is ever executed."""

from __future__ import annotations

import json
import warnings
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
CLASSES_KEY = "classes"  # in a safetensors file's metadata: the names of the classes in order, as a JSON list


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a safetensors file or in one of ``torch.save``, on the CPU.

    Looks inside ``{"state_dict": ...}``, ``{"model": ...}`` and the like. Entries that are not tensors are left out.
    Raises :class:`~tinkit.errors.UserError` for a file that is missing, damaged, without weights, or that holds Python
    objects beside tensors, which ``torch.load(weights_only=True)`` refuses to rebuild.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("no such file", file=path, expected="a checkpoint: safetensors, or a file of torch.save")
    with path.open("rb") as handle:
        head = handle.read(9)
    content = _read_safetensors(path) if head[8:] == b"{" else _read_pickle(path)
    weights = _unwrap(content)
    if not weights:
        raise UserError("holds no weights", file=path, expected=f"a state dict, or one under {', '.join(WRAPPERS)}")
    return weights


def read_class_names(path: str | Path) -> tuple[str, ...] | None:
    """The names of the classes in the order of the classifier, where a file of ``tinkit convert`` tells them."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except Exception:  # not safetensors, or damaged: reading the weights says what it is
        return None
    return tuple(json.loads(metadata[CLASSES_KEY])) if CLASSES_KEY in metadata else None


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except Exception as error:  # the format's own errors, and whatever a damaged header leads to
        raise _damaged(path, error) from error


def _read_pickle(path: Path) -> Any:
    with torch.serialization.safe_globals(allowed_names()):
        try:
            return _load(path)
        except Exception as error:  # a damaged pickle can raise nearly anything
            objects = _refused_objects(path)
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


def _refused_objects(path: Path) -> list[str]:
    """The names of what ``weights_only`` refuses in the file; none if it cannot even be read."""
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # damaged, or of the format before PyTorch 1.6
        return []


def _damaged(path: Path, error: Exception) -> UserError:
    reason = (str(error).splitlines() or [""])[0][:200]
    return UserError(
        f"cannot be read as a checkpoint: {type(error).__name__}: {reason}",
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
