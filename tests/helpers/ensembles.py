"""Runs to fuse, and `tinkit ensemble` as a user types it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers.fusion_members import write_run
from tinkit.cli.app import app
from tinkit.errors import UserError
from tinkit.scores import read_scores, write_scores


def three_runs(folder: Path) -> Path:
    """Three runs below ``folder``: `good` and `fair` know something, `noise` does not. Returns the folder of runs."""
    for run, strength in (("good", 2.5), ("fair", 1.0), ("noise", 0.0)):
        write_run(folder / "runs", run, strength=strength)
    return folder / "runs"


def ensemble(*words: str) -> str:
    """What the command prints; its UserErrors come through."""
    result = CliRunner().invoke(app, ["ensemble", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words: str) -> str:
    with pytest.raises(UserError) as caught:
        CliRunner().invoke(app, ["ensemble", *words], catch_exceptions=False)
    return str(caught.value)


def changed_info(path: Path, **facts: Any) -> None:
    table = read_scores(path)
    whole = dataclasses.replace(table, scores=np.array(table.scores), info=dataclasses.replace(table.info, **facts))
    write_scores(path, whole)
