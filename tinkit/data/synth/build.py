"""Making a synthetic challenge on disk: resumable, and never over other data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from tinkit.data.layouts.catalogue import LAYOUTS
from tinkit.data.layouts.layout import SPLITS, Split
from tinkit.data.synth.clips import SynthSpec, draw_clip
from tinkit.data.synth.imitations import IMITATIONS
from tinkit.data.synth.media import Sound
from tinkit.data.synth.official import answers_csv, official_files
from tinkit.data.synth.render import digit_images, digit_targets, render
from tinkit.data.synth.scenes import SynthClip, digit_pools
from tinkit.data.synth.sounds import RATE, sound_of
from tinkit.errors import UserError
from tinkit.files.atomic import write_atomic
from tinkit.files.group import sweep, writing_in
from tinkit.files.json import unlike
from tinkit.files.locks import lock_file
from tinkit.workers import Alive, Work, WorkerLostError, Workers, each

# Raised when the same numbers would give other clips.
_VERSION = 1
_STATE = ".tinkit-synth.json"
_CLIPS_A_TASK = 20


@dataclass(frozen=True)
class SynthResult:
    """What was made: the data set's folder, the file of hidden answers beside it, clips made now and found there."""

    root: Path
    answers: Path
    made: int
    found: int


def answers_path(root: Path) -> Path:
    """Where the answers of the test split lie: outside the data set, in ``<root>-answers/test.csv``."""
    root = root.expanduser().resolve()
    return root.with_name(f"{root.name}-answers") / "test.csv"


def synthesise(
    spec: SynthSpec, root: Path, *, workers: int = 2, on_clips: Callable[[int], None] | None = None
) -> SynthResult:
    """Make the challenge in ``root``, in ``workers`` processes (in this one if 0); ``on_clips(n)`` is called with n
    more.

    A set that was begun with the same numbers is completed: existing clips are left alone. The annotation files come
    last, so a half-made set has none. Raises :class:`~tinkit.errors.UserError`, before anything is written, if
    ``root`` holds anything else.
    """
    root = root.expanduser().resolve()
    clips = {split: _draw_split(spec, split) for split in SPLITS}
    answers, hidden = answers_path(root), answers_csv(spec.layout, clips["test"], spec.actions)
    made = 0
    with ExitStack() as stack:
        if not root.exists() or root.is_dir():  # else it is refused below
            stack.enter_context(writing_in(root, root))
        _claim(spec, root, answers, hidden)
        for count, made_now in stack.enter_context(closing(_run(spec, root, workers))):
            made += made_now
            if on_clips is not None:
                on_clips(count)
        for place, text in official_files(spec.layout, clips, spec.actions).items():
            write_atomic(root / place, text)
        write_atomic(answers, hidden)
    return SynthResult(root, answers, made, sum(spec.count(split) for split in SPLITS) - made)


def _draw_split(spec: SynthSpec, split: Split) -> list[SynthClip]:
    return _draw(spec, split, 0, spec.count(split))


def _draw(spec: SynthSpec, split: Split, start: int, stop: int) -> list[SynthClip]:
    targets = digit_targets()
    pool = digit_pools(spec.seed, len(targets))[split]
    return [draw_clip(spec, split, number, pool, targets) for number in range(start, stop)]


def _claim(spec: SynthSpec, root: Path, answers: Path, hidden: str) -> None:
    """Make ``root`` this challenge's, or refuse; take away what a killed run left half-written."""
    if answers.is_file() and answers.read_text() != hidden:
        raise UserError(
            "these are the answers of another challenge",
            file=answers,
            fix=f"choose another folder than {root}, or move the file away",
        )
    state = root / _STATE
    for place in (state, answers):
        if place.parent.is_dir():
            sweep(place)
    wanted = {"version": _VERSION, **asdict(spec)}
    for key in ("sound", "lags"):  # so that a set of a release that did not know them is still the same one
        if not wanted[key]:
            del wanted[key]
    if not state.exists():
        if root.exists() and (not root.is_dir() or any(path != lock_file(root) for path in root.iterdir())):
            raise UserError(
                f"{root} exists already, and `tinkit synth` did not create it",
                fix="choose a folder that is new or empty",
            )
        write_atomic(state, json.dumps(wanted, indent=1) + "\n")
        return
    differences = unlike(state, "what the synthetic challenge in this folder is", wanted)
    if differences is not None:
        raise UserError(
            f"{root} holds another synthetic challenge: {differences}",
            file=state,
            fix="choose another folder, use the same numbers, or delete this one",
        )
    for leftover in root.rglob(".*.tmp*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def _run(spec: SynthSpec, root: Path, workers: int) -> Generator[tuple[int, int]]:
    """Make every missing clip; yields (clips, of them made now) as tasks end."""
    tasks = [
        (split, start, min(start + _CLIPS_A_TASK, spec.count(split)))
        for split in SPLITS
        for start in range(0, spec.count(split), _CLIPS_A_TASK)
    ]
    digit_images()  # before the pool, so that forked processes have them
    if workers == 0:
        for split, start, stop in tasks:
            yield stop - start, _make(spec, root, split, start, stop)
        return
    pool = Workers(workers, partial(_begin_worker, spec, root), what="process that makes clips", describe=_named)
    try:
        for (_, start, stop), made in each(pool, tasks):
            yield stop - start, made
    except WorkerLostError as error:
        raise UserError(
            error.problem, fix="run the same command again to resume; if memory was short, use fewer --workers"
        ) from None


def _begin_worker(spec: SynthSpec, root: Path, number: int) -> Work:
    """What makes the clips of a task."""

    def work(task: tuple[Split, int, int], alive: Alive) -> int:
        split, start, stop = task
        return _make(spec, root, split, start, stop, alive)

    return work


def _named(task: tuple[Split, int, int]) -> str:
    """A task, in words."""
    split, start, stop = task
    return f"clips {start} to {stop - 1} of {split}"


def _make(spec: SynthSpec, root: Path, split: Split, start: int, stop: int, alive: Alive = lambda: None) -> int:
    """Render and write the clips ``start`` to ``stop`` of ``split`` that are missing; how many that were."""
    digits = digit_images()
    folder, style = root / LAYOUTS[spec.layout].media_folder, IMITATIONS[spec.layout]
    made = 0
    for clip in _draw(spec, split, start, stop):
        alive()
        path = folder / f"{clip.id}{style.suffix}"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = Sound(sound_of(clip, spec.seed), RATE) if spec.sound else None
        style.write_clip(path, render(clip.scene, digits), sound)
        made += 1
    return made
