"""Two small trained runs with scores, and a fusion of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.tiny_runs import train
from tinkit.cli.app import app


@pytest.fixture(scope="package")
def workshop(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``runs`` (tin, tsn) and ``fusions`` (both), all tested on ``val``. Read only."""
    folder = tmp_path_factory.mktemp("workshop")
    runs = folder / "runs"
    train(challenge, runs, "tin")
    train(challenge, runs, "tsn", recipe="demo_tsn")
    for run in ("tin", "tsn"):
        app(["test", run, "--split", "val", "--runs", str(runs)], standalone_mode=False)
    where = ["--runs", str(runs), "--fusions", str(folder / "fusions")]
    app(
        ["ensemble", "tin", "tsn", "--name", "both", "--apply", "none", "--worth", "--front", *where],
        standalone_mode=False,
    )
    return folder
