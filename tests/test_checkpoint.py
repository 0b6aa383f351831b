"""Checkpoints: everything comes back, damage is said, a failed write keeps what was there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tinkit.engine.checkpoint import (
    Progress,
    is_checkpoint,
    load_weights,
    read_header,
    resume_checkpoint,
    save_checkpoint,
)
from tinkit.errors import UserError


def trained(optimizer_class: type[torch.optim.Optimizer] = torch.optim.SGD) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    settings = {"momentum": 0.9} if optimizer_class is torch.optim.SGD else {}
    optimizer = optimizer_class(model.parameters(), lr=0.1, **settings)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(5, 3)).square().mean().backward()
        optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.AdamW])
def test_everything_comes_back(tmp_path: Path, optimizer_class: type[torch.optim.Optimizer]) -> None:
    model, optimizer = trained(optimizer_class)
    progress = Progress(epoch=2, step=5, best=0.25, metrics={"sample_map": 0.2})
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, model, progress, {"classes": ["a", "é/+"]}, optimizer)
    drawn = torch.rand(4)
    other, other_optimizer = trained(optimizer_class)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert resume_checkpoint(path, other, other_optimizer) == progress
    assert torch.equal(torch.rand(4), drawn)
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name
    for inputs in (torch.randn(5, 3), torch.randn(5, 3)):
        for net, opt in ((model, optimizer), (other, other_optimizer)):
            opt.zero_grad()
            net(inputs).square().mean().backward()
            opt.step()
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name
    assert read_header(path)["info"]["classes"] == ["a", "é/+"]
    assert set(load_weights(path)) == set(model.state_dict())


def test_weights_alone_cannot_be_resumed(tmp_path: Path) -> None:
    model, optimizer = trained()
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, model, Progress(), {})
    with pytest.raises(UserError, match="weights only"):
        resume_checkpoint(path, model, optimizer)


def test_damage_and_other_files_are_said(tmp_path: Path) -> None:
    model, optimizer = trained()
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, model, Progress(), {}, optimizer)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        read_header(path)
    assert not is_checkpoint(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="not a tinkit checkpoint"):
        load_weights(path)
    with pytest.raises(UserError, match="missing"):
        load_weights(tmp_path / "none.safetensors")
    save_checkpoint(path, nn.Linear(1, 1), Progress(), {}, optimizer)
    with pytest.raises(UserError, match="not of this run's model"):
        resume_checkpoint(path, model, optimizer)


def test_full_disk_keeps_the_last_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer = trained()
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, model, Progress(epoch=1), {}, optimizer)
    before = path.read_bytes()

    def full(tensors: object, target: Path, metadata: object) -> None:
        Path(target).write_bytes(b"part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tinkit.engine.checkpoint.save_file", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, model, Progress(epoch=2), {}, optimizer)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.safetensors"]


def test_nothing_is_pickled(tmp_path: Path) -> None:
    model, optimizer = trained()
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, model, Progress(), {}, optimizer)
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    stored = {name: entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"}
    assert max(end for _, end in stored.values()) == len(data) - 8 - int.from_bytes(data[:8], "little")
