"""What pyproject.toml, CITATION.cff, constraints.txt and the package say of tinkit agree."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tinkit
from tests.helpers.places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def test_the_version_stands_once(tmp_path: Path) -> None:
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == tinkit.__version__
    command = [sys.executable, "-m", "tinkit", "--version"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert shown == f"tinkit {tinkit.__version__}\n"


def test_the_changelog_begins_with_this_version() -> None:
    (first, *_) = re.findall(r"(?m)^## (\S+)", (ROOT / "CHANGELOG.md").read_text())
    assert first == tinkit.__version__


def test_the_classifiers_name_the_interpreters_of_the_readme() -> None:
    lowest, highest = re.search(r"Python 3\.(\d+) to 3\.(\d+)", (ROOT / "README.md").read_text()).groups()
    named = [int(minor) for minor in re.findall(r"Python :: 3\.(\d+)", "\n".join(PROJECT["classifiers"]))]
    assert named == list(range(int(lowest), int(highest) + 1))
    assert PROJECT["requires-python"] == f">=3.{lowest}"


def test_the_addresses_are_those_of_the_papers_that_are_cited() -> None:
    cited = re.findall(r"arXiv:(\S+?)\"", (ROOT / "CITATION.cff").read_text())
    assert sorted(PROJECT["urls"].values()) == [f"https://arxiv.org/abs/{number}" for number in sorted(cited)]


def test_what_make_installs_is_in_the_range_that_is_supported() -> None:
    pins = dict(re.findall(r"(?m)^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text()))
    asked = [Requirement(one) for one in [*PROJECT["dependencies"], *EXTRAS["flow"], *EXTRAS["onnx"], *EXTRAS["dev"]]]
    for one in asked:
        pin = pins.get(canonicalize_name(one.name))
        assert pin is None or one.specifier.contains(pin), f"{one} is asked for, {pin} is installed"
    unpinned = {Requirement(one).name for one in PROJECT["dependencies"]} - set(pins)
    assert unpinned == set()


def test_pre_commit_runs_what_make_check_runs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    before_commit = {tuple(hook["entry"].removeprefix(".venv/bin/").split()[:2]) for hook in hooks}
    (recipe,) = re.findall(r"(?m)^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text())
    checked = {tuple(line.split()[:2]) for line in recipe.replace("\t$(BIN)/", "").splitlines()}
    for commands in (before_commit, checked):
        assert {words[0] for words in commands} == {"ruff", "mypy", "codespell", "clang-format"}
        assert {("ruff", "format"), ("ruff", "check")} <= commands
    installed = {canonicalize_name(Requirement(one).name) for one in EXTRAS["dev"]}
    assert {words[0] for words in checked} <= installed
