"""What a checkpoint holds: weights, their average, optimiser and scaler, and where training stood.

Everything is a tensor or JSON, so nothing is unpickled. No generator's state is kept: a run draws from (seed, step).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinkit.engine.runs.checkpoint_header import check_header
from tinkit.engine.runs.tensor_file import (
    check_tensor_file,
    is_tensor_file,
    read_tensor_file,
    read_tensor_header,
    write_tensor_file,
)
from tinkit.errors import UserError

_FORMAT = "tinkit-checkpoint-2"


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
    best_ema: float | None = None
    """The same for the averaged weights and ``best-ema``."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The newest validation."""
    plateau_best: float | None = None
    """The best value that the ``plateau`` schedule has seen."""
    plateau_bad: int = 0
    """Validations since then."""
    plateau_drops: int = 0
    """How often the rate was lowered."""
    nan_steps: int = 0
    """Steps of the run that were left out for a non-finite loss or gradient."""
    shown: dict[str, float] = field(default_factory=dict)
    """What the events tell of the newest step, by name."""

    @property
    def mean_loss(self) -> float:
        """The mean loss of the epoch's valid clips so far."""
        return self.loss / max(1, self.valid)


@dataclass(frozen=True)
class Snapshot:
    """A copy of everything that a checkpoint holds, so that training continues while it is written."""

    tensors: dict[str, Tensor]
    """By name, on the CPU: ``model.*``, ``ema.*``, ``optimizer.*``."""
    header: dict[str, Any]
    """JSON: ``progress``, ``info``, whether there is an ``ema``, which ``weights`` the file means (``raw`` or ``ema``);
    of optimiser and scaler all but tensors."""


