"""A dry run's first gradients against PyTorch's own, and the recipes that it warns of."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from torch.nn import functional
from typer.testing import CliRunner

from tests.helpers.tiny_runs import QUIET, tiny
from tinkit.cli.app import app
from tinkit.engine.runs.run import Run
from tinkit.engine.training.dry_run import dry_run
from tinkit.engine.training.first_gradients import LEAST, FirstGradients, too_small
from tinkit.engine.training.start import WHOLE, open_splits, prepare
from tinkit.files.shipped import shipped_names
from tinkit.recipe import load_recipe

SMALL = [
    *("model.backbone=test_resnet", "model.pretrained=false", "clip.size=32", "test.scale=32", "test.crop=32"),
    *("clip.num_segments=4", "optim.batch=8", "train.workers=0"),
]  # fmt: skip


@pytest.fixture(scope="module")
def many_classes(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The challenge with the 313 classes of Multi-Moments in Time, of which the clips have the first twelve."""
    root = tmp_path_factory.mktemp("many") / "data"
    shutil.copytree(challenge, root, ignore=shutil.ignore_patterns("manifests", "*.arrow"))
    (file,) = (root / "annotations").glob("*categories*")
    names = file.read_text().splitlines()
    more = [f"class {number},{number}" if "," in names[0] else f"class {number}" for number in range(len(names), 313)]
    file.write_text("\n".join([*names, *more]) + "\n")
    return root


@pytest.mark.parametrize(("groups", "clip_grad"), [("single", 0.0), ("published", 1e-3)])
def test_they_are_pytorchs(groups: str, clip_grad: float, challenge: Path, tmp_path: Path) -> None:
    changes = ("model.dropout=0", f"optim.groups={groups}", f"optim.clip_grad={clip_grad}", "loss.weight=3")
    recipe = tiny(challenge, *changes)
    row = dry_run(recipe, QUIET)
    trainer, _ = prepare(Run(tmp_path), recipe, open_splits(recipe, WHOLE, QUIET.reporter), QUIET)
    trainer.train_mode()
    batch, model = next(iter(trainer.batches())), trainer.learner.model
    logits = model(trainer.train_step._pixels(batch["frames"]))
    logits.retain_grad()
    marks = batch["labels"].float()
    (3 * functional.binary_cross_entropy_with_logits(logits, marks)).backward()
    norm = math.sqrt(sum(float(one.grad.norm()) ** 2 for one in model.parameters() if one.grad is not None))
    assert row["first gradient"] == pytest.approx(norm, rel=1e-4)
    rate = recipe.optim.lr * (5 if groups == "published" else 1)
    grad = model.classifier.weight.grad
    assert grad is not None
    taken = float(grad.norm()) * (min(1, clip_grad / norm) if clip_grad else 1)
    assert row["first update of the classifier"] == pytest.approx(
        rate * taken / float(model.classifier.weight.detach().norm()), rel=1e-3
    )
    assert logits.grad is not None
    own = (logits.grad * len(marks) * marks).norm(dim=1)
    assert row["rate x pull of a clip"] == pytest.approx(rate * float(own.mean()), rel=1e-4)


def test_a_pull_is_of_clips_however_they_are_computed(challenge: Path) -> None:
    """At zero weights each class has a chance of 1/2: a clip of n labels pulls with sqrt(n) / 2, a class's share."""
    recipe = tiny(challenge, "model.classifier_std=1e-12", "optim.micro_batch=2", "optim.lr=1")
    labels = next(iter(_trainer(recipe).batches()))["labels"].float()
    wanted = (labels.sum(1).sqrt() / 2 / labels.shape[1]).mean()
    assert dry_run(recipe, QUIET)["rate x pull of a clip"] == pytest.approx(float(wanted), rel=1e-4)


def _trainer(recipe: Any) -> Any:
    return prepare(Run(Path("nowhere")), recipe, open_splits(recipe, WHOLE, QUIET.reporter), QUIET)[0]


@pytest.mark.parametrize(
    ("recipe", "more", "warned"),
    [
        ("mmit_r50", [], True),
        ("mmit_r50_mmaction2", [], False),
    ],
)
def test_the_recipes_it_warns_of(recipe: str, more: list[str], warned: bool, many_classes: Path) -> None:
    words = [word for key in (*SMALL, *more) for word in ("--set", key)]
    result = CliRunner().invoke(app, ["train", recipe, "--data", str(many_classes), "--dry-run", "--json", *words])
    assert result.exit_code == 0, result.output
    assert ("averaged over 313 classes" in result.stderr) == warned
    assert ("--set loss.weight=N" in result.stderr) == warned
    values = {row["of"]: row["value"] for row in json.loads(result.stdout)}
    assert (values["rate x pull of a clip"] < LEAST) == warned


def judged(pull: float | None, *changes: str, task: str = "multi-label") -> str | None:
    recipe = load_recipe("mmit_r50", list(changes)).recipe
    rate = recipe.optim.lr * (5 if recipe.optim.groups == "published" else 1)
    return too_small(FirstGradients(1.0, 1.0, pull, rate), recipe, task, 313)  # type: ignore[arg-type]


def test_what_is_not_warned_of() -> None:
    mean = 0.8 / 313
    assert judged(mean) is not None
    assert judged(None) is None, "no clip with a class"
    assert judged(mean, "optim.name=adamw") is None, "divides by the gradient's size"
    assert judged(mean, "loss.name=wlsep") is None, "averages over no classes"
    assert judged(mean, "optim.lr=1e-5") is None, "the sum would be as small"
    assert judged(mean, "optim.lr=1") is None, "a rate made for it"
    assert judged(160 * mean, "loss.weight=160") is None
    assert judged(0.5 / 313, "loss.name=bce", task="single-label") is not None


def test_the_least_lies_below_every_published_training() -> None:
    """With cross-entropy a clip's pull is 1 - 1/C at the start, so that rate times pull is the classifier's rate."""
    steps = {}
    for name in shipped_names("recipes"):
        resolved = load_recipe(name)
        optim, loss = resolved.recipe.optim, resolved.recipe.loss
        if resolved.origins["optim.lr"].mark.startswith("published") and loss.name == "cross_entropy":
            steps[name] = optim.lr * (5 if optim.groups == "published" and optim.fc_lr5 else 1)
    assert len(steps) > 15
    assert min(steps.values()) == pytest.approx(2 * LEAST)
