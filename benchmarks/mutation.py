"""A seeded sample of mutants of tinkit, each against the tests that run its function, into results/mutation.csv.

mutmut writes the mutants, chooses the tests and runs them; ``[tool.mutmut]`` in pyproject.toml says of which modules.
Here the sample is drawn. A mutant belongs to it by what it changes, not by its line or number: one that was sampled
stays so while other code changes. Left out are mutants that change only words: texts with a space in them, and the
``expected`` and ``fix`` of errors.

A survivor is to be killed by a test or explained in mutation_explained.csv. The exit code is 1 if one is neither. A
mutant that never ends is found as well as one that fails a test.
"""

from __future__ import annotations

import argparse
import ast
import csv
import difflib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MUTANTS = Path("mutants")
FOUND = ("killed", "timeout")
EXPLAINED = Path(__file__).parent / "mutation_explained.csv"
KEY = ("module", "function", "was", "becomes")
COLUMNS = ("module", "function", "line", "was", "becomes", "result", "explanation")
_MUTMUT = str(Path(sys.executable).with_name("mutmut"))
_FIRST = "tinkit.metrics.x_challenge_metric__mutmut_1"  # to test one mutant, mutmut generates all


@dataclass(frozen=True)
class Mutant:
    """One change of one function; ``name`` is mutmut's, ``line`` is that of the file that was mutated."""

    name: str
    module: str
    function: str
    line: int
    was: str
    becomes: str

    @property
    def key(self) -> tuple[str, ...]:
        """What stays the same when other lines change."""
        return (self.module, self.function, self.was, self.becomes)


def main() -> int:
    """Mutate, sample, test, write; 1 if a survivor has no explanation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=600, help="how many mutants (600)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (0)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes (all cores)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "mutation.csv")
    options = parser.parse_args()
    begin = time.monotonic()
    shutil.rmtree(MUTANTS, ignore_errors=True)
    run([_FIRST], options.jobs)
    population = sorted(
        (mutant for meta in MUTANTS.rglob("*.meta") for mutant in mutants_of(meta)),
        key=lambda mutant: hashlib.sha256(repr((options.seed, *mutant.key)).encode()).digest(),
    )
    sample = population[: options.sample]
    run([mutant.name for mutant in sample], options.jobs)
    rows = judged(sample)
    with options.out.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    counts = Counter(row["result"] for row in rows)
    open_ones = [row for row in rows if row["result"] not in FOUND and not row["explanation"]]
    for row in open_ones:
        print(
            f"{row['module']}:{row['line']} {row['function']}: {row['result']}\n  - {row['was']}\n  + {row['becomes']}"
        )
    minutes = (time.monotonic() - begin) / 60
    shown = ", ".join(f"{count} {result}" for result, count in counts.most_common())
    print(f"{len(sample)} of {len(population)} mutants, seed {options.seed}, in {minutes:.0f} min: {shown}")
    print(f"{len(open_ones)} neither killed nor explained")
    return 1 if open_ones else 0


def run(names: list[str], jobs: int) -> None:
    """Let mutmut test mutants; its tests run on one thread each."""
    threads = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    done = subprocess.run([_MUTMUT, "run", "--max-children", str(jobs), *names], env=os.environ | threads)
    if done.returncode:
        raise SystemExit(f"mutmut failed ({done.returncode}): do the tests pass?")


def mutants_of(meta: Path) -> Iterator[Mutant]:
    """The mutants of one module, but for those that change only words."""
    names = list(json.loads(meta.read_text())["exit_code_by_key"])
    module = meta.relative_to(MUTANTS).with_suffix("")
    source = (MUTANTS / module).read_text(encoding="utf-8")
    lines = source.splitlines()
    functions = dict(_functions(ast.parse(source)))
    first_lines = {name: node.lineno for name, node in _named(ast.parse(module.read_text(encoding="utf-8")))}
    for name in names:
        mangled = name.rpartition(".")[2]
        own = mangled.partition("__mutmut_")[0]
        before, after = functions[f"{own}__mutmut_orig"], functions[mangled]
        if _meaning(before) == _meaning(after):
            continue
        title = own.removeprefix("xǁ").replace("ǁ", ".") if "ǁ" in own else own.removeprefix("x_")
        old, new = (
            [line.replace(node.name, title) for line in lines[node.lineno - 1 : node.end_lineno]]
            for node in (before, after)
        )
        line, was, becomes = _change(old, new)
        yield Mutant(name, str(module), title, first_lines[title] + line, was, becomes)


def judged(sample: Iterable[Mutant]) -> list[dict[str, str | int]]:
    """The rows of the table, by module and line."""
    listed = subprocess.run([_MUTMUT, "results", "--all", "true"], capture_output=True, text=True, check=True).stdout
    results = dict(line.strip().split(": ", 1) for line in listed.splitlines() if "__mutmut_" in line)
    with EXPLAINED.open(newline="", encoding="utf-8") as handle:
        explained = {tuple(row[name] for name in KEY): row["explanation"] for row in csv.DictReader(handle)}
    rows = []
    for mutant in sorted(sample, key=lambda mutant: (mutant.module, mutant.line, mutant.becomes)):
        result = results[mutant.name]
        why = "" if result in FOUND else explained.get(mutant.key, "")
        values = (mutant.module, mutant.function, mutant.line, mutant.was, mutant.becomes, result, why)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def _named(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions and methods by ``name`` or ``Class.name``, as far in as mutmut mutates them."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for child in node.body:
                if isinstance(child, ast.FunctionDef):
                    yield f"{node.name}.{child.name}", child


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    return ((name.rpartition(".")[2], node) for name, node in _named(tree))


def _meaning(function: ast.FunctionDef) -> str:
    """The function without its name and its words."""
    tree = ast.parse(ast.unparse(function)).body[0]
    assert isinstance(tree, ast.FunctionDef)
    tree.name = ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            node.keywords = [keyword for keyword in node.keywords if keyword.arg not in ("expected", "fix")]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            node.value = " "
    return ast.dump(tree)


def _change(old: list[str], new: list[str]) -> tuple[int, str, str]:
    """The first line that differs, from 0, and the lines that differ, before and after."""
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    codes = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    was = [line.strip() for _, start, stop, _, _ in codes for line in old[start:stop]]
    becomes = [line.strip() for _, _, _, start, stop in codes for line in new[start:stop]]
    return codes[0][1], " ".join(was), " ".join(becomes)


if __name__ == "__main__":
    raise SystemExit(main())