def snapshot(
    model: nn.Module,
    progress: Progress,
    info: Mapping[str, Any],
    *,
    optimizer: torch.optim.Optimizer | None = None,
    ema: nn.Module | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> Snapshot:
    """Copy a training's state to memory. ``info`` is JSON kept beside the progress (classes, recipe, clips, ...).

    ``ema`` is the averaged model. With an ``optimizer`` a training can be resumed from the checkpoint. Models wrapped
    for many processes or compiled ones are given unwrapped: their names are saved as they are.
    """
    tensors = {f"model.{name}": _copy(tensor) for name, tensor in model.state_dict().items()}
    if ema is not None:
        tensors |= {f"ema.{name}": _copy(tensor) for name, tensor in ema.state_dict().items()}
    header: dict[str, Any] = {"format": _FORMAT, "progress": asdict(progress), "info": dict(info)}
    header["ema"], header["weights"] = ema is not None, "raw"
    if optimizer is not None:
        header["optimizer"] = _pack(optimizer.state_dict(), "optimizer", tensors)
    if scaler is not None:
        header["scaler"] = scaler.state_dict()
    # through text: a copy that later changes do not reach, and what JSON cannot hold fails here and not while writing
    return Snapshot(tensors, json.loads(json.dumps(header)))


def averaged_only(snapshot: Snapshot) -> Snapshot:
    """Of a snapshot with an ``ema`` the averaged weights alone, in a file that means these."""
    header = {name: snapshot.header[name] for name in ("format", "progress", "info", "ema")}
    tensors = {name: tensor for name, tensor in snapshot.tensors.items() if name.startswith("ema.")}
    return Snapshot(tensors, header | {"weights": "ema"})


def write_snapshot(snapshot: Snapshot, path: Path) -> None:
    """Write a checkpoint aside, flush it to the disk and rename it to ``path``; a failure leaves ``path`` as it was."""
    write_tensor_file(path, snapshot.tensors, snapshot.header)


def save_checkpoint(
    path: Path,
    model: nn.Module,
    progress: Progress,
    info: Mapping[str, Any],
    optimizer: torch.optim.Optimizer | None = None,
    *,
    ema: nn.Module | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> None:
    """:func:`snapshot` and :func:`write_snapshot` in one."""
    write_snapshot(snapshot(model, progress, info, optimizer=optimizer, ema=ema, scaler=scaler), path)


def read_header(path: Path) -> dict[str, Any]:
    """``progress`` and ``info`` of a checkpoint, without reading (or checking) its tensors."""
    return _known(read_tensor_header(path), path)


def check_checkpoint(path: Path) -> dict[str, Any]:
    """Read the whole file against its checksum; returns the header. UserError says what is wrong with it."""
    return _known(check_tensor_file(path), path)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All tensors by their names in the file, and the header. Raises as :func:`check_checkpoint` does."""
    tensors, header = read_tensor_file(path)
    return tensors, _known(header, path)


def is_checkpoint(path: Path) -> bool:
    """Whether ``path`` is a file that :func:`write_snapshot` wrote, judged by its beginning."""
    return is_tensor_file(path)


def load_weights(path: Path, *, ema: bool = False) -> dict[str, Tensor]:
    """The model's state dict in a checkpoint, or with ``ema`` that of the averaged model."""
    return read_weights(path, ema=ema)[0]


def read_weights(path: Path, *, ema: bool | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A model's state dict and :func:`read_header` of the same file, though a training may replace it meanwhile.

    With ``ema`` the averaged weights, without the raw ones, with None those that the file's header says it means.
    Raises :class:`~tinkit.errors.UserError` where they are not in it, and for None where it holds both and does not
    say, as files of earlier releases.
    """
    tensors, header = read_checkpoint(path)
    if ema is None:
        ema = _meant(header, path) == "ema"
    weights = _section(tensors, "ema" if ema else "model")
    if not weights and ema:
        raise UserError(
            "holds no averaged weights",
            file=path,
            expected="a checkpoint of a run with an [ema] table that has a decay",
        )
    if not weights:
        raise UserError("holds averaged weights (EMA) alone", file=path, fix="take these: --weights best-ema")
    return weights, header


def _meant(header: dict[str, Any], path: Path) -> str:
    """Which weights a file that has been taken out of its run means."""
    meant: str | None = header.get("weights")
    if meant is None and header.get("ema"):
        raise UserError(
            "holds raw weights and averaged ones (EMA), and does not say which of them it means",
            file=path,
            fix="say --weights best for the raw ones, or --weights best-ema for their average",
        )
    return meant or "raw"


def resume_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: nn.Module | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> Progress:
    """Put model, average, optimiser and scaler back to where they stood; returns the progress.

    A scaler takes what a checkpoint has for it, and starts afresh where there is nothing (``amp`` was changed). Raises
    :class:`~tinkit.errors.UserError` when the file is damaged, holds no optimiser, is of another model or optimiser,
    or has averaged weights where no ``ema`` takes them, or lacks them where one does.
    """
    tensors, header = read_checkpoint(path)
    if "optimizer" not in header:
        raise UserError(
            "holds weights only: a training cannot be resumed from it", file=path, expected="checkpoints/last"
        )
    averaged = _section(tensors, "ema")
    if (ema is not None) != bool(averaged):
        there, wanted = ("has", "none") if averaged else ("has no", "some")
        raise UserError(
            f"{there} averaged weights (EMA), and the run's recipe wants {wanted}",
            file=path,
            fix="leave the run's [ema] table as it was, or begin a new run with --tune-from",
        )
    _load(model, _section(tensors, "model"), path)
    if ema is not None:
        _load(ema, averaged, path)
    _load_optimizer(optimizer, _unpack(header["optimizer"], tensors, path), path)
    if scaler is not None and header.get("scaler"):
        try:
            scaler.load_state_dict(header["scaler"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"does not hold the state of a scaler: {error!r}", file=path) from error
    return Progress(**header["progress"])


def _copy(tensor: Tensor) -> Tensor:
    # strides stay as they are: rearranging channels_last weights is left to whoever writes the file
    return tensor.detach().to("cpu", copy=True)


def _pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """``value`` as JSON, its tensors copied into ``tensors`` under names that begin with ``name``."""
    if isinstance(value, Tensor):
        tensors[name] = _copy(value)
        return {"$tensor": name}
    if isinstance(value, torch.dtype):
        return {"$dtype": str(value).removeprefix("torch.")}
    if isinstance(value, Mapping):
        return {str(key): _pack(entry, f"{name}.{key}", tensors) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(entry, f"{name}.{index}", tensors) for index, entry in enumerate(value)]
    return value


def _unpack(value: Any, tensors: Mapping[str, Tensor], path: Path) -> Any:
    """What ``_pack`` was given; tuples have become lists, and keys text."""
    if isinstance(value, list):
        return [_unpack(entry, tensors, path) for entry in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value or "$dtype" in value:
        tensor, dtype = (str(value.get(kind)) for kind in ("$tensor", "$dtype"))
        found = tensors.get(tensor) if "$tensor" in value else getattr(torch, dtype, None)
        if not isinstance(found, Tensor | torch.dtype):
            raise UserError(f"its optimiser mentions {value}, which is not there"[:200], file=path)
        return found
    return {key: _unpack(entry, tensors, path) for key, entry in value.items()}


def _load(model: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"is not of this run's model: {error}", file=path) from error


def _load_optimizer(optimizer: torch.optim.Optimizer, packed: dict[str, Any], path: Path) -> None:
    saved = {int(index): entries for index, entries in packed["state"].items()}
    try:
        optimizer.load_state_dict({"param_groups": packed["param_groups"], "state": saved})
    except (ValueError, KeyError, TypeError, RuntimeError) as error:  # the last two: values of another kind
        raise UserError(f"is not of this run's optimiser: {error}", file=path) from error
    # PyTorch has given the states the parameters' type, so that narrower ones would round differently from now on. And
    # they lie in memory as in the file, not as channels_last parameters do, which takes optimisers' slow path.
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    indices = [index for group in packed["param_groups"] for index in group["params"]]
    for index, parameter in zip(indices, parameters, strict=True):
        for name, value in saved.get(index, {}).items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                held = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False)
                optimizer.state[parameter][name] = held.copy_(value)


def _section(tensors: Mapping[str, Tensor], section: str) -> dict[str, Tensor]:
    prefix = f"{section}."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _known(header: dict[str, Any], path: Path) -> dict[str, Any]:
    if header.get("format") != _FORMAT:
        raise UserError("is a checkpoint of another version of tinkit", file=path, expected=f"the format {_FORMAT}")
    return check_header(header, path, {entry.name: str(entry.type) for entry in fields(Progress)})
