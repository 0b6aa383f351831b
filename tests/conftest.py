"""What several tests share: one small synthetic challenge of real mp4 files, made once a process."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
import typer.main
import typer.testing
from hypothesis import settings

from tests.helpers.places import ROOT
from tinkit.data.synth import SynthSpec, synthesise
from tinkit.run_folder import LEDGER

# No test depends on how busy the machine is.
settings.register_profile("tinkit", deadline=None)
settings.load_profile("tinkit")


@pytest.fixture(scope="session")
def challenge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a multi-label challenge in MMIT's layout: 24, 8 and 8 clips. Read only: copy it to change it."""
    root = tmp_path_factory.mktemp("challenge") / "data"
    synthesise(SynthSpec("mmit", clips=24, val=8, test=8, seed=3, size=48, frames=12), root, workers=0)
    return root


@pytest.fixture(autouse=True)
def _same_draws_every_time() -> None:
    """A test draws the same numbers alone, in any order and on any worker."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_handed_in_from_the_root() -> Iterator[None]:
    """A test whose `tinkit submit` keeps its ledger in the repository is to name another, or another folder."""
    ledger = ROOT / LEDGER
    before = ledger.exists()
    yield
    assert before or not ledger.exists(), f"a test has written {ledger}"


@pytest.fixture(scope="session", autouse=True)
def _commands_are_built_once() -> Iterator[None]:
    """Typer builds every command of an app anew at each call, which takes longer than most commands do."""
    with pytest.MonkeyPatch.context() as patch:
        built = cache(typer.main.get_command)
        patch.setattr(typer.main, "get_command", built)
        patch.setattr(typer.testing, "_get_command", built)
        yield
