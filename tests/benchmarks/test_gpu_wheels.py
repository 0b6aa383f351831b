"""`make gpu` without a package index: its packages are enough, and what lacks one says so."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.gpu_wheels import IMAGE, WHEELS
from tests.helpers.places import ROOT

SCRIPT = ROOT / "benchmarks" / "gpu.sh"
EXTRAS = {
    "cv2",
    "distributed",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "vl_convert",
}  # imported where they are asked for
MARK = re.compile(r"pytest\.mark\.gpu\b")
GPU_TESTS = sorted(path for path in (ROOT / "tests").rglob("test_*.py") if MARK.search(path.read_text()))


def requirements(name: str) -> Iterator[str]:
    """What a distribution needs here, extras left out; nothing for one that is not installed here."""
    try:
        wanted = map(Requirement, distribution(name).requires or [])
    except PackageNotFoundError:
        return
    yield from (one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""}))


def closure(names: Iterable[str]) -> set[str]:
    """The distributions, and all that they need, by their canonical names."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found.add(name)
            waiting.extend(requirements(name))
    return found


def imported(file: Path) -> set[str]:
    """The top-level names of all that a file imports, in functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """For a Python started with -S: an environment in which it sees the image's packages, the wheels and no others."""
    site = tmp_path_factory.mktemp("site")
    for name in closure(IMAGE) | set(WHEELS):
        try:
            there = distribution(name)
        except PackageNotFoundError:
            continue
        for top in {file.parts[0] for file in there.files or []} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(there.locate_file(top))
    return {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}


def run(machine: dict[str, str], *words: str) -> str:
    command = [sys.executable, "-S", *words]
    done = subprocess.run(command, cwd=ROOT, env=machine, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_module_that_tinkit_imports_is_in_the_image_or_a_wheel() -> None:
    covered = closure(IMAGE) | set(WHEELS)
    owners = {name: {canonicalize_name(one) for one in of} for name, of in packages_distributions().items()}
    files = [*(ROOT / "tinkit").rglob("*.py"), *GPU_TESTS]
    names = set().union(*map(imported, files)) - set(sys.stdlib_module_names) - {"tinkit", "tests"} - EXTRAS
    assert {"torch", "av", "pydantic", "tomli_w"} <= names
    assert {name for name in names if not owners.get(name, set()) & covered} == set()


def test_the_wheels_need_nothing_that_is_neither_in_the_image_nor_a_wheel() -> None:
    covered = closure(IMAGE) | set(WHEELS)
    assert set(map(canonicalize_name, [one for name in WHEELS for one in requirements(name)])) - covered == set()
    assert "pydantic-core" in requirements("pydantic")


def test_the_wheels_are_pinned() -> None:
    pinned = re.findall(r"(?m)^([\w-]+)==", (ROOT / "constraints.txt").read_text())
    assert set(WHEELS) <= {canonicalize_name(name) for name in pinned}


@pytest.mark.slow
def test_the_tests_that_need_a_card_are_collected_with_these_packages_alone(machine: dict[str, str]) -> None:
    files = [str(path.relative_to(ROOT)) for path in GPU_TESTS]
    shown = run(machine, "-m", "pytest", "-m", "gpu", "--collect-only", "-p", "no:cacheprovider", *files)
    for file in files:
        assert f"{file}::" in shown
    assert " error" not in shown


@pytest.mark.slow
def test_the_benchmark_and_the_command_start_with_these_packages_alone(machine: dict[str, str]) -> None:
    looked_for = "import benchmarks.gpu_ops, importlib.util as u; print(u.find_spec('onnx'), u.find_spec('xdist'))"
    assert run(machine, "-c", looked_for) == "None None\n"
    assert "build" in run(machine, "-m", "tinkit", "kernels", "--help")


def test_what_is_missing_or_too_old_is_named(machine: dict[str, str], tmp_path: Path) -> None:
    asked = "from benchmarks.gpu_wheels import unmet; print('; '.join(unmet()))"
    assert run(machine, "-c", asked) == "\n"
    old = tmp_path / "rich-1.0.dist-info" / "METADATA"
    old.parent.mkdir()
    old.write_text("Metadata-Version: 2.1\nName: rich\nVersion: 1.0\n")
    others, root = machine["PYTHONPATH"].split(os.pathsep)
    shadowed = {**machine, "PYTHONPATH": os.pathsep.join([str(tmp_path), others, root])}
    assert re.fullmatch(r"rich 1\.0 is there, rich>=[\d.]+ is needed\n", run(shadowed, "-c", asked))
    without = run({**machine, "PYTHONPATH": str(ROOT)}, "-c", asked)
    assert without.startswith("av is missing; numpy is missing; ")
    assert "pytest is missing" in without


def gpu(**variables: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(SCRIPT), sys.executable]
    environment = {**os.environ, **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_folder_without_the_wheels_is_refused(tmp_path: Path) -> None:
    done = gpu(WHEELS=str(tmp_path))
    assert done.returncode == 1
    assert f"{tmp_path} lacks a wheel that fits: `make gpu-wheels` gathers them" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_it_names_the_tests_and_says_so() -> None:
    done = gpu(WHEELS="")
    assert done.returncode == 1
    assert "tests/kernels/test_gpu.py::test_demo_trains[bf16]" in done.stderr
    assert done.stderr.endswith("no CUDA device: what make gpu checks and measures needs one\n")
