"""Checkpoints: everything comes back to the bit, as a copy, in a file that is safetensors."""

from __future__ import annotations

import hashlib
import json
import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import nn

from tests.helpers.small_checkpoints import INFO, build, small, train, trained
from tinkit.engine.runs.checkpoint import (
    Progress,
    load_weights,
    read_header,
    resume_checkpoint,
    save_checkpoint,
    snapshot,
    write_snapshot,
)
from tinkit.engine.runs.tensor_file import read_tensor_file, write_tensor_file
from tinkit.errors import UserError
from tinkit.timm_import import import_timm


def same(first: nn.Module, second: nn.Module) -> None:
    assert list(first.state_dict()) == list(second.state_dict())
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def tensors_in(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    return [tensor for entry in entries for tensor in tensors_in(entry)]


@pytest.mark.parametrize("name", ["momentum", "sgd", "adamw", "lamb", "adafactorbv", "muon", "lion"])
def test_training_goes_on_to_the_same_bits(tmp_path: Path, name: str) -> None:
    model, optimizer = trained(name)
    path = tmp_path / "last.safetensors"
    progress = Progress(epoch=2, step=5, best=0.25, metrics={"sample_map": 0.2}, plateau_bad=3)
    save_checkpoint(path, model, progress, INFO, optimizer)
    other = small(seed=1)
    other_optimizer = build(name, other)
    assert resume_checkpoint(path, other, other_optimizer) == progress
    same(model, other)
    for net, opt in ((model, optimizer), (other, other_optimizer)):
        train(net, opt, range(3, 6))
    same(model, other)
    assert read_header(path)["info"] == INFO
    assert list(load_weights(path)) != []


def test_nested_and_narrow_states_come_back(tmp_path: Path) -> None:
    model, optimizer = trained("adafactorbv")  # a momentum in bfloat16, and a type among its settings
    for parameter in model.parameters():
        optimizer.state[parameter]["factors"] = [torch.randn(2, 2), torch.randn(3)]  # as timm's kron keeps them
        optimizer.state[parameter]["counts"] = {"seen": 3, "mean": torch.randn(1)}
    save_checkpoint(tmp_path / "a.safetensors", model, Progress(), INFO, optimizer)
    other = small()
    again = build("adafactorbv", other)
    resume_checkpoint(tmp_path / "a.safetensors", other, again)
    before, after = tensors_in(optimizer.state_dict()), tensors_in(again.state_dict())
    assert torch.bfloat16 in [tensor.dtype for tensor in before]
    assert [tensor.dtype for tensor in before] == [tensor.dtype for tensor in after]
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
    assert again.state[other.get_parameter("0.weight")]["counts"]["seen"] == 3


def test_states_lie_in_memory_as_the_parameters_do(tmp_path: Path) -> None:
    model, optimizer = trained("adamw")
    save_checkpoint(tmp_path / "a.safetensors", model, Progress(), INFO, optimizer)
    other = small()
    again = build("adamw", other)
    resume_checkpoint(tmp_path / "a.safetensors", other, again)
    weight = other.get_parameter("0.weight")
    assert not weight.is_contiguous()
    assert again.state[weight]["exp_avg"].stride() == weight.stride()
    assert again.state[weight]["step"].shape == ()


def test_averaged_weights_and_scaler_come_back(tmp_path: Path) -> None:
    import_timm()
    from timm.utils import ModelEmaV3

    model, optimizer = trained()
    ema = ModelEmaV3(model, decay=0.5)
    train(model, optimizer, range(3, 6))
    ema.update(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**9)
    scaler.scale(model(torch.randn(2, 3, 4, 4)).sum() * math.inf).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0**8
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, model, Progress(), INFO, optimizer, ema=ema.module, scaler=scaler)

    other, average = small(seed=1), small(seed=2)
    fresh = torch.amp.GradScaler("cpu")
    resume_checkpoint(path, other, build("momentum", other), average, fresh)
    same(model, other)
    same(ema.module, average)
    assert fresh.state_dict() == scaler.state_dict()
    raw, averaged = load_weights(path), load_weights(path, ema=True)
    assert set(raw) == set(averaged) == set(model.state_dict())
    assert torch.equal(averaged["0.weight"], ema.module.get_parameter("0.weight"))
    assert not torch.equal(averaged["0.weight"], raw["0.weight"])
    assert read_header(path)["ema"]
    with pytest.raises(UserError, match=r"has averaged weights .* wants none"):
        resume_checkpoint(path, other, build("momentum", other))
    save_checkpoint(path, model, Progress(), INFO, optimizer)
    with pytest.raises(UserError, match=r"has no averaged weights .* wants some"):
        resume_checkpoint(path, other, build("momentum", other), average)
    with pytest.raises(UserError, match="holds no averaged weights"):
        load_weights(path, ema=True)
    resume_checkpoint(path, other, build("momentum", other), scaler=fresh)  # amp was changed: the scaler starts afresh


