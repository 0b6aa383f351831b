"""One test: a run's checkpoint over a split with the views asked for, into a score file."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinkit import metrics
from tinkit.data.clips import TestClips
from tinkit.data.config import DataConfig
from tinkit.data.manifest import Manifest, open_manifest
from tinkit.data.views import ViewConfig
from tinkit.engine.build import Pixels, build_model, choose_device
from tinkit.engine.checkpoint import load_weights, read_header
from tinkit.engine.evaluate import score_split
from tinkit.engine.log import Reporter
from tinkit.engine.run import Run, require_checkpoint
from tinkit.errors import UsageError, UserError
from tinkit.files import sha256_file, sha256_text
from tinkit.models import VideoClassifier
from tinkit.recipe import Recipe
from tinkit.scores import ScoreInfo, ScoreTable, read_info, read_scores, write_scores
from tinkit.scores.tools import measure


@dataclass(frozen=True)
class TestResult:
    """What a test gave."""

    __test__ = False

    path: Path
    clips: int
    broken: int
    """Clips with null scores, because they could not be decoded."""
    reasons: dict[str, str]
    """Clip id to what was wrong with it; empty when the score file was there already."""
    metrics: metrics.Metrics | None
    """None where the split has no labels."""


def load_model(run: Run, weights: str) -> tuple[VideoClassifier, Recipe, Path]:
    """The run's classifier with a checkpoint's weights on the device, in evaluation mode."""
    path = require_checkpoint(run, weights)
    recipe = run.load_recipe()
    classes = read_header(path)["info"]["classes"]
    model = build_model(recipe, len(classes), pretrained=False)
    try:
        model.load_state_dict(load_weights(path))
    except RuntimeError as error:
        raise UserError(f"does not fit the run's recipe: {error}", file=path) from error
    return model.to(choose_device()).eval(), recipe, path


def run_test(
    run: Run,
    split: str,
    views: ViewConfig,
    weights: str,
    reporter: Reporter,
    *,
    data: DataConfig | None = None,
    limit: int | None = None,
    force: bool = False,
) -> TestResult:
    """Score a split and write ``scores/SPLIT-VIEWS-WEIGHTS.arrow``; an interrupted test goes on where it was.

    ``data`` replaces the recipe's (another root). A score file that is there is kept if it would come out the same,
    given new labels if only the annotations changed, replaced if the checkpoint is newer, and refused to be replaced if
    it was made of other clips or with another scale, crop or average; ``force`` replaces it in any case. With ``limit``
    only the first clips are scored, into ``scores/trials``.
    """
    recipe, checkpoint = run.load_recipe(), require_checkpoint(run, weights)
    header = read_header(checkpoint)["info"]
    manifest = open_manifest(data or recipe.data, split)
    if list(manifest.classes) != header["classes"]:
        raise UserError(
            f"the {split} split has other classes than the run was trained on "
            f"({len(manifest.classes)} and {len(header['classes'])})",
            file=manifest.root,
            fix="test on the data set, and the version of it, that the run was trained on",
        )
    path = run.scores_path(split, views.views, weights)
    if limit is not None:
        manifest, path = manifest.head(limit), run.trial_path(split, views.views, weights)
    info = _score_info(run, manifest, views, weights, checkpoint, tuple(header["trained_on"]))
    if path.is_file() and limit is None and not force and _is_current(path, info, manifest, reporter):
        return _result(path, {})
    manifest.require_media()
    model, *_ = load_model(run, weights)
    partial = path.with_name(f".{path.stem}.partial")
    scored = score_split(
        model,
        Pixels(model, choose_device(), recipe.train.channels_last),
        TestClips(manifest, recipe.clip, views),
        recipe.train,
        reporter,
        batch=views.batch,
        average=views.average,
        title=f"{split} {views.views}",
        partial=partial,
        key=json.dumps(info.hashes),
    )
    ids, labels, source = manifest.ids, _labels(manifest), manifest.table["source"].to_pylist()
    write_scores(path, ScoreTable(info, ids, scored.scores, scored.valid, labels, source))
    shutil.rmtree(partial, ignore_errors=True)
    return _result(path, {ids[row]: reason for row, reason in scored.reasons.items()})


def _is_current(path: Path, info: ScoreInfo, manifest: Manifest, reporter: Reporter) -> bool:
    """Whether the score file is what a test would write, but for labels, which are renewed. UsageError for another."""
    there = read_info(path).hashes
    if there.get("test") != info.hashes["test"]:
        raise UsageError(
            "is there, made of other clips or with another scale, crop or average",
            file=path,
            fix="move it away to keep it, or say --force to replace it",
        )
    if any(there.get(name) != info.hashes[name] for name in ("recipe", "checkpoint")):
        reporter.say(f"{path} was made with an older checkpoint and is replaced")
        return False
    table = read_scores(path)
    if there.get("annotation") != info.hashes["annotation"]:
        source = manifest.table["source"].to_pylist()
        write_scores(path, replace(table, info=info, labels=_labels(manifest), source=source))
        reporter.say(f"{path}: the annotations have changed; its labels are renewed, its scores are as they were")
    else:
        reporter.say(f"{path} is up to date; --force makes it again")
    if broken := int((~np.asarray(table.valid)).sum()):
        reporter.say(f"{broken} of its clips could not be decoded; --force tries them again")
    return True


def _labels(manifest: Manifest) -> list[tuple[int, ...] | None]:
    return [None if labels is None else tuple(labels) for labels in manifest.table["labels"].to_pylist()]


def _result(path: Path, reasons: dict[str, str]) -> TestResult:
    """What the score file says, read back from the disk."""
    table = read_scores(path)
    broken = int((~np.asarray(table.valid)).sum())
    return TestResult(path, len(table), broken, reasons, measure(table))


def _score_info(
    run: Run, manifest: Manifest, views: ViewConfig, weights: str, checkpoint: Path, trained_on: tuple[str, ...]
) -> ScoreInfo:
    how = views.model_dump_json(exclude={"batch"}) + "\n" + "\n".join(manifest.ids)
    annotation = json.dumps([manifest.table[name].to_pylist() for name in ("labels", "source")])
    return ScoreInfo(
        kind="logits" if views.average == "logits" else "probabilities",
        task=manifest.task,
        classes=manifest.classes,
        dataset=manifest.dataset,
        dataset_version=manifest.version,
        split=manifest.split,
        views=views.views,
        average=views.average,
        weights=weights,
        trained_on=trained_on,
        run=run.name,
        hashes={
            "recipe": run.recipe_hash(),
            "checkpoint": sha256_file(checkpoint),
            "test": sha256_text(how),
            "annotation": sha256_text(annotation),
        },
    )
