"""What a test is going to write and where, and whether that exists already."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinkit.data.config.views import ViewConfig
from tinkit.data.manifest.manifest import Manifest
from tinkit.engine.evaluation.protocol import canonical, canonical_json, protocol_of
from tinkit.engine.runs.checkpoint import read_header
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.tensor_file import checksum_of
from tinkit.engine.runs.trials import is_trial
from tinkit.engine.runs.weights import require_checkpoint
from tinkit.engine.runtime.precision import PRECISION, Amp
from tinkit.engine.runtime.reporter import Reporter
from tinkit.errors import UsageError, UserError
from tinkit.files.hashes import sha256_file, sha256_text
from tinkit.recipe import Recipe
from tinkit.scores import ScoreInfo, read_info, read_scores, write_scores


@dataclass(frozen=True)
class ScoreOutput:
    """Where the scores of a test go and what they will be."""

    path: Path
    """The score file."""
    info: ScoreInfo
    checksum: str
    """What the checkpoint that ``info`` is about ends in."""

    def check_same(self, checkpoint: Path) -> None:
        """Raise :class:`~tinkit.errors.UserError` where the run's training has replaced the checkpoint meanwhile."""
        if checksum_of(checkpoint) != self.checksum:
            raise UserError("was replaced by its training just now", file=checkpoint, fix="try again")

    @property
    def views_folder(self) -> Path:
        """Where the scores of single views go, if they are kept."""
        return self.path.parent / "views" / self.path.stem

    @property
    def key(self) -> str:
        """Changes when the scores, or their rows, would be others."""
        return json.dumps(self.info.hashes)

    def view_paths(self, count: int) -> list[Path]:
        """The files of ``count`` single views."""
        digits = max(2, len(str(count - 1)))
        return [self.views_folder / f"view-{number:0{digits}}.arrow" for number in range(count)]

    def is_current(self, views: ViewConfig, reporter: Reporter, *, keep_views: bool) -> bool:
        """Whether the existing file is what a test would write, but for its labels and metadata (:meth:`renew`).

        Raises :class:`~tinkit.errors.UsageError` for a score file of other clips, another protocol or precision.
        """
        if not self.path.is_file():
            return False
        info = read_info(self.path)
        there = info.hashes
        if there.get("test") != self.info.hashes["test"]:
            before, now = (one.protocol.get("precision", "float32") for one in (info, self.info))
            precision = f"in {before}, not {now}, or " if before != now else ""
            raise UsageError(
                f"exists, made {precision}of other clips or with other views, scale, crop, frames or average",
                file=self.path,
                fix="move it away to keep it, or replace it with --force",
            )
        if any(there.get(name) != self.info.hashes[name] for name in ("recipe", "checkpoint")):
            reporter.say(f"{self.path} was made with an older checkpoint and is replaced")
            return False
        if keep_views and len(self._single(views)) < views.count:
            reporter.say(f"{self.path} exists without the scores of its views and is made again")
            return False
        return True

    def is_stale(self) -> bool:
        """Whether the labels of a current file, or its metadata, are older than what is known now."""
        info = read_info(self.path)
        said = (info.hashes.get("annotation"), info.protocol, info.trial)
        return said != (self.info.hashes["annotation"], self.info.protocol, self.info.trial)

    def renew(self, manifest: Manifest, views: ViewConfig, reporter: Reporter) -> None:
        """Give a current file, and those of its single views, the labels and metadata of now."""
        relabelled = read_info(self.path).hashes.get("annotation") != self.info.hashes["annotation"]
        labels, source = manifest_labels(manifest), manifest.table["source"].to_pylist()
        for path in (*self._single(views), self.path):
            table = read_scores(path)
            info = replace(self.info, view=table.info.view, gflops=table.info.gflops)
            write_scores(path, replace(table, info=info, labels=labels, source=source))
        if relabelled:
            reporter.say(f"{self.path}: the annotations have changed; its labels are renewed, its scores are as before")

    def _single(self, views: ViewConfig) -> list[Path]:
        return [path for path in self.view_paths(views.count) if path.is_file()]


def plan_output(
    run: Run,
    recipe: Recipe,
    manifest: Manifest,
    views: ViewConfig,
    weights: str,
    *,
    amp: Amp = "off",
    trial: bool,
    apart: bool,
) -> ScoreOutput:
    """Plan the test of a run's ``weights`` on the clips of ``manifest``, in the precision ``amp``.

    A ``trial`` has a folder of its own; with ``apart``, so has a protocol that is not the recipe's own or whose place
    is taken by another. Raises :class:`~tinkit.errors.UserError` for missing weights and for other classes.
    """
    checkpoint = require_checkpoint(run, weights)
    header = read_header(checkpoint)["info"]
    if list(manifest.classes) != header["classes"]:
        raise UserError(
            f"the {manifest.split} split has other classes than the run was trained on "
            f"({len(manifest.classes)} and {len(header['classes'])})",
            file=manifest.root,
            fix="test on the data set, and the version of it, that the run was trained on",
        )
    info = _score_info(run, recipe, manifest, views, weights, amp, checkpoint, header)
    info = replace(info, trial=trial or is_trial(recipe, header))
    checksum = checksum_of(checkpoint)
    if trial:
        return ScoreOutput(run.trial_path(manifest.split, views.views, weights), info, checksum)
    path = run.scores_path(manifest.split, views.views, weights)
    if apart and not _has_place(path, info, recipe, views):
        path = path.parent / "published" / _name_apart(manifest.split, recipe, views, weights)
    return ScoreOutput(path, info, checksum)


def _has_place(path: Path, info: ScoreInfo, recipe: Recipe, views: ViewConfig) -> bool:
    """Whether the ordinary place of a score file holds this test, or is free and this protocol the recipe's own."""
    if path.is_file():
        return read_info(path).hashes.get("test") == info.hashes["test"]
    return not _differing(recipe, views)


def _name_apart(split: str, recipe: Recipe, views: ViewConfig, weights: str) -> str:
    words = [f"{key}={value}" for key, value in _differing(recipe, views).items()]
    return f"{split}-{'+'.join([views.views, *words])}-{weights}.arrow"


def _differing(recipe: Recipe, views: ViewConfig) -> dict[str, Any]:
    """The keys of ``views`` that are not the recipe's, but for the number of views and the precision."""
    own = recipe.test.model_copy(update={"views": views.views})
    first, second = (canonical(config, recipe.clip).model_dump(exclude={"amp", "batch"}) for config in (views, own))
    return {key: value for key, value in first.items() if value != second[key]}


def _score_info(
    run: Run,
    recipe: Recipe,
    manifest: Manifest,
    views: ViewConfig,
    weights: str,
    amp: Amp,
    checkpoint: Path,
    header: Mapping[str, Any],
) -> ScoreInfo:
    # Earlier releases did not hash float32, and so it stays.
    precision = [] if amp == "off" else [PRECISION[amp]]
    how = "\n".join([canonical_json(views, recipe.clip), *precision, *manifest.ids])
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
        protocol=protocol_of(views, recipe.clip) | {"precision": PRECISION[amp]},
        weights=weights,
        trained_on=tuple(header["trained_on"]),
        run=run.name,
        hashes={
            "recipe": run.recipe_hash(),
            "checkpoint": sha256_file(checkpoint),
            "test": sha256_text(how),
            "annotation": sha256_text(annotation),
        },
    )


def manifest_labels(manifest: Manifest) -> list[tuple[int, ...] | None]:
    """The labels of every clip, None where they are unknown, as a score table has them."""
    return [None if labels is None else tuple(labels) for labels in manifest.table["labels"].to_pylist()]
