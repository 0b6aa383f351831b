"""One safetensors file a checkpoint: weights, optimiser state and generator state, and where training stood.

Everything is a tensor or JSON, so nothing is unpickled; the file is written aside, flushed and renamed.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tinkit.errors import UserError
from tinkit.files import atomic_path

_FORMAT = "tinkit-checkpoint-1"


@dataclass(frozen=True)
class Progress:
    """Where a training stands."""

    epoch: int = 0
    """Whole epochs done."""
    step: int = 0
    """Steps done in the epoch under way."""
    loss: float = 0.0
    """The losses of the epoch's valid clips so far, added up."""
    valid: int = 0
    """How many these are."""
    broken: int = 0
    """The epoch's clips so far that could not be decoded."""
    best: float | None = None
    """The best value so far of the metric that ``best`` goes by."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The newest validation."""

    @property
    def mean_loss(self) -> float:
        """The mean loss of the epoch's valid clips so far."""
        return self.loss / max(1, self.valid)


def save_checkpoint(
    path: Path,
    model: nn.Module,
    progress: Progress,
    info: dict[str, Any],
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Write ``path`` atomically. ``info`` is JSON kept beside the progress (classes, recipe hash, ...).

    With an ``optimizer`` the file also holds its state and the CPU generator's, and training can go on from it.
    """
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    header: dict[str, Any] = {"format": _FORMAT, "progress": asdict(progress), "info": info}
    if optimizer is not None:
        state = optimizer.state_dict()
        header["optimizer"] = {"param_groups": state["param_groups"], "state": {}}
        for index, entries in state["state"].items():
            for name, value in entries.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{index}.{name}"] = value.contiguous()
                else:
                    header["optimizer"]["state"][f"{index}.{name}"] = value
        tensors["rng.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["rng.cuda"] = torch.cuda.get_rng_state()
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={"tinkit": json.dumps(header)})
    except SafetensorError as error:
        # safetensors hides the operating system's error number in its text; a full disk must still be known as one
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def read_header(path: Path) -> dict[str, Any]:
    """``progress`` and ``info`` of a checkpoint, without reading its tensors."""
    return _open(path)[1]


def load_weights(path: Path) -> dict[str, Tensor]:
    """The model's state dict in a checkpoint."""
    tensors, _ = _read(path)
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}


def resume_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Put model, optimiser and generators back to where they stood; returns the progress.

    Raises :class:`~tinkit.errors.UserError` when the file is damaged, holds no optimiser, or is of another model.
    """
    tensors, header = _read(path)
    if "optimizer" not in header:
        raise UserError("holds weights only: training cannot go on from it", file=path, expected="checkpoints/last")
    weights = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"is not of this run's model: {error}", file=path) from error
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, entry = name.split(".", 2)
            state.setdefault(int(index), {})[entry] = tensor
    for name, value in header["optimizer"]["state"].items():
        index, entry = name.split(".", 1)
        state.setdefault(int(index), {})[entry] = value
    optimizer.load_state_dict({"param_groups": header["optimizer"]["param_groups"], "state": state})
    torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    return Progress(**header["progress"])


def is_checkpoint(path: Path) -> bool:
    """Whether ``path`` is a file that :func:`save_checkpoint` wrote."""
    try:
        _open(path)
    except UserError:
        return False
    return True


def _open(path: Path) -> tuple[list[str], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("tinkit", "{}"))
            names = list(file.keys())
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise UserError(f"is missing or damaged: {error}", file=path, expected="a tinkit checkpoint") from error
    if header.get("format") != _FORMAT:
        raise UserError("is not a tinkit checkpoint", file=path, fix="load foreign weights with --tune-from")
    return names, header


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    names, header = _open(path)
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in names}, header
