"""Runs: names of weights, non-finite values, and damaged files.

A name is survived if it gives the tensors that it means, or is refused; a non-finite value, if no command
makes a result of it and a resume goes back to the checkpoint before; a damaged file, if a resume goes on without it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import torch

from tinkit.engine.evaluation.features import features_of_split
from tinkit.engine.evaluation.predict import predict
from tinkit.engine.evaluation.test import run_test
from tinkit.engine.exchange.export import export_run
from tinkit.engine.exchange.pretrained import open_source
from tinkit.engine.runs.resume import recipe_to_resume
from tinkit.engine.runs.run import Run, create_run
from tinkit.engine.runs.tensor_file import read_tensor_file, write_tensor_file
from tinkit.engine.runs.trials import Trial
from tinkit.engine.runs.weights import average_steps
from tinkit.engine.training.start import TuneFrom, start_training
from tinkit.errors import UserError
from tinkit.recipe import Recipe

from .outcome import Outcome
from .run_folder import QUIET, left_behind, run_in, save_step, small_state, trained_in


def weights_matrix(folder: Path, recipe: Recipe, seed: int) -> Iterator[Outcome]:
    """Names of weights, drawn: paths, links, copies, hard links; each gives the tensors that its name means."""
    run = create_run("a", recipe, folder / "named")
    for step in (7, 8):
        save_step(run, step, *(("best", "best-ema") if step == 7 else ()))
    average_steps(run, 2)
    random = Random(seed)
    steps = {"last": 8, "best": 7, "ema": 8, "best-ema": 7, "step=7": 7, "step=8": 8}
    for number in range(120):
        word = random.choice([name for name in steps if name != "ema"])
        path, made = run.checkpoint(word), []
        for link in range(random.randrange(4)):
            how = random.choice(["link", "folder", "copy", "hard link"])
            made.append(how)
            place = folder / f"{number}-{link}{random.choice(['', '.safetensors'])}"
            if how == "folder":
                place.symlink_to(path.parent)
                place = place / path.name
            elif how == "link":
                place.symlink_to(os.path.relpath(path, place.parent))
            elif how == "copy":
                shutil.copyfile(path, place)
            else:
                place.hardlink_to(path.resolve())
            path = place
        option = random.choice([None, None, "last", "best", "ema", "best-ema"])
        averaged = (option or word) in ("ema", "best-ema")
        wanted = small_state(steps[word], ema=averaged).state_dict()
        try:
            state = open_source(str(path), folder / "named", option).state
            good = all(torch.equal(state[name], tensor) for name, tensor in wanted.items())
            note = "taken"
        except UserError as error:
            good, note = option is not None, f"refused: {error.problem}"
        case = f"{word} by {' of a '.join(reversed(made)) or 'its path'}" + (f", --weights {option}" if option else "")
        yield Outcome("names of weights", case, good, note=note[:120])


def poison(path: Path, section: str, value: float, random: Random) -> None:
    tensors, header = read_tensor_file(path)
    names = [name for name, tensor in tensors.items() if name.startswith(section) and tensor.is_floating_point()]
    tensor = tensors[random.choice(names)]
    tensor.reshape(-1)[random.randrange(tensor.numel())] = value
    tensors = {name: entry.clone() for name, entry in tensors.items()}
    write_tensor_file(path, tensors, header)


def non_finite_cases(folder: Path, trained: Path, data: Path, seed: int) -> Iterator[Outcome]:
    """Checkpoints with one non-finite value: a resume goes back aloud; no command gives a result of them."""
    random, kind = Random(seed), "non-finite values"
    for number, section in enumerate(["model.", "ema.", "optimizer."] * 2):
        value = random.choice([float("nan"), float("inf"), float("-inf")])
        base = folder / f"poisoned-{number}"
        shutil.copytree(trained, base)
        run = run_in(base)
        newest = run.step_path(5)
        poison(newest, section, value, random)
        shutil.copyfile(newest, run.checkpoint("last"))
        try:
            progress = start_training(run, run.load_recipe(), QUIET, resume=True, trial=Trial(max_steps=1))
            good, note = (progress.epoch, progress.step) == (1, 2), "went on from step 4"
        except UserError as error:
            good, note = False, error.problem
        yield Outcome(kind, f"--resume, {value} in {section}*", good, note=note[:120])
    base = folder / "poisoned"
    shutil.copytree(trained, base)
    run = run_in(base)
    tensors, header = read_tensor_file(run.step_path(5))
    tensors = {name: entry.clone() for name, entry in tensors.items()}
    tensors["model.backbone.bn1.running_var"][0] = float("nan")
    for path in (run.step_path(5), run.checkpoint("last")):
        write_tensor_file(path, tensors, header)
    video = next(path for path in sorted(data.rglob("*.mp4")))
    views = run.load_recipe().test
    uses: dict[str, Callable[[], object]] = {
        "test": lambda: run_test(run, "val", views, "last", QUIET),
        "features": lambda: features_of_split(run, "last", "val", views, QUIET),
        "predict": lambda: predict(run, "last", [video], None, 3),
        "export": lambda: export_run(run, "last", "torch", None, base / "net.pt2"),
        "mean=2": lambda: average_steps(run, 2),
        "train --tune-from": lambda: start_training(
            Run(base / "runs" / "b"),
            run.load_recipe(),
            replace(QUIET, runs=base / "runs"),
            tune_from=TuneFrom(str(run.checkpoint("last"))),
        ),
    }
    for name, use in uses.items():
        try:
            use()
            good, note = False, "no error"
        except UserError as error:
            good, note = "non-finite" in error.problem and not left_behind(base), error.problem
        yield Outcome(kind, f"{name}, NaN in a BatchNorm's statistics", good, note=note[:160])
    command = [sys.executable, "-m", "tinkit", "predict", str(run.folder), str(video), "--weights", "last", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    good = done.returncode == 1 and not done.stdout and "Traceback" not in done.stderr
    yield Outcome(kind, "tinkit predict: exit code 1, nothing printed", good, note=f"exit code {done.returncode}")


def damaged_tables(folder: Path, trained: Path) -> Iterator[Outcome]:
    """Files of a run that are empty, cut, or rubbish: a resume goes on, and loses none of them."""
    rubbish = {"empty": b"", "cut": None, "binary": bytes(range(256)), "zeros": bytes(64), "text": b"once upon\na time"}
    for file in ("metrics.csv", "left_out.csv", "recipe.toml", "weights.json"):
        for what, data in rubbish.items():
            base = folder / f"damaged-{file}-{what}"
            shutil.copytree(trained, base)
            run = run_in(base)
            path = run.folder / file
            if not path.exists():
                path.write_text("epoch,id,reason\n0,a,b\n1,b,c\n")
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3] if data is None else data)
            kept = path.read_bytes()
            recipe = recipe_to_resume(run, None, quiet=True)
            done = start_training(run, recipe, QUIET, resume=True, trial=Trial(max_steps=1))
            lost = not any(other.read_bytes() == kept for other in run.folder.glob("*.*"))
            # a table that is cut in a line is read up to there
            good = (done.epoch, done.step) == (2, 0) and (what == "cut" or not lost)
            yield Outcome("damaged files of a run", f"{file}: {what}", good, note="resumed")
            shutil.rmtree(base)


def run(folder: Path, seed: int) -> Iterator[Outcome]:
    """All cases, in an empty ``folder``."""
    data, trained, recipe = trained_in(folder)
    yield from weights_matrix(folder.absolute(), recipe, seed)
    yield from non_finite_cases(folder.absolute(), trained, data, seed)
    yield from damaged_tables(folder.absolute(), trained)
