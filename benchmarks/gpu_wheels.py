"""The packages that `make gpu` needs on a machine without a package index.

    python -m benchmarks.gpu_wheels gather FOLDER          # make gpu-wheels, where there is an index
    python -m benchmarks.gpu_wheels install FOLDER SITE    # WHEELS=FOLDER make gpu, on the machine with the card

The machine's Python has the packages of ``IMAGE``, with all that they need. ``WHEELS`` are the others that tinkit
imports. They go into a folder of their own, so that the machine's environment stays as it is. Standard library only.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parent.parent

IMAGE = (
    "torch", "torchvision", "timm", "pyarrow", "scipy", "scikit-learn", "pandas", "tensorboard", "typer", "rich",
    "safetensors", "pytest", "hypothesis",
)  # fmt: skip
WHEELS = ("av", "simplejpeg", "pydantic", "pydantic-core", "annotated-types", "typing-inspection", "tomli-w")

PYTHON = "3.12"
GLIBC = range(5, 29)  # minor versions: PyTorch's own wheels need 2.28
LIMIT = 60_000_000  # bytes, of all wheels


def gather(folder: Path) -> None:
    """Download ``WHEELS``, in the versions of constraints.txt, into ``folder``; wheels of earlier calls are removed.

    Exits with 1 and the reason where one cannot be had, or all take more than ``LIMIT``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in GLIBC] + ["manylinux2014_x86_64", "manylinux1_x86_64"]
    target = ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp"]
    target += [word for platform in platforms for word in ("--platform", platform)]
    command = ["download", "--quiet", "--no-deps", "-c", str(ROOT / "constraints.txt"), "-d", str(folder)]
    _pip([*command, *target, *WHEELS], f"not all wheels for CPython {PYTHON} on x86-64 could be downloaded")
    sizes = {wheel.name: wheel.stat().st_size for wheel in sorted(folder.glob("*.whl"))}
    for name, size in sizes.items():
        print(f"{size / 1e6:6.1f} MB  {name}")
    print(f"{sum(sizes.values()) / 1e6:6.1f} MB  in {folder}")
    if sum(sizes.values()) > LIMIT:
        sys.exit(f"the wheels take more than {LIMIT / 1e6:.0f} MB")


def install(folder: Path, site: Path) -> None:
    """Install ``WHEELS`` from ``folder`` alone into ``site``, then check that every dependency of tinkit is there.

    Exits with 1 and the reason where a wheel or a dependency is missing.
    """
    command = ["--isolated", "install", "--quiet", "--no-index", "--find-links", str(folder), "--no-deps"]
    here = f"this is Python {sys.version_info.major}.{sys.version_info.minor} on {sys.platform}"
    failure = f"{folder} lacks a wheel that fits: `make gpu-wheels` gathers them for CPython {PYTHON}, and {here}"
    _pip([*command, "--upgrade", "--target", str(site), *WHEELS], failure)
    sys.path.insert(0, str(site))
    if lacking := unmet():
        sys.exit(f"{sys.executable} does not have what tinkit needs: {'; '.join(lacking)}")


def unmet() -> list[str]:
    """The dependencies in pyproject.toml, and the test runner, that this Python lacks or has in a version too old."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    found = []
    for requirement in [*dependencies, "pytest", "hypothesis"]:
        name, bounds = re.match(r"([\w-]+)(.*)", requirement).groups()  # type: ignore[union-attr]
        try:
            here = version(name)
        except PackageNotFoundError:
            found.append(f"{name} is missing")
            continue
        from packaging.specifiers import SpecifierSet  # comes with pytest

        if not SpecifierSet(bounds).contains(here, prereleases=True):
            found.append(f"{name} {here} is there, {requirement} is needed")
    return found


def _pip(arguments: list[str], failure: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, check=False).returncode:
        sys.exit(failure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("gather").add_argument("folder", type=Path)
    installing = commands.add_parser("install")
    installing.add_argument("folder", type=Path)
    installing.add_argument("site", type=Path)
    given = parser.parse_args()
    if given.command == "gather":
        gather(given.folder)
    else:
        install(given.folder, given.site)


if __name__ == "__main__":
    main()
