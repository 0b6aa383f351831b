"""What tinkit survives: every module of benchmarks/faults/ tries its faults; the results go to docs/reliability.md.

    python -m benchmarks.proof_faults [--only NAME ...] [--seed 0] [--folder demo/faults] [--docs]

A module runs in a process of its own, so that a fault that brings it down costs its rows alone, and is a failure. Rows
go to benchmarks/results/faults.csv, where those of a module replace its earlier ones; the page is made from that file.
Exit status 1 if a case was not survived or a module failed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.faults.outcome import Outcome
from benchmarks.machine import machine
from benchmarks.tables import put_between
from tinkit.files.locks import in_turn, writing
from tinkit.terminal import plain

HERE = Path(__file__).parent
RESULT = HERE / "results" / "faults.csv"
PAGE = HERE.parent / "docs" / "reliability.md"
MARK = "proof-faults"
MOST_LINES = 60  # of the table of one kind; all rows are in the csv
SCRATCH = re.compile(r"/(?:tmp|work|home|root|var)/[^\s:'\"]*/(?=[^\s/])")
PATIENCE = 3600  # seconds for one module


def names() -> list[str]:
    """The modules that try faults; others in the folder help them."""
    return sorted(path.stem for path in (HERE / "faults").glob("*.py") if "\ndef run(" in path.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description="try every kind of fault")
    parser.add_argument("--only", nargs="+", choices=names(), default=names(), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("demo/faults"))
    parser.add_argument("--docs", action="store_true", help="make the page anew of what is there")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        run_module(asked.child, asked.folder, asked.seed)
        return
    failed = [] if asked.docs else [name for name in asked.only if not run_child(name, asked.folder / name, asked.seed)]
    rows = pd.read_csv(RESULT, keep_default_na=False)
    PAGE.write_text(put_between(PAGE.read_text(), MARK, as_markdown(rows)))
    lost = rows[rows["survived"] != "yes"]
    print(f"{len(rows)} cases, {len(rows) - len(lost)} survived" + "".join(f"; {name} failed" for name in failed))
    if len(lost) or failed:
        raise SystemExit(1)


def run_module(name: str, folder: Path, seed: int) -> None:
    """In the child: one JSON line a case."""
    for outcome in importlib.import_module(f"benchmarks.faults.{name}").run(folder, seed):
        print(f"\x1e{json.dumps(asdict(outcome))}", flush=True)


def run_child(name: str, folder: Path, seed: int) -> bool:
    """Whether the module came to its end and every case was survived; its rows are stored either way."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "benchmarks.proof_faults",
        "--child",
        name,
        "--folder",
        str(folder.resolve()),
        "--seed",
        str(seed),
    ]
    try:
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, errors="replace", timeout=PATIENCE)
        output, code = child.stdout, child.returncode
    except subprocess.TimeoutExpired as error:
        output, code = (error.stdout or b"").decode(errors="replace"), -1
    outcomes = list(outcomes_in(output))
    if code or not outcomes:
        outcomes.append(Outcome(f"the proof of {name} itself", "comes to its end", False, note=f"exit code {code}"))
    store(name, outcomes)
    lost = [outcome for outcome in outcomes if not outcome.survived]
    print(f"{name}: {len(outcomes)} cases, {len(lost)} not survived, {time.monotonic() - began:.0f} s", flush=True)
    for outcome in lost:
        print(f"  {outcome.kind}: {outcome.case} {outcome.note}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    return not lost


def outcomes_in(output: str) -> Iterator[Outcome]:
    """The cases among all that a module printed."""
    for line in output.split("\n"):  # not splitlines, which takes the mark for an end of line
        _, mark, text = line.partition("\x1e")
        if mark:
            yield Outcome(**json.loads(text))


def store(name: str, outcomes: list[Outcome]) -> None:
    """Put the rows in place of the module's earlier ones."""
    about = {"date": date.today().isoformat(), "machine": machine("torch", "pyarrow", "av"), "module": name}
    new = [about | {key: shown(value) for key, value in cells(outcome).items()} for outcome in outcomes]
    with in_turn(lambda: writing(RESULT)):  # several of these may run at once
        known = pd.read_csv(RESULT, keep_default_na=False, dtype=str) if RESULT.is_file() else pd.DataFrame()
        kept = known[known["module"] != name].to_dict("records") if len(known) else []
        rows = pd.DataFrame([*kept, *new]).sort_values("module", kind="stable")
        rows.to_csv(RESULT, index=False, lineterminator="\n")


def shown(text: str) -> str:
    """A cell without control characters, and without the paths of the machine that it comes from."""
    return plain(SCRATCH.sub("", text))


def cells(outcome: Outcome) -> dict[str, Any]:
    """An outcome as the csv has it."""
    figures = {name: getattr(outcome, name) for name in ("seconds", "megabytes")}
    return {
        "kind": outcome.kind,
        "case": outcome.case,
        "survived": "yes" if outcome.survived else "no",
        **{name: "" if value is None else f"{value:.2f}" for name, value in figures.items()},
        "note": outcome.note,
    }


def as_markdown(rows: pd.DataFrame) -> str:
    """All kinds with their counts, and each kind that has figures case by case."""
    total = [len(rows), int((rows["survived"] == "yes").sum())]
    head = ["kind", "cases", "survived", "longest, s", "most, MB"]
    lines = [f"{total[0]:,} cases, {total[1]:,} survived. {rows['machine'].iloc[-1]}; {rows['date'].max()}.", ""]
    kinds = [(kind, part) for _, module in rows.groupby("module") for kind, part in module.groupby("kind", sort=False)]
    lines += table(
        head, [[kind, str(len(part)), str((part["survived"] == "yes").sum()), *most(part)] for kind, part in kinds]
    )
    for kind, part in kinds:
        if any(most(part)):
            lines += ["", f"### {kind[0].upper()}{kind[1:]}", "", *detail(part)]
    return "\n".join(lines)


def most(part: pd.DataFrame) -> list[str]:
    """The largest of each figure; empty where the kind has none."""
    values = [pd.to_numeric(part[name], errors="coerce").max() for name in ("seconds", "megabytes")]
    return ["" if pd.isna(value) else f"{value:.1f}" for value in values]


def detail(part: pd.DataFrame) -> list[str]:
    """The cases of one kind, the first :data:`MOST_LINES` of them."""
    columns = ["case", *(name for name in ("seconds", "megabytes", "note") if any(part[name].astype(str) != ""))]
    lost = part["survived"] != "yes"
    shown = pd.concat([part[lost], part[~lost]]).head(MOST_LINES)
    rows = [[*(str(row[name]) for name in columns), row["survived"]] for _, row in shown.iterrows()]
    more = len(part) - len(shown)
    return [*table([*columns, "survived"], rows), *(["", f"and {more} more in the csv"] if more else [])]


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A table in markdown; a bar in a cell stays a bar."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines]


if __name__ == "__main__":
    main()
