"""Checkpoints whose checksums are right and whose headers are not: each is refused by name wherever it is read."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.hostile_layouts import crafted_headers, crafted_layouts, relaid, with_header
from tinkit.engine.runs.checkpoint import (
    Progress,
    check_checkpoint,
    read_header,
    read_weights,
    resume_checkpoint,
    save_checkpoint,
)
from tinkit.engine.runs.checkpoint_header import KINDS
from tinkit.errors import UserError

INFO = {"classes": ["a", "b"], "task": "multi-label", "trained_on": ["train"], "recipe": {}, "clips": {"count": 3}}


def model_and_optimizer() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "last.safetensors"
    model, optimizer = model_and_optimizer()
    save_checkpoint(path, model, Progress(epoch=1, metrics={"x": 0.5}), INFO, optimizer)
    return path.read_bytes()


def faults(path: Path) -> list[str]:
    """What every way of reading the file says that is wrong; anything but UserError fails the test."""
    said = []
    model, optimizer = model_and_optimizer()
    for read in (
        lambda: read_header(path)["info"]["classes"],
        lambda: check_checkpoint(path),
        lambda: read_weights(path),
        lambda: resume_checkpoint(path, model, optimizer),
    ):
        try:
            read()
        except UserError as error:
            said.append(str(error))
    assert all(str(path) in one for one in said)
    return said


def test_a_good_one_is_good(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for data in (good, relaid(good, lambda header, data: (header, data), seal=True), with_header(good, lambda x: x)):
        path.write_bytes(data)
        assert faults(path) == []


def test_headers_of_other_kinds_are_refused(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for name, change in crafted_headers():
        path.write_bytes(with_header(good, change))
        assert faults(path), name


def test_layouts_of_other_kinds_are_refused(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for name, change in crafted_layouts():
        path.write_bytes(relaid(good, change, seal=True))
        assert len(faults(path)) >= (1 if name.startswith(("dtype", "a tensor")) else 4), name


def test_every_entry_of_a_progress_has_a_kind_that_is_checked() -> None:
    assert {str(entry.type) for entry in fields(Progress)} <= KINDS.keys()


def test_what_a_header_does_not_tell_is_said_where_it_is_asked(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"

    def change(header: dict[str, object]) -> object:
        return header | {"info": {}}

    path.write_bytes(with_header(good, change))
    info = read_header(path)["info"]
    assert (info.get("classes"), json.dumps(info)) == (None, "{}")
    with pytest.raises(UserError, match=r"a\.safetensors: its header .* does not tell 'classes'"):
        info["classes"]


@pytest.mark.parametrize("command", ["test", "export", "convert"])
def test_commands_end_in_a_message(
    good: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    from tests.helpers.scored_runs import command as tinkit
    from tinkit.files.shipped import shipped
    from tinkit.recipe import load_recipe, save_recipe

    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "x"
    save_recipe(load_recipe(str(shipped("recipes") / "demo_tsn.toml")).recipe, run / "recipe.toml")
    (run / "checkpoints").mkdir()
    more = ["--out", "out.pth"] if command != "test" else []
    for name, change in list(crafted_headers())[::12]:
        (run / "checkpoints" / "best.safetensors").write_bytes(with_header(good, change))
        assert tinkit(monkeypatch, command, "x", *more) in (1, 2), name
        assert "Traceback" not in capsys.readouterr().err
    shutil.rmtree(run)
