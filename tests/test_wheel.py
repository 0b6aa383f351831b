"""The wheel in an environment of its own: names what it ships and trains a step, with no checkout in sight."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import tinkit
from tests.helpers.places import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_is_pure_and_holds_what_is_shipped(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("recipes", "ensembles", "submissions", "kernels"):
        there = {f"tinkit/_shipped/{folder}/{path.name}" for path in (ROOT / folder).iterdir() if path.is_file()}
        assert there
        assert there <= names
    assert {f"tinkit/_shipped/{path.relative_to(ROOT)}" for path in (ROOT / "kernels").rglob("*.h")} <= names
    assert "tinkit/released/released.csv" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "demo"))]


def test_wheel_says_its_version_and_that_it_is_typed(wheel: Path) -> None:
    assert wheel.name == f"tinkit-{tinkit.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"tinkit-{tinkit.__version__}.dist-info/METADATA").decode()
        assert archive.read("tinkit/py.typed") == b""
    assert f"\nVersion: {tinkit.__version__}\n" in metadata
    assert "\nClassifier: Typing :: Typed\n" in metadata


@pytest.mark.slow
def test_installed_wheel_lists_finds_and_trains(wheel: Path, challenge: Path, tmp_path: Path) -> None:
    # The dependencies are this environment's, by path: installing PyTorch again would take minutes. An editable tinkit
    # is not among them, since its .pth file is not followed from there. `make proof-wheel` installs everything anew.
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = tmp_path / "env" / "lib" / version / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "TINKIT_DATA")}

    def run(*words: str) -> str:
        command = [str(python), "-c", "from tinkit.cli.app import main; main()", *words]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    where = subprocess.run(
        [str(python), "-c", "import tinkit; print(tinkit.__file__)"], cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert where.startswith(str(site))
    assert "mmit_r50" in run("recipes", "--json")
    doctor = run("doctor", "--json")
    assert f"{len(list((ROOT / 'recipes').glob('*.toml')))} recipes" in doctor
    assert f"{site}/tinkit/_shipped/kernels" in doctor
    shown = run("train", "demo_tin", "--data", str(challenge), "--set", "optim.batch=4", "--steps", "1")
    assert "resume with: tinkit train --resume" in shown
    assert (tmp_path / "runs" / "demo_tin" / "checkpoints" / "last.safetensors").is_file()
