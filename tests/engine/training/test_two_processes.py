"""Training in two real processes is training in one: the gradient, the clips and their crops, validation, resuming."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torch.distributed as dist

from tests.helpers.processes import Ended, Ranks, agent_store, together
from tests.helpers.tiny_runs import QUIET, resume, same_weights, tiny, trained
from tinkit.data.clips import training
from tinkit.data.clips.batch import Batch
from tinkit.data.manifest.manifest import Manifest, ManifestRow, open_manifest
from tinkit.engine.distributed.world import World
from tinkit.engine.evaluation.test import run_test
from tinkit.engine.runs.checkpoint import load_weights
from tinkit.engine.runs.run import Run, create_run
from tinkit.engine.training.step import StepResult
from tinkit.engine.training.trainer import Trainer
from tinkit.recipe import Recipe

Seen = dict[int, list[tuple[str, str]]]
"""By step of the run: the id and a hash of the frames of each clip, in order."""


@pytest.fixture(scope="module")
def store() -> dist.TCPStore:
    return agent_store()


# ---- the gradient


CASES: dict[str, tuple[list[str], list[int]]] = {
    "plain": ([], []),
    "micro-batches": (["optim.micro_batch=2"], []),
    "a broken clip on one": ([], [6]),
    "a broken clip and micro-batches": (["optim.micro_batch=2"], [1, 2, 3]),
    "one has none that is valid": ([], [4, 5, 6, 7]),
    "one has none in a micro-batch, the other none at all": (["optim.micro_batch=1"], [0, 1, 2, 3, 5]),
    "nothing is valid": ([], list(range(8))),
    "another loss": (["loss.name=focal"], [7]),
}
"""Changes of the recipe, and the places in the batch of 8 whose clips are broken."""


def gradient(world: World, recipe: Recipe, folder: Path, broken: Sequence[int]) -> tuple[StepResult, list[Any]]:
    """The first step's result, and the gradients that it leaves."""
    train_set = open_manifest(recipe.data, "train")
    trainer = Trainer(Run(folder), recipe, train_set, None, replace(QUIET, world=world))
    for module in trainer.learner.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    batch: Batch = next(iter(trainer.batches()))
    share = len(batch["index"])
    for place in broken:
        if world.rank * share <= place < (world.rank + 1) * share:
            row = place - world.rank * share
            batch["valid"][row], batch["broken"][row], batch["reason"][row] = False, True, "cut short"
    result = trainer.train_step(batch, 0)
    return result, [None if p.grad is None else p.grad.numpy() for p in trainer.learner.model.parameters()]


def gradients(world: World, recipes: dict[str, Recipe], folder: Path) -> dict[str, tuple[StepResult, list[Any]]]:
    """That of every case."""
    return {name: gradient(world, recipe, folder, CASES[name][1]) for name, recipe in recipes.items()}


def test_two_processes_have_the_gradient_of_one(store: dist.TCPStore, challenge: Path, tmp_path: Path) -> None:
    frozen = ["model.dropout=0", "model.partial_bn=true", "optim.clip_grad=1e9"]
    recipes = {name: tiny(challenge, *frozen, *changes) for name, (changes, _) in CASES.items()}
    one, shares = gradients(World(), recipes, tmp_path), together(store, 2, gradients, recipes, tmp_path)
    for name, (wanted, whole) in one.items():
        for found, parts in (share[name] for share in shares):
            assert (found.valid, found.broken, found.clips) == (wanted.valid, wanted.broken, 8), name
            assert found.loss == pytest.approx(wanted.loss, rel=1e-6), name
            assert found.grad_norm == pytest.approx(wanted.grad_norm, rel=1e-6), name
            assert [part is None for part in parts] == [part is None for part in whole], name
            for a, b in zip(parts, whole, strict=True):
                if b is not None:
                    assert abs(a - b).max() <= 1e-6 * max(abs(g).max() for g in whole if g is not None), name
    assert one["nothing is valid"][0].valid == 0
    assert one["a broken clip on one"][0].grad_norm != one["plain"][0].grad_norm


# ---- the clips


