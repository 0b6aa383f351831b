"""One test: a run's checkpoint over a split with the views asked for, into a score file."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from tinkit import metrics
from tinkit.data.clips.opening import require_files
from tinkit.data.clips.testing import TestClips
from tinkit.data.config.dataset import DataConfig
from tinkit.data.config.views import ViewConfig
from tinkit.data.decode.clip_reader import notes_text
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.flow.folders import FlowFiles
from tinkit.data.manifest.manifest import Manifest, open_manifest
from tinkit.data.sampling.flips import flip_permutation
from tinkit.engine.distributed.signals import StopSignal
from tinkit.engine.distributed.world import World
from tinkit.engine.evaluation.output import Plan, make_plan, manifest_labels
from tinkit.engine.evaluation.partial import Blocks
from tinkit.engine.evaluation.protocol import check_segments
from tinkit.engine.evaluation.score import Scored, score_split
from tinkit.engine.runs.log import Reporter
from tinkit.engine.runs.non_finite import NotFiniteError, not_finite, told_of_run
from tinkit.engine.runs.run import Run, load_run_weights
from tinkit.engine.runs.writers import sweep, writing_file
from tinkit.engine.runtime.build import Pixels, build_model, choose_device
from tinkit.engine.runtime.device import amp_of_test, prepare_to_test, words
from tinkit.engine.runtime.precision import Amp
from tinkit.errors import UserError
from tinkit.models import Classifier
from tinkit.recipe import Recipe
from tinkit.scores import ScoreInfo, ScoreTable, read_scores, write_scores
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
    info: ScoreInfo
    notes: dict[str, int] = field(default_factory=dict)
    """What is worth saying of the clips that were read now, and of how many: that they were turned, say."""


def load_model(
    run: Run, weights: str, num_segments: int | None = None, world: World | None = None
) -> tuple[Classifier, Recipe, Path]:
    """The run's classifier with a checkpoint's weights on the device, in evaluation mode.

    ``num_segments`` is the frames that it shall see (None: as in training). Of weights that are not finite, all that it
    gives is NaN.
    """
    recipe = run.load_recipe()
    state, path, header = load_run_weights(run, weights)
    model = build_model(recipe, len(header["info"]["classes"]), pretrained=False, num_segments=num_segments)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"does not fit the run's recipe: {error}", file=path) from error
    if not_finite(state):
        # An offset that is NaN leads out of the clip, and a ReLU may take NaN for zero: what such weights give would
        # look like scores. So it is NaN whatever they give, and whoever uses it names the clip.
        model.backbone.register_forward_hook(lambda _module, _given, features: torch.full_like(features, torch.nan))
    return model.to(choose_device(world)).eval(), recipe, path


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
    keep_views: bool = False,
    apart: bool = False,
    world: World | None = None,
    stop: StopSignal | None = None,
) -> TestResult:
    """Score a split and write ``scores/SPLIT-VIEWS-WEIGHTS.arrow``; an interrupted test goes on where it was.

    ``data`` replaces the recipe's (another root). A score file that is there is kept if it would come out the same,
    given new labels if only the annotations changed, replaced if the checkpoint is newer, and refused to be replaced if
    it was made of other clips or by another protocol; ``force`` replaces it in any case. With ``limit`` only the first
    clips are scored, into ``scores/trials``. ``keep_views`` writes each view's scores too, into
    ``scores/views/SPLIT-VIEWS-WEIGHTS``. ``apart`` puts a protocol that is not the recipe's own, or whose place is
    taken by another, into ``scores/published`` under a name of its own.

    Every process of ``world`` scores its share and gets the same result; the main one writes and speaks.
    Raises :class:`~tinkit.errors.Interrupted` after a signal to ``stop``.
    """
    world = world or World()
    recipe = run.load_recipe()
    check_segments(recipe, views)
    manifest = world.first(lambda: open_manifest(data or recipe.data, split))
    manifest = manifest if limit is None else manifest.head(limit)
    device = choose_device(world)
    amp = world.on_main(lambda: amp_of_test(recipe, views, device.type))

    def plan() -> Plan:
        return make_plan(run, recipe, manifest, views, weights, amp=amp, trial=limit is not None, apart=apart)

    planned = world.on_main(plan)

    def is_current() -> bool:
        return limit is None and not force and planned.is_current(views, reporter, keep_views=keep_views)

    if world.on_main(is_current):
        return world.on_main(lambda: _kept(planned, manifest, views, reporter))
    with writing_file(planned.path, world):
        return _make(
            planned, run, manifest, views, weights, reporter, data=data, amp=amp, keep_views=keep_views,
            world=world, stop=stop,
        )  # fmt: skip


def _kept(plan: Plan, manifest: Manifest, views: ViewConfig, reporter: Reporter) -> TestResult:
    """The result that is there, with the labels of today; nothing is written where these are its own."""
    blocks = _blocks(plan, keep_views=False)
    if plan.is_stale():
        with writing_file(plan.path):
            plan.renew(manifest, views, reporter)
    if blocks.exist():  # of a test that was killed when all but this was done, or of one that is at work
        with suppress(UserError), writing_file(plan.path):
            blocks.remove()
    sweep(plan.path)
    result = _result(plan.path, {})
    reporter.say(f"{plan.path} is up to date; --force makes it again")
    if result.broken:
        reporter.say(f"{result.broken} of its clips could not be decoded; --force tries them again")
    return result


def _make(
    planned: Plan,
    run: Run,
    manifest: Manifest,
    views: ViewConfig,
    weights: str,
    reporter: Reporter,
    *,
    data: DataConfig | None,
    amp: Amp,
    keep_views: bool,
    world: World,
    stop: StopSignal | None,
) -> TestResult:
    """Score the split and write what was planned; the lock of the score file is held."""
    recipe, device = run.load_recipe(), choose_device(world)
    flow = FlowFiles.of(recipe.data if data is None else data)
    require_files(manifest, recipe.clip, flow)
    # first: averaged weights may have to be made
    model, _, checkpoint = world.first(lambda: load_model(run, weights, views.num_segments, world))
    world.first(lambda: planned.check_same(checkpoint))
    prepare_to_test(model)
    title = f"{manifest.split} {views.views}"
    reporter.say(f"{title}, on {device.type}: {words(recipe, amp, device.type, merged=True)}")
    blocks = _blocks(planned, keep_views=keep_views)
    try:
        scored = score_split(
            model,
            Pixels(model, device, recipe.train.channels_last),
            TestClips(manifest, recipe.clip, views, flow, DecodeSettings.as_trained(data or recipe.data, recipe.data)),
            recipe.train,
            reporter,
            batch=max(1, views.batch // views.count),
            average=views.average,
            title=title,
            amp=amp,
            swap=flip_permutation(manifest.classes, recipe.clip.flip_labels),
            world=world,
            stop=stop,
            blocks=blocks,
        )
    except NotFiniteError as error:
        blocks.remove()  # only the main process comes here: the others learn of its end
        raise told_of_run(error, run, weights) from None
    if scored is not None and scored.notes:
        reporter.say(f"{title}, of the clips: {notes_text(scored.notes)}")
    return world.on_main(lambda: _write(planned, manifest, scored, blocks, views.count if keep_views else 0))


def _blocks(plan: Plan, *, keep_views: bool) -> Blocks:
    return Blocks(plan.path.with_name(f".{plan.path.stem}.partial"), plan.key, keep_views=keep_views)


def _write(plan: Plan, manifest: Manifest, scored: Scored | None, blocks: Blocks, views: int) -> TestResult:
    """Write the score file, then those of ``views`` single views; then the blocks are not needed any more.

    Raises :class:`~tinkit.errors.UserError`, with nothing written, if no clip has scores.
    """
    assert scored is not None
    ids, labels, source = manifest.ids, manifest_labels(manifest), manifest.table["source"].to_pylist()
    if not scored.valid.any():
        blocks.remove()  # so that the same command tries them all again
        why = next(iter(scored.reasons.values()), "there is none")
        raise UserError(
            f"none of the {len(ids)} clips of {manifest.split} could be decoded: {why}",
            file=manifest.root,
            fix="mend them, or say where the data set is: --data DIR",
        )
    table = ScoreTable(plan.info, ids, scored.scores, scored.valid, labels, source)
    shutil.rmtree(plan.views_folder, ignore_errors=True)  # of an earlier test: they would lie beside newer scores
    write_scores(plan.path, table)
    for number, path in enumerate(plan.view_paths(views) if views else ()):
        single = replace(table, info=replace(plan.info, view=number), scores=blocks.view(number, len(ids)))
        write_scores(path, single)
    blocks.remove()
    result = _result(plan.path, {ids[row]: reason for row, reason in scored.reasons.items()})
    return replace(result, notes=scored.notes)


def _result(path: Path, reasons: dict[str, str]) -> TestResult:
    """What the score file says, read back from the disk."""
    table = read_scores(path)
    broken = int((~np.asarray(table.valid)).sum())
    if broken == len(table):
        raise UserError(f"none of its {broken} clips has scores", file=path, fix="--force tries to decode them again")
    return TestResult(path, len(table), broken, reasons, measure(table), table.info)
