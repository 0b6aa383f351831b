"""One test: a run's checkpoint over a split with the views asked for, into a score file."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

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
from tinkit.engine.evaluation.output import ScoreOutput, manifest_labels, plan_output
from tinkit.engine.evaluation.partial import Blocks
from tinkit.engine.evaluation.protocol import check_segments
from tinkit.engine.evaluation.score import Scored, Scorer, score_split
from tinkit.engine.measure.cost import gflops_of_test
from tinkit.engine.runs.load import load_model, prepare_to_test
from tinkit.engine.runs.non_finite import NonFiniteError
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.way_back import told_of_run
from tinkit.engine.runs.writers import sweep, writing_file
from tinkit.engine.runtime.device import amp_of_test, choose_device, device_words, words
from tinkit.engine.runtime.pixels import Pixels
from tinkit.engine.runtime.precision import Amp
from tinkit.engine.runtime.reporter import Reporter
from tinkit.engine.runtime.session import Session
from tinkit.errors import UserError
from tinkit.files.group import sweep as sweep_temporaries
from tinkit.scores import ScoreInfo, ScoreTable, read_scores, write_scores
from tinkit.scores.speed import Speed, read_speed, speed_file, write_speed
from tinkit.scores.tools import measure


@dataclass(frozen=True)
class TestRequest:
    """What a test is asked for, besides its protocol."""

    __test__ = False

    data: DataConfig | None = None
    """In place of the recipe's: another root."""
    limit: int | None = None
    """A trial: the first clips only, into ``scores/trials``."""
    force: bool = False
    """Replace an existing score file in any case."""
    keep_views: bool = False
    """Write each view's scores too, into ``scores/views/SPLIT-VIEWS-WEIGHTS``."""
    apart: bool = False
    """Put a protocol that is not the recipe's own, or whose place is taken by another, into ``scores/published`` under
    a name of its own."""


@dataclass(frozen=True)
class TestResult:
    """The outcome of a test."""

    __test__ = False

    path: Path
    clips: int
    broken: int
    """Clips with null scores, because they could not be decoded or have no sound for a model that listens."""
    reasons: dict[str, str]
    """Clip id to what was wrong with it; empty when the score file existed already."""
    metrics: metrics.Metrics | None
    """None where the split has no labels."""
    info: ScoreInfo
    speed: Speed | None = None
    """How fast it was, by the process that ended it; None where that is not known."""
    notes: dict[str, int] = field(default_factory=dict)
    """Notes on the clips that were read now, such as that they were turned, and how many have each."""


def run_test(
    run: Run,
    split: str,
    views: ViewConfig,
    weights: str,
    session: Session,
    request: TestRequest = TestRequest(),
) -> TestResult:
    """Score a split and write ``scores/SPLIT-VIEWS-WEIGHTS.arrow``; an interrupted test is resumed by the same call.

    An existing score file is kept if it would come out the same, given new labels if only the annotations changed,
    replaced if the checkpoint is newer, and refused to be replaced if it was made of other clips or by another
    protocol, unless the request forces it.

    Every process of the session scores its share and gets the same result; the main one writes and reports. Raises
    :class:`~tinkit.errors.Interrupted` after a signal to the session's ``stop``.
    """
    world, trial = session.world, request.limit is not None
    recipe = run.load_recipe()
    check_segments(recipe, views)
    manifest = world.first(lambda: open_manifest(request.data or recipe.data, split))
    manifest = manifest if request.limit is None else manifest.head(request.limit)
    amp = world.on_main(lambda: amp_of_test(recipe, views, choose_device(world).type))

    def plan() -> ScoreOutput:
        return plan_output(run, recipe, manifest, views, weights, amp=amp, trial=trial, apart=request.apart)

    output = world.on_main(plan)

    def is_current() -> bool:
        fixed = trial or request.force
        return not fixed and output.is_current(views, session.reporter, keep_views=request.keep_views)

    if world.on_main(is_current):
        return world.on_main(lambda: _kept(output, manifest, views, session.reporter))
    with writing_file(output.path, world):
        return _make(output, run, manifest, views, amp, session, request)


def _kept(output: ScoreOutput, manifest: Manifest, views: ViewConfig, reporter: Reporter) -> TestResult:
    """The existing result, with the labels of today; nothing is written where it has them."""
    blocks = _blocks(output, keep_views=False)
    if output.is_stale():
        with writing_file(output.path):
            output.renew(manifest, views, reporter)
    if blocks.exist():  # of a test that was killed when all but this was done, or of one that is at work
        with suppress(UserError), writing_file(output.path):
            sweep_temporaries(speed_file(output.path))
            blocks.remove()
    sweep(output.path)
    result = _result(output.path, {})
    reporter.say(f"{output.path} is up to date; --force makes it again")
    if result.broken:
        reporter.say(f"{result.broken} of its clips have no scores; --force tries them again")
    return result


