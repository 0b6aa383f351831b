"""A run killed by SIGKILL at 20 moments and resumed each time, beside an unbroken one: are all bits equal?

    python -m benchmarks.proof_resume [--kills 20] [--seed 0] [--folder demo/proof_resume]

The run has all that a resumed one must find again: momentum, dropout, mixed clips, averaged weights, a learning rate
that a plateau lowers, a clip that cannot be decoded. At least four kills hit the writing of a checkpoint and four a
validation. Weights, optimiser state, averages, tables and TensorBoard events are compared to the last bit, all but
timing. Writes a row a kill and a summary to benchmarks/results/proof_resume.csv; exit status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd

from benchmarks.machine import machine
from tests.helpers.killed_run import Moment, kill_at
from tests.helpers.same_runs import compare_runs
from tinkit.data.synth import SynthSpec, synthesise
from tinkit.engine.runs.run import Run

RESULT = Path(__file__).parent / "results" / "proof_resume.csv"
LEAST: dict[Moment, int] = {"write": 4, "validation": 4}
EPOCHS, STEPS = 6, 12  # steps an epoch
SETTINGS = [
    "optim.batch=16", f"optim.epochs={EPOCHS}", "optim.groups=published", "model.dropout=0.5", "mix.mixup=0.2",
    "ema.decay=0.9", "schedule.kind=plateau", "schedule.patience=0", "schedule.factor=0.5", "save.every=2",
    "save.keep=3", "train.val_every=1", "train.max_broken=0.1",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="kill a run, resume it, compare it with an unbroken one")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("demo/proof_resume"))
    asked = parser.parse_args()
    data = make_data(asked.folder / "data")
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of every event that a resumed run took back
    for name in ("whole", "broken"):
        shutil.rmtree(asked.folder / name, ignore_errors=True)
    whole, broken = (Run(asked.folder / name / "run") for name in ("whole", "broken"))
    if begin(whole, data, asked.folder).wait():
        raise SystemExit(f"the unbroken run failed: {asked.folder / 'log.txt'}")
    kills = kill_and_resume(broken, data, asked.folder, asked.kills, Random(asked.seed))
    result = compare_runs(whole, broken)
    write(kills, result.compared, result.differences)
    print("\n".join(result.differences[:50]))
    hits = Counter(row["hit"] for row in kills)
    missed = [kind for kind, least in LEAST.items() if hits[kind] < least]
    if result.differences or missed:
        raise SystemExit(f"{len(result.differences)} differences" + f"; too few kills in: {missed}" * bool(missed))
    print(f"{len(kills)} kills ({dict(hits)}), {result.compared.total()} comparisons, no difference")


def make_data(root: Path) -> Path:
    """A small challenge, one training clip of which is cut off."""
    if not root.is_dir():
        synthesise(SynthSpec("mmit", clips=16 * STEPS + 4, val=64, test=1, size=48, frames=16), root, workers=0)
        victim = min((root / "videos").rglob("*.mp4"))
        victim.write_bytes(victim.read_bytes()[:500])
    return root


def plan(kills: int, random: Random) -> list[Moment]:
    """What each kill aims at: the first at the start, then a mixture in random order."""
    kinds: list[Moment] = [*["write"] * 5, *["validation"] * 4, "row", "events"]
    kinds += ["step"] * max(0, kills - 1 - len(kinds))
    random.shuffle(kinds)
    return ["start", *kinds][:kills]


def kill_and_resume(run: Run, data: Path, folder: Path, kills: int, random: Random) -> list[dict[str, Any]]:
    """Begin the run, kill it as planned, and resume it to its end; a row a kill."""
    rows: list[dict[str, Any]] = []
    moments = plan(kills, random)
    begun, process = "train", begin(run, data, folder)
    while moments:
        # Kills are spread over the run. A write or a validation that was missed is tried again.
        target = int((EPOCHS * STEPS - STEPS) * (1 - len(moments) / kills))
        kill = kill_at(moments[0], process, run, target, random)
        if kill is None:
            raise SystemExit(f"the run ended before it could be killed at {moments[0]}: {folder / 'log.txt'}")
        print(f"kill {len(rows) + 1}: {begun}: {kill}", flush=True)
        rows.append(asdict(kill) | {"process": begun})
        if kill.hit == kill.aimed or kill.aimed not in LEAST:
            moments.pop(0)
        # Without a checkpoint --auto-resume begins the run anew, with the recipe that it is given.
        other = moments and run.checkpoint("last").is_file()
        workers = random.choice((None, None, 0, 1, 3)) if other else None
        begun = "--resume" if workers is None else f"--auto-resume, {workers} workers"
        process = resume(run, folder) if workers is None else begin(run, data, folder, workers)
    if process.wait():
        raise SystemExit(f"the resumed run failed: {folder / 'log.txt'}")
    return rows


def begin(run: Run, data: Path, folder: Path, workers: int = 2) -> subprocess.Popen[bytes]:
    """Begin the run, or go on with it where it is there."""
    changes = [word for setting in (*SETTINGS, f"train.workers={workers}") for word in ("--set", setting)]
    where = ["--data", str(data), "--runs", str(run.folder.parent), "--name", run.name, "--auto-resume"]
    return _tinkit(folder, "demo_tin", *where, *changes)


def resume(run: Run, folder: Path) -> subprocess.Popen[bytes]:
    """Go on with the run by its own recipe."""
    return _tinkit(folder, "--resume", str(run.folder))


def _tinkit(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "tinkit", "train", *words], stderr=log)


def write(kills: list[dict[str, Any]], compared: Counter[str], differences: list[str]) -> None:
    """A row a kill, and one with what was compared and how much of it differs."""
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(compared.items()))
    summary = {"process": "summary", "compared": counts, "differences": len(differences)}
    table = pd.DataFrame([*kills, summary]).convert_dtypes()
    table.insert(0, "kill", [*(str(number) for number in range(1, len(kills) + 1)), ""])
    table = table.assign(date=date.today().isoformat(), machine=machine("torch"))
    table.to_csv(RESULT, index=False)
    print(table.drop(columns=["date", "machine", "compared"]).to_string(index=False))


if __name__ == "__main__":
    main()
