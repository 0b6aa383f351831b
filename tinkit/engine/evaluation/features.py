"""What a run's network sees in clips, before its classifier: features of video files, or of every clip of a split."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinkit.data.clips.opening import require_files
from tinkit.data.clips.testing import TestClips, load_views
from tinkit.data.config.dataset import DataConfig
from tinkit.data.config.views import ViewConfig
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.flow.folders import FlowFiles
from tinkit.data.layouts.layout import Media
from tinkit.data.manifest.manifest import Manifest, open_manifest
from tinkit.engine.distributed.world import World
from tinkit.engine.evaluation.output import ScoreOutput, manifest_labels, plan_output
from tinkit.engine.evaluation.partial import Block, Blocks
from tinkit.engine.evaluation.protocol import check_segments, protocol_of
from tinkit.engine.evaluation.sharded import each_clip
from tinkit.engine.runs.checkpoint import read_header
from tinkit.engine.runs.load import load_model, prepare_to_test
from tinkit.engine.runs.non_finite import NonFiniteError, require_finite_values
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.way_back import told_of_run
from tinkit.engine.runs.writers import sweep, writing_file
from tinkit.engine.runtime.device import amp_of_test, choose_device
from tinkit.engine.runtime.pixels import Pixels
from tinkit.engine.runtime.precision import PRECISION, Amp, autocast
from tinkit.engine.runtime.reporter import Reporter
from tinkit.engine.runtime.session import Session
from tinkit.errors import UsageError, UserError
from tinkit.files.hashes import sha256_file
from tinkit.models import Classifier
from tinkit.scores import ScoreInfo
from tinkit.scores.features import Part, check_ids, inspect_features, write_features

_OF_SCORES = ("kind", "average", "view")  # what a score file says that has no meaning for features


@dataclass(frozen=True)
class WrittenFeatures:
    """A feature file that was written, or existed already."""

    path: Path
    clips: int
    broken: int
    """Clips with null features, because they could not be decoded."""
    width: int
    """Features of a clip."""
    reasons: dict[str, str]
    """Clip id to why its features are null; empty when the file existed already."""


def pooled_features(model: Classifier, video: Tensor) -> Tensor:
    """(B, T, C, H, W), normalised, to (B, F) float32: what goes into the model's dropout, averaged over the frames.

    That is the backbone's output after its pooling, before anything that depends on the classes.
    """
    seen: list[Tensor] = []
    watching = model.dropout.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        model(video)
    finally:
        watching.remove()
    (features,) = seen
    return features.float().reshape(len(video), -1, features.shape[-1]).mean(1)


def features_of_split(
    run: Run,
    weights: str,
    split: str,
    views: ViewConfig,
    session: Session,
    *,
    data: DataConfig | None = None,
    out: Path | None = None,
) -> WrittenFeatures:
    """Write the features of a split's clips, averaged over ``views``: the ids, and their order, of its score file.

    The file is ``features/SPLIT-VIEWS-WEIGHTS.arrow`` in the run's folder unless ``out`` names it. ``data`` replaces
    the recipe's (another root). A clip that cannot be decoded has null features. An interrupted call is resumed by
    the same call; an existing file is kept if it would come out the same, and replaced if only the checkpoint or
    the annotations are newer. The session's processes and ``stop`` are as in
    :func:`~tinkit.engine.evaluation.sharded.each_clip`.

    Raises :class:`~tinkit.errors.UserError` for a file in this place that does not hold features, or those of other
    clips.
    """
    world = session.world
    recipe = run.load_recipe()
    check_segments(recipe, views)
    manifest = world.first(lambda: open_manifest(data or recipe.data, split))
    amp = world.on_main(lambda: amp_of_test(recipe, views, choose_device(world).type))
    output = world.on_main(
        lambda: plan_output(run, recipe, manifest, views, weights, amp=amp, trial=False, apart=False)
    )
    path = out or run.folder / "features" / output.path.name
    blocks = Blocks(path.with_name(f".{path.stem}.partial"), output.key)
    if world.on_main(lambda: _is_current(path, output, session.reporter) and not blocks.exist()):
        world.on_main(lambda: sweep(path))
        return world.on_main(lambda: _written(path, {}))
    with writing_file(path, world):
        if world.on_main(lambda: _is_current(path, output)):
            world.on_main(blocks.remove)  # of a command that was killed when all but this was done
            return world.on_main(lambda: _written(path, {}))
        flow = FlowFiles.of(data or recipe.data)
        require_files(manifest, recipe.clip, flow)
        network = world.first(lambda: _Network(run, weights, views, amp, world))
        world.first(lambda: output.check_same(network.checkpoint))
        reading = DecodeSettings.as_trained(data or recipe.data, recipe.data)
        clips, kept = TestClips(manifest, recipe.clip, views, flow, reading), _OnDisk(blocks)
        batch, title = max(1, views.batch // views.count), f"features of {split} {views.views}"
        try:
            each_clip(network, clips, recipe.train, kept, session, batch=batch, title=title)
        except NonFiniteError as error:
            blocks.remove()  # only the main process comes here: the others learn of its end
            raise told_of_run(error, run, weights) from None
        return world.on_main(lambda: _write(path, output, manifest, kept))


def _write(path: Path, output: ScoreOutput, manifest: Manifest, kept: _OnDisk) -> WrittenFeatures:
    """Write the feature file of a split from its blocks on the disk, which are then removed."""
    ids, source = manifest.ids, manifest.table["source"].to_pylist()
    reasons = {ids[row]: reason for row, reason in kept.reasons.items()}
    if len(reasons) == len(ids):
        kept.blocks.remove()  # so that the same command tries them all again
    _require_some(ids, reasons)
    write_features(path, _of_features(output.info), ids, manifest_labels(manifest), source, kept.parts())
    kept.blocks.remove()
    return _written(path, reasons)


def features_of_files(run: Run, weights: str, paths: Sequence[Path], views: ViewConfig, out: Path) -> WrittenFeatures:
    """Write the features of video files, or folders of frames, averaged over ``views``; the ids are the paths.

    A file that cannot be decoded has null features. Raises :class:`~tinkit.errors.UserError` for a path given twice,
    for views that the model cannot see, and where ``out`` is a file that is none of the features of these paths.
    """
    with writing_file(out):
        return _features_of_files(run, weights, paths, views, out)


def _features_of_files(run: Run, weights: str, paths: Sequence[Path], views: ViewConfig, out: Path) -> WrittenFeatures:
    recipe = run.load_recipe()
    check_segments(recipe, views)
    ids = [str(path) for path in paths]
    check_ids(ids, out)
    about = inspect_features(out) if out.exists() else None
    network = _Network(run, weights, views, amp_of_test(recipe, views, choose_device().type))
    header = read_header(network.checkpoint)["info"]
    info: dict[str, Any] = {name: header[name] for name in ("task", "classes", "trained_on")}
    info |= {
        "run": run.name,
        "weights": weights,
        "views": views.views,
        "protocol": protocol_of(views, recipe.clip) | {"precision": PRECISION[network.amp]},
        "hashes": {"recipe": run.recipe_hash(), "checkpoint": sha256_file(network.checkpoint)},
    }
    if about is not None and (list(about.ids), _what_of(about.info)) != (ids, _what_of(info)):
        raise _other_clips(out)
    rows: list[NDArray[np.float32] | None] = []
    reasons: dict[str, str] = {}
    for path in paths:
        try:
            media: Media = "frames" if path.is_dir() else "video"
            template = recipe.data.layout.frame_template
            frames = load_views(path, media, recipe.clip, views, template, DecodeSettings.of(recipe.data))
        except BrokenClip as error:
            reasons[str(path)] = error.reason
            rows.append(None)
            continue
        row = network(frames[None])[0].mean(0).cpu().numpy()
        try:
            require_finite_values(row[None], (), [str(path)].__getitem__, "features")
        except NonFiniteError as error:
            raise told_of_run(error, run, weights) from None
        rows.append(row)
    _require_some(ids, reasons)
    width = next(len(row) for row in rows if row is not None)
    features = np.stack([np.full(width, np.nan, np.float32) if row is None else row for row in rows])
    valid = np.array([row is not None for row in rows])
    write_features(out, info | {"split": ""}, ids, [None] * len(ids), ids, [(features, valid)])
    return _written(out, reasons)


class _Network:
    """A run's network, ready to test: views (B, V, T, C, H, W) uint8 to features (B, V, F)."""

    def __init__(self, run: Run, weights: str, views: ViewConfig, amp: Amp, world: World | None = None) -> None:
        self._model, recipe, self.checkpoint = load_model(run, weights, views.num_segments, world)
        self.amp = amp
        prepare_to_test(self._model)
        self._pixels = Pixels(self._model, choose_device(world), channels_last=recipe.train.channels_last)

    @torch.inference_mode()
    def __call__(self, frames: Tensor) -> Tensor:
        video = self._pixels(frames.flatten(0, 1), self.amp)
        with autocast(video.device.type, self.amp):
            features = pooled_features(self._model, video)
        return features.unflatten(0, frames.shape[:2])


