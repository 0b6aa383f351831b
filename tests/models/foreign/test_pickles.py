"""Checkpoints that hold foreign classes: the harmless ones that are known by name are passed over, others refused."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from tinkit.errors import UserError
from tinkit.models import read_checkpoint
from tinkit.pickles.machine import follow
from tinkit.pickles.names import Name, StandIn

WEIGHTS = {"backbone.conv1.conv.weight": torch.arange(6.0).view(2, 3)}


class HistoryBuffer:
    """What mmengine saves of a loss: two arrays, and methods of its own, which pickle by ``getattr``."""

    def __init__(self) -> None:
        self._log_history, self._count_history = np.array([0.5, 0.25]), np.array([1, 1])

    def mean(self) -> None:
        """Leaves a mark if it is ever called."""
        Path("executed").touch()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"statistics_methods": {"mean": HistoryBuffer.mean}}


class Calls:
    """Unpickled as it is, it calls a method that it finds by ``getattr``."""

    def __reduce__(self) -> tuple[Any, ...]:
        return HistoryBuffer.mean, (None,)


class Finds:
    """The same for something that harms."""

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (Path("executed"), "touch")


@pytest.fixture(autouse=True)
def _as_mmengine_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = "mmengine.logging.history_buffer"
    for part in ("mmengine", "mmengine.logging", name):
        monkeypatch.setitem(sys.modules, part, ModuleType(part))
    sys.modules[name].HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
    monkeypatch.setattr(HistoryBuffer, "__module__", name)
    monkeypatch.setattr(HistoryBuffer.mean, "__module__", name)
    monkeypatch.chdir(tmp_path)


def saved(**beside: Any) -> Path:
    path = Path("file.pth")
    torch.save({"state_dict": WEIGHTS, "meta": {"epoch": 50, "cfg": "model = dict()"}} | beside, path)
    for name in list(sys.modules):  # whoever reads it need not have mmengine
        if name.startswith("mmengine"):
            del sys.modules[name]
    return path


def test_the_history_of_losses_is_passed_over() -> None:
    hub = {"log_scalars": {"train/loss": HistoryBuffer()}, "runtime_info": {"epoch": 49}, "resumed_keys": {}}
    path = saved(message_hub=hub)
    assert set(torch.serialization.get_unsafe_globals_in_checkpoint(path)) >= {
        "builtins.getattr",
        "mmengine.logging.history_buffer.HistoryBuffer",
    }
    state = read_checkpoint(path)
    assert list(state) == list(WEIGHTS)
    assert torch.equal(state["backbone.conv1.conv.weight"], WEIGHTS["backbone.conv1.conv.weight"])


def test_arrays_are_passed_over_too() -> None:
    assert list(read_checkpoint(saved(scores=np.eye(3), names=np.array(["a", None], dtype=object)))) == list(WEIGHTS)


@pytest.mark.parametrize("trick", [Calls(), Finds(), [HistoryBuffer(), Calls()]])
def test_what_would_run_is_refused_and_does_not_run(trick: Any) -> None:
    path = saved(message_hub={"log_scalars": trick})
    with pytest.raises(UserError, match=r"file\.pth"):
        read_checkpoint(path)
    assert not Path("executed").exists()


class Surprise:
    """Of a program that nobody here has."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("never",)


def test_what_no_checkpoint_has_a_use_for_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(message_hub={"loss": HistoryBuffer(), "what": Surprise()})
    with pytest.raises(UserError, match=r"Python objects beside tensors.*builtin.*\.print") as caught:
        read_checkpoint(path)
    assert "HistoryBuffer" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_text_of_python_2_is_read() -> None:
    path = Path("old.pth")
    torch.save({"state_dict": WEIGHTS, "arch": "abc"}, path, _use_new_zipfile_serialization=False)
    text, old = b"X\x03\x00\x00\x00abc", b"U\x03\xe4bc"  # a byte that is no UTF-8
    assert path.read_bytes().count(text) == 1
    path.write_bytes(path.read_bytes().replace(text, old))
    assert list(read_checkpoint(path)) == list(WEIGHTS)


def test_stand_ins_keep_nothing_but_items() -> None:
    thing = follow(b"cpathlib\nPosixPath\n(Vtouch\ntR}(Vforward\ncbuiltins\ngetattr\nub.")
    assert isinstance(thing, StandIn)
    assert thing.name == Name("pathlib", "PosixPath")
    assert not thing
    assert thing.state is None
    assert not callable(thing)
    assert not hasattr(thing, "forward")
    config = follow(b"ceasydict\nEasyDict\n)\x81(Vlr\nI3\nu.")
    assert (config["lr"], config == {"lr": 3}, config == config) == (3, False, True)