def _make(
    output: ScoreOutput,
    run: Run,
    manifest: Manifest,
    views: ViewConfig,
    amp: Amp,
    session: Session,
    request: TestRequest,
) -> TestResult:
    """Score the split and write what was planned; the lock of the score file is held."""
    world, weights, recipe = session.world, output.info.weights, run.load_recipe()
    data, device = request.data or recipe.data, choose_device(world)
    flow = FlowFiles.of(data)
    require_files(manifest, recipe.clip, flow)
    # first: averaged weights may have to be made
    model, _, checkpoint = world.first(lambda: load_model(run, weights, views.num_segments, world))
    world.first(lambda: output.check_same(checkpoint))
    prepare_to_test(model)
    gflops = gflops_of_test(recipe, len(manifest.classes), views)
    output = replace(output, info=replace(output.info, gflops=gflops))
    title = f"{manifest.split} {views.views}"
    session.reporter.say(f"{title}, on {device.type}: {words(recipe, amp, device.type, merged=True)}")
    clips = TestClips(manifest, recipe.clip, views, flow, DecodeSettings.as_trained(data, recipe.data))
    swap = flip_permutation(manifest.classes, recipe.clip.flip_labels)
    pixels = Pixels(model, device, channels_last=recipe.train.channels_last)
    scorer = Scorer(model, pixels, manifest.task, views.average, amp, views.mirrored, swap)
    blocks, batch = _blocks(output, keep_views=request.keep_views), max(1, views.batch // views.count)
    try:
        scored = score_split(scorer, clips, recipe.train, session, batch=batch, title=title, blocks=blocks)
    except NonFiniteError as error:
        blocks.remove()  # only the main process comes here: the others learn of its end
        raise told_of_run(error, run, weights) from None
    if scored is not None and scored.notes:
        session.reporter.say(f"{title}, of the clips: {notes_text(scored.notes)}")
    kept = views.count if request.keep_views else 0
    return world.on_main(lambda: _write(output, manifest, scored, blocks, kept, device_words(device, world)))


def _blocks(output: ScoreOutput, *, keep_views: bool) -> Blocks:
    return Blocks(output.path.with_name(f".{output.path.stem}.partial"), output.key, keep_views=keep_views)


def _write(
    output: ScoreOutput, manifest: Manifest, scored: Scored | None, blocks: Blocks, views: int, device: str
) -> TestResult:
    """Write the speed on ``device``, the score file, then those of ``views`` single views.

    Then the blocks are not needed any more.

    Raises :class:`~tinkit.errors.UserError`, with nothing written, if no clip has scores.
    """
    assert scored is not None
    ids, labels, source = manifest.ids, manifest_labels(manifest), manifest.table["source"].to_pylist()
    if not scored.valid.any():
        blocks.remove()  # so that the same command tries them all again
        why = next(iter(scored.reasons.values()), "the split is empty")
        raise UserError(
            f"none of the {len(ids)} clips of {manifest.split} could be decoded: {why}",
            file=manifest.root,
            fix="repair them, or name the data set's folder: --data DIR",
        )
    table = ScoreTable(output.info, ids, scored.scores, scored.valid, labels, source)
    gflops = output.info.gflops
    shutil.rmtree(output.views_folder, ignore_errors=True)  # of an earlier test: they would stand beside newer scores
    sweep_temporaries(speed_file(output.path))
    if scored.made and scored.seconds > 0:
        # Before the scores: a test that is killed here finds its clips scored already, and would know no speed.
        write_speed(output.path, output.info, Speed(scored.made, scored.seconds, device))
    write_scores(output.path, table)
    for number, path in enumerate(output.view_paths(views) if views else ()):
        info = replace(output.info, view=number, gflops=gflops and gflops / views)
        single = replace(table, info=info, scores=blocks.view(number, len(ids)))
        write_scores(path, single)
    blocks.remove()
    result = _result(output.path, {ids[row]: reason for row, reason in scored.reasons.items()})
    return replace(result, notes=scored.notes)


def _result(path: Path, reasons: dict[str, str]) -> TestResult:
    """The contents of the score file, read back from the disk."""
    table = read_scores(path)
    broken = int((~np.asarray(table.valid)).sum())
    if broken == len(table):
        raise UserError(f"none of its {broken} clips has scores", file=path, fix="--force tries to decode them again")
    return TestResult(path, len(table), broken, reasons, measure(table), table.info, read_speed(path, table.info))