class Watching(Trainer):
    """Notes what each step sees."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: Seen = {}

    def _step(self, batch: Batch, *rest: Any) -> StepResult:
        ids = [self.train_clips.manifest.row(row).id for row in batch["index"].tolist()]
        hashes = [blake2b(frames.contiguous().numpy().tobytes()).hexdigest() for frames in batch["frames"]]
        self.seen[self.done] = list(zip(ids, hashes, strict=True))
        return super()._step(batch, *rest)


def watched(world: World, folder: Path, recipe: Recipe, steps: int | None) -> Seen:
    """Train into ``folder``, on from where the run is, and give what this process saw.

    Every clip that is opened, by this process or a data worker of it, is a line of ``opened.txt`` beside the folder.
    """
    train_set = open_manifest(recipe.data, "train")
    trainer = Watching(Run(folder), recipe, train_set, None, replace(QUIET, world=world))
    resumed = Run(folder).checkpoint("last").is_file()
    plain = training.open_row

    def noted(manifest: Manifest, row: ManifestRow, *rest: Any) -> Any:
        with opened_file(folder).open("a") as file:
            file.write(f"{row.id}\n")
        return plain(manifest, row, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "open_row", noted)
        trainer.fit(resume=bool(world.share(resumed)), max_steps=steps)
    return trainer.seen


def opened_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-opened.txt")


def take_opened(folder: Path) -> list[str]:
    """The clips that were opened since the last call, sorted."""
    file = opened_file(folder)
    found = sorted(file.read_text().splitlines())
    file.unlink()
    return found


def clips_of(seen: Seen, cuttings: int = 1) -> list[str]:
    """The ids in steps that show ``cuttings`` of each clip, each as often as it is in a step, sorted."""
    return sorted(clip for step in seen.values() for clip, _ in step[::cuttings])


def put_together(shares: Sequence[Seen]) -> Seen:
    """What all processes saw, in the order of their ranks."""
    return {step: [clip for share in shares for clip in share[step]] for step in shares[0]}


@pytest.mark.slow
def test_the_same_clips_and_crops_on_any_number_of_processes_and_workers(
    store: dist.TCPStore, challenge: Path, tmp_path: Path
) -> None:
    """And what was trained on before is not opened again."""
    crops = ["clip.crop=multiscale", "clip.flip=true"]
    recipes = {workers: tiny(challenge, *crops, f"train.workers={workers}") for workers in (0, 1)}
    whole = watched(World(), tmp_path / "whole", recipes[0], None)
    assert sorted(whole) == list(range(6))
    assert len({clip for step in whole.values() for clip in step}) == 48  # each clip twice, cropped anew

    first = watched(World(), tmp_path / "1-2", recipes[0], 2)
    then = put_together(together(store, 2, watched, tmp_path / "1-2", recipes[1], None))
    assert (sorted(first), sorted(then)) == ([0, 1], [2, 3, 4, 5])
    assert first | then == whole
    assert take_opened(tmp_path / "1-2") == clips_of(whole)

    first = put_together(together(store, 2, watched, tmp_path / "2-1", recipes[0], 4))
    assert take_opened(tmp_path / "2-1") == clips_of(first)
    then = watched(World(), tmp_path / "2-1", recipes[1], None)
    assert (sorted(first), sorted(then)) == ([0, 1, 2, 3], [4, 5])
    assert first | then == whole
    assert take_opened(tmp_path / "2-1") == clips_of(then)


@pytest.mark.slow
def test_cuttings_of_a_clip_are_the_same_on_any_number_of_processes_and_decoded_once(
    store: dist.TCPStore, challenge: Path, tmp_path: Path
) -> None:
    options = ["clip.crop=multiscale", "clip.flip=true", "clip.repeats=2", "optim.epochs=2"]
    recipes = {workers: tiny(challenge, *options, f"train.workers={workers}") for workers in (0, 1)}
    whole = watched(World(), tmp_path / "whole", recipes[0], 6)
    assert sorted(whole) == list(range(6))  # 24 clips, 4 a step
    assert take_opened(tmp_path / "whole") == clips_of(whole, 2)
    for step in whole.values():
        assert [clip for clip, _ in step[::2]] == [clip for clip, _ in step[1::2]]
    assert len({clip for step in whole.values() for clip in step}) == 48  # each clip twice, cropped anew
    first = watched(World(), tmp_path / "1-2", recipes[0], 3)
    assert take_opened(tmp_path / "1-2") == clips_of(first, 2)
    then = put_together(together(store, 2, watched, tmp_path / "1-2", recipes[1], 3))
    assert first | then == whole
    assert take_opened(tmp_path / "1-2") == clips_of(then, 2)


# ---- whole trainings


@pytest.mark.slow
def test_what_is_validated_is_what_is_saved(store: dist.TCPStore, challenge: Path, tmp_path: Path) -> None:
    # every process has batch statistics of its own, and validates a part; three batches for two processes are uneven
    recipe = tiny(challenge, "ema.decay=0.5", "test.batch=3")
    run = Run(tmp_path / "a")
    together(store, 2, trained, run, recipe)
    row = pd.read_csv(run.metrics_path).iloc[-1]
    for weights, prefix in (("last", "val_"), ("ema", "val_ema_")):
        measured = run_test(run, "val", recipe.test, weights, QUIET).metrics
        assert measured is not None
        for name, value in measured.values.items():
            assert row[prefix + name] == pytest.approx(value, abs=1e-12), (weights, name)


@pytest.mark.slow
def test_resumed_in_two_processes_is_bit_for_bit_unbroken(
    store: dist.TCPStore, challenge: Path, tmp_path: Path
) -> None:
    recipe = tiny(challenge, "ema.decay=0.5")
    whole, broken = Run(tmp_path / "whole"), Run(tmp_path / "broken")
    together(store, 2, trained, whole, recipe)
    together(store, 2, trained, broken, recipe, 4)
    together(store, 2, partial(trained, resume=True), broken, recipe)
    for ema in (False, True):
        same_weights(whole.checkpoint("last"), broken.checkpoint("last"), ema=ema)
    columns = ["epoch", "step", "lr", "train_loss", "broken", "val_sample_map", "val_ema_sample_map"]
    pd.testing.assert_frame_equal(pd.read_csv(whole.metrics_path)[columns], pd.read_csv(broken.metrics_path)[columns])


class Frozen(Trainer):
    """Trains without statistics of a batch: each step is then the sum over its clips, whoever has them."""

    def _step(self, *arguments: Any) -> StepResult:
        for module in self.learner.model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        return super()._step(*arguments)


def trained_frozen(world: World, folder: Path, recipe: Recipe) -> None:
    """Train an epoch."""
    Frozen(Run(folder), recipe, open_manifest(recipe.data, "train"), None, replace(QUIET, world=world)).fit()


@pytest.mark.slow
def test_without_dropout_and_batch_statistics_two_processes_train_as_one(
    store: dist.TCPStore, challenge: Path, tmp_path: Path
) -> None:
    recipe = tiny(challenge, "model.dropout=0", "optim.batch=4", "save.every=4", "save.keep=9", "optim.lr=0.01")
    trained_frozen(World(), tmp_path / "one", recipe)
    together(store, 2, trained_frozen, tmp_path / "two", recipe)
    ours, theirs = [load_weights(Run(tmp_path / name).checkpoint("last")) for name in ("two", "one")]
    start = load_weights(Run(tmp_path / "one").step_path(4))
    moved = max(float((theirs[name] - start[name]).abs().max()) for name in start)
    for name, tensor in ours.items():
        assert (tensor - theirs[name]).abs().max() <= 1e-4 * moved, name


@pytest.mark.slow
def test_a_broken_clip_is_listed_once_and_limits_hold_in_all_processes(
    store: dist.TCPStore, challenge: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    shutil.copytree(challenge, root)
    victims = [open_manifest(tiny(root).data, "train").row(row) for row in (3, 11)]
    for victim in victims:
        (root / victim.path).write_bytes(b"not a video")
    run = create_run("tolerant", tiny(root), tmp_path)
    together(store, 2, trained, run, tiny(root))
    left_out = pd.read_csv(run.left_out_path)
    assert sorted(left_out["id"]) == sorted(2 * [victim.id for victim in victims])
    assert pd.read_csv(run.metrics_path)["broken"].tolist() == [2, 2]
    strict = tiny(root, "train.max_broken=0")
    ended: list[Ended] = Ranks(store, 2, trained, Run(tmp_path / "strict"), strict).wait()
    assert sorted(one.raised[0] for one in ended if one.raised) == ["SaidElsewhere", "UserError"]
    resume(run)  # on one process; nothing is left to do
