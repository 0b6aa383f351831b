"""Two writers of a run at once: the second one of an output says who the first is and changes nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tinkit.engine.evaluation.features import features_of_split
from tinkit.engine.evaluation.test import TestRequest, run_test
from tinkit.engine.exchange.export import export_run
from tinkit.engine.runs.checkpoint import check_checkpoint
from tinkit.engine.runs.run import Run
from tinkit.engine.training.start import start_training
from tinkit.errors import UserError

from .outcome import Outcome
from .run_folder import QUIET, TINY, left_behind, run_in


def state_of(folder: Path) -> dict[str, str]:
    """The files below a folder, locks apart, with the hash of each."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("lock")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def held(output: Path) -> subprocess.Popen[str]:
    """Another process that writes ``output``."""
    code = (
        "import sys; from tinkit.files.locks import writing\n"
        "with writing(sys.argv[1]): print(flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(output)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    child.stdout.readline()
    return child


def lock_matrix(folder: Path, trained: Path) -> Iterator[Outcome]:
    """Every writer of a run's outputs against every lock: refused where the output is the same, else not."""
    base = folder / "locks"
    shutil.copytree(trained, base)
    run = run_in(base)
    recipe = run.load_recipe()
    out = base / "net.pt2"
    acts: dict[str, tuple[Path, Callable[[], object]]] = {
        "train": (run.folder, lambda: start_training(run, recipe, QUIET, resume=True)),
        "test val": (
            run.scores_path("val", "1x1", "last"),
            lambda: run_test(run, "val", recipe.test, "last", QUIET, TestRequest(force=True)),
        ),
        "test test": (
            run.scores_path("test", "1x1", "last"),
            lambda: run_test(run, "test", recipe.test, "last", QUIET, TestRequest(force=True)),
        ),
        "features": (
            run.folder / "features" / "val-1x1-last.arrow",
            lambda: features_of_split(run, "last", "val", recipe.test, QUIET),
        ),
        "export": (out, lambda: export_run(run, "last", "torch", None, out)),
    }
    for locked, (output, _) in acts.items():
        output.parent.mkdir(parents=True, exist_ok=True)
        child = held(output)
        for name, (_, act) in acts.items():
            if name == "features":  # a file that is up to date would just be told of
                acts[name][0].unlink(missing_ok=True)
            before, told = state_of(base), ""
            try:
                act()
            except UserError as error:
                told = error.problem
            same = name == locked
            refused = told.startswith(f"in use by process {child.pid} on host")
            kept = state_of(base) == before
            good = (refused and kept) if same else not told
            yield Outcome("two writers at once", f"{name} while another process does: {locked}", good, note=told[:120])
        child.communicate()
        yield Outcome("two writers at once", f"{locked}: nothing is left of the lock", not left_behind(base))


def three_at_once(folder: Path, data: Path) -> Iterator[Outcome]:
    """``train --auto-resume`` three times at once: one trains, two say so; then once more, after a kill."""
    command = [sys.executable, "-m", "tinkit", "train", "demo_tin", "--data", str(data), "--name", "a", "--auto-resume"]
    command += ["--runs", str(folder / "three"), "-q", *(word for change in TINY for word in ("--set", change))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def started() -> subprocess.Popen[str]:
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    three = [started() for _ in range(3)]
    told = [process.communicate()[1] for process in three]
    codes = sorted(process.returncode for process in three)
    # one that comes when another has ended finds its work done
    good = set(codes) <= {0, 1} and 0 in codes and not any("Traceback" in text for text in told)
    good &= all(
        ("in use by process" in text) == (process.returncode == 1) for process, text in zip(three, told, strict=True)
    )
    run = Run(folder / "three" / "a")
    whole = check_checkpoint(run.checkpoint("last"))["progress"]["epoch"] == 2
    yield Outcome("two writers at once", "train --auto-resume three times", good and whole, note=f"exit codes {codes}")
    shutil.rmtree(folder / "three")
    first = started()
    deadline = time.monotonic() + 120
    while not run.checkpoint("last").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second = started()
    text = second.communicate()[1]
    clean = not left_behind(folder / "three")
    good = second.returncode == 0 and clean
    yield Outcome(
        "two writers at once", "train --auto-resume after SIGKILL", good, note=text[-120:] if not good else ""
    )