def test_a_snapshot_is_a_copy(tmp_path: Path) -> None:
    model, optimizer = trained()
    info = deepcopy(INFO)
    before = deepcopy(model), deepcopy(optimizer.state_dict())
    taken = snapshot(model, Progress(), info, optimizer=optimizer, ema=model)
    train(model, optimizer, range(3, 6))
    optimizer.param_groups[0]["lr"] = 7.0
    info["classes"].append("late")  # type: ignore[attr-defined]
    write_snapshot(taken, tmp_path / "a.safetensors")
    other = small(seed=1)
    again = build("momentum", other)
    resume_checkpoint(tmp_path / "a.safetensors", other, again, small())
    same(before[0], other)
    assert again.param_groups[0]["lr"] == 0.05
    for one, two in zip(tensors_in(before[1]), tensors_in(again.state_dict()), strict=True):
        assert torch.equal(one, two)
    assert read_header(tmp_path / "a.safetensors")["info"] == INFO


numbers = st.floats(allow_nan=False)


@settings(max_examples=40)
@given(numbers, st.none() | numbers, st.dictionaries(st.text(), numbers), st.integers(0, 2**60))
def test_progress_comes_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, loss: float, best: float | None, metrics: dict[str, float], count: int
) -> None:
    progress = Progress(count, count, loss, count, count, best, best, metrics, plateau_best=best, nan_steps=count)
    path = tmp_path_factory.getbasetemp() / "progress.safetensors"
    write_tensor_file(path, {}, snapshot(nn.Identity(), progress, {}).header)
    assert Progress(**read_header(path)["progress"]) == progress


FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)


@pytest.mark.parametrize("dtype", [*FLOATS, *WHOLE])
def test_every_type_and_shape_comes_back(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {
        "odd": torch.arange(3).to(dtype),
        "scalar": torch.tensor(1).to(dtype),
        "empty": torch.zeros(0, 3).to(dtype),
        "turned": torch.arange(6).reshape(2, 3).to(dtype).T,
        "wide": torch.zeros(1, dtype=torch.float64),
        "flag": torch.ones(1, dtype=torch.bool),
    }
    write_tensor_file(tmp_path / "a.safetensors", tensors, {})
    read, _ = read_tensor_file(tmp_path / "a.safetensors")
    assert set(read) == set(tensors)
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name].double(), tensor.double()), name


def test_the_file_is_safetensors_and_ends_in_its_checksum(tmp_path: Path) -> None:
    model, optimizer = trained("adamw")
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, model, Progress(), INFO, optimizer)
    data = path.read_bytes()
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    with safe_open(path, framework="pt") as file:  # the library accepts holes and overlaps in no file
        for name, tensor in model.state_dict().items():
            assert torch.equal(file.get_tensor(f"model.{name}"), tensor)
    length = int.from_bytes(data[:8], "little")
    layout = json.loads(data[8 : 8 + length])
    sizes = {"F32": 4, "I64": 8, "U8": 1}
    assert length % 8 == 0
    for name, entry in layout.items():
        assert name == "__metadata__" or entry["data_offsets"][0] % sizes[entry["dtype"]] == 0