class _OnDisk:
    """The features of a split so far, none of which stay in memory."""

    what, saves, keep_views = "features", True, False

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self.reasons: dict[int, str] = {}

    def restore(self) -> int:
        """Find what an interrupted call has left; returns how many rows that is."""
        done = 0
        for block in self.blocks.restore():
            self.reasons |= block.reasons
            done += len(block.values)
        return done

    def take(self, block: Block) -> None:
        """Save what all processes have made."""
        self.reasons |= block.reasons
        self.blocks.save(block)

    def parts(self) -> Iterator[Part]:
        """All of it, a block at a time."""
        for block in self.blocks.restore():
            rows = range(block.start, block.start + len(block.values))
            yield block.values, np.array([row not in block.reasons for row in rows])


def _is_current(path: Path, output: ScoreOutput, reporter: Reporter | None = None) -> bool:
    """Whether the existing file is what would be written. Raises a UserError for one that is something else."""
    if not path.exists():
        return False
    about, own = inspect_features(path).info, dataclasses.asdict(output.info)
    there, wanted = about.get("hashes", {}), output.info.hashes
    if there.get("test") != wanted["test"] or _what_of(about) != _what_of(own):
        raise _other_clips(path)
    if reporter is None:
        return bool(there == wanted)
    if there == wanted:
        reporter.say(f"{path} is up to date; move it away to make it again")
    else:
        reporter.say(f"{path} was made with an older checkpoint, or of other labels, and is replaced")
    return bool(there == wanted)


def _what_of(info: Mapping[str, Any]) -> list[Any]:
    """Whose features a file has, and of which views."""
    return [info.get(name) for name in ("run", "weights", "views", "protocol")]


def _other_clips(path: Path) -> UsageError:
    return UsageError(
        "exists, with features of other clips, of other views or by another run",
        file=path,
        fix="move it away, or name another: --out",
    )


def _require_some(ids: Sequence[str], reasons: dict[str, str]) -> None:
    if len(reasons) == len(ids):
        why = next(iter(reasons.values()), "none was given")
        raise UserError(f"none of the {len(ids)} clips could be decoded: {why}")


def _of_features(info: ScoreInfo) -> dict[str, Any]:
    """A score file's metadata without what has no meaning for features."""
    return {name: value for name, value in dataclasses.asdict(info).items() if name not in _OF_SCORES}


def _written(path: Path, reasons: dict[str, str]) -> WrittenFeatures:
    about = inspect_features(path)
    return WrittenFeatures(path, len(about.ids), int((~about.valid).sum()), about.width, reasons)
