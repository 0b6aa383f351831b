"""timm beside a CPU build of PyTorch: mended where torchvision does not load, left alone where it does."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest
import torch

from tinkit import timm_import


def test_nothing_is_declared_where_torchvision_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    declared: list[str] = []

    def loads(name: str) -> ModuleType:
        imported.append(name)
        return ModuleType(name)

    monkeypatch.setattr(timm_import.importlib, "import_module", loads)
    monkeypatch.setattr(torch.library, "define", lambda name, *_: declared.append(name))
    assert timm_import.import_timm().__name__ == "timm"
    assert imported == ["torchvision", "timm"]
    assert declared == []


def test_other_failures_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> ModuleType:
        raise RuntimeError("something else")

    monkeypatch.setattr(timm_import.importlib, "import_module", fails)
    with pytest.raises(RuntimeError, match="something else"):
        timm_import.import_timm()


@pytest.mark.slow
def test_fresh_process_makes_models_and_transforms() -> None:
    code = (
        "from tinkit.timm_import import import_timm\n"
        "timm = import_timm(); assert import_timm() is timm\n"
        "from timm.data import create_transform, resolve_data_config\n"
        "model = timm.create_model('test_resnet')\n"
        "create_transform(**resolve_data_config({}, model=model))\n"
        "from torchvision.transforms import v2; v2.Resize(8)\n"
        "print('works')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "works", result.stderr
