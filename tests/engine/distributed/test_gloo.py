"""Testing a run with real processes over gloo: the score files of two are those of one, bit by bit."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.processes import agent_store, together
from tests.helpers.scored_runs import QUIET, untrained
from tinkit.data.config.views import ViewConfig
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.distributed.signals import StopSignal
from tinkit.engine.distributed.world import World
from tinkit.engine.evaluation import sharded as rounds
from tinkit.engine.evaluation.features import features_of_split
from tinkit.engine.evaluation.score import Scorer
from tinkit.engine.evaluation.test import TestRequest, run_test
from tinkit.engine.runs.run import Run
from tinkit.engine.runtime.session import Session
from tinkit.errors import UserError
from tinkit.scores import read_scores
from tinkit.scores.features import read_features

PROCESSES = 2


class Stopping(StopSignal):
    """Is sent a signal when it has been asked ``times`` times."""

    def __init__(self, times: int, number: int) -> None:
        super().__init__()
        self._left, self._sent = times, number

    @property
    def number(self) -> int:  # type: ignore[override]
        self._left -= 1
        return self._sent if self._left < 0 else 0

    @number.setter
    def number(self, value: int) -> None:
        pass


def views(run: Run, **changes: object) -> ViewConfig:
    return ViewConfig.model_validate(run.load_recipe().test.model_dump() | changes)


def scored(run: Run, split: str = "val", session: Session = QUIET, **changes: Any) -> Any:
    """A test of ``run``: what it gave, or the error's name and code."""
    keep = changes.pop("keep_views", False)
    try:
        result = run_test(
            run,
            split,
            views(run, **changes),
            "best",
            session,
            TestRequest(keep_views=keep),
        )
    except UserError as error:
        return [type(error).__name__, error.exit_code]
    return [str(result.path), result.broken, result.reasons, result.metrics and asdict(result.metrics)]


def uneven_and_kept(runs: Path, world: World) -> Any:
    return scored(Run(runs / "two"), session=replace(QUIET, world=world), views="2x3", flip=True, keep_views=True)


def more_processes_than_batches(runs: Path, world: World) -> Any:
    return scored(Run(runs / "more"), session=replace(QUIET, world=world), batch=8)


def broken_on_one(runs: Path, world: World) -> Any:
    return scored(Run(runs / "broken"), session=replace(QUIET, world=world))


def features_of_a_broken_one(runs: Path, world: World) -> Any:
    run = Run(runs / "broken")
    written = features_of_split(run, "best", "val", views(run, views="2x3", batch=12), replace(QUIET, world=world))
    return [str(written.path), written.clips, written.broken, written.width, written.reasons]


def stopped_by_a_signal_to_one(runs: Path, world: World) -> Any:
    # Begun in one process; of these, only the second is sent SIGUSR1 (10).
    stop = Stopping(0 if world.rank == 1 else 10**6, 10)
    return scored(Run(runs / "stopped"), session=replace(QUIET, world=world, stop=stop), batch=1)


def mistaken(runs: Path, world: World) -> Any:
    run = Run(runs / "mistaken")
    scored(run, session=replace(QUIET, world=world), batch=8)
    return scored(run, session=replace(QUIET, world=world), scale=64, batch=8)


SCENARIOS: list[Callable[[Path, World], Any]] = [
    uneven_and_kept, more_processes_than_batches, broken_on_one, features_of_a_broken_one, stopped_by_a_signal_to_one,
    mistaken,
]  # fmt: skip


def every_scenario(world: World, runs: Path) -> dict[str, Any]:
    """What every scenario gave in one of the processes, by name."""
    rounds._BLOCK = 2
    return {scenario.__name__: scenario(runs, world) for scenario in SCENARIOS}


@pytest.fixture(scope="module")
def runs(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Copies of one run, each tested by several processes; ``one`` is left to this process."""
    folder = tmp_path_factory.mktemp("runs")
    first = untrained(challenge, folder, "clip.flip_labels=[[0,1],[4,7]]", "optim.batch=8")
    root = folder / "data"
    shutil.copytree(challenge, root)
    broken = open_manifest(first.load_recipe().data.model_copy(update={"root": root}), "val").row(4)
    (root / broken.path).write_bytes(b"not a video")
    for name in ("one", "two", "more", "stopped", "mistaken", "broken"):
        shutil.copytree(first.folder, folder / name)
    recipe = folder / "broken" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(str(challenge), str(root)))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    begin_on_one(Run(folder / "stopped"))
    yield folder
    torch.set_num_threads(threads)


def begin_on_one(run: Run) -> None:
    """Score two of the eight clips, and stop."""
    block, rounds._BLOCK = rounds._BLOCK, 1
    assert scored(run, session=replace(QUIET, stop=Stopping(1, 2)), batch=1) == ["Interrupted", 130]
    rounds._BLOCK = block


@pytest.fixture(scope="module")
def outcomes(runs: Path) -> list[dict[str, Any]]:
    return together(agent_store(), PROCESSES, every_scenario, runs)


def same_file(a: Path, b: Path) -> None:
    first, second = read_scores(a), read_scores(b)
    assert list(first.ids) == list(second.ids)
    assert list(first.labels) == list(second.labels)
    np.testing.assert_array_equal(first.valid, second.valid)
    np.testing.assert_array_equal(first.scores, second.scores)


def alike(outcomes: list[dict[str, Any]], name: str) -> Any:
    """What the processes of a scenario got, who must have got the same."""
    first, second = [outcome[name] for outcome in outcomes]
    assert first == second
    return first


def test_two_processes_write_the_score_files_of_one(runs: Path, outcomes: list[dict[str, Any]]) -> None:
    path, broken, reasons, measured = alike(outcomes, "uneven_and_kept")
    own = scored(Run(runs / "one"), views="2x3", flip=True, keep_views=True)
    assert [broken, reasons, measured] == own[1:]
    same_file(Path(path), Path(own[0]))
    kept = [sorted((runs / name / "scores" / "views" / "val-2x3-best").iterdir()) for name in ("two", "one")]
    assert len(kept[0]) == 12
    for a, b in zip(*kept, strict=True):
        same_file(a, b)


def test_processes_without_a_batch_are_fine(runs: Path, outcomes: list[dict[str, Any]]) -> None:
    path, *_ = alike(outcomes, "more_processes_than_batches")
    same_file(Path(path), Path(scored(Run(runs / "one"), batch=8)[0]))


def test_a_broken_clip_of_one_process_is_one_null_row(runs: Path, outcomes: list[dict[str, Any]]) -> None:
    path, broken, reasons, measured = alike(outcomes, "broken_on_one")
    table = read_scores(path)
    assert np.flatnonzero(~table.valid).tolist() == [4]
    assert list(reasons) == [table.ids[4]]
    assert broken == measured["counts"]["without_scores"] == 1
    assert measured["counts"]["measured"] == 7


def test_two_processes_write_the_features_of_one(runs: Path, outcomes: list[dict[str, Any]], tmp_path: Path) -> None:
    path, *found = alike(outcomes, "features_of_a_broken_one")
    run = Run(runs / "broken")
    config = views(run, views="2x3", batch=12)
    own = features_of_split(run, "best", "val", config, QUIET, out=tmp_path / "one.arrow")
    first, second = read_features(path), read_features(own.path)
    assert found == [8, 1, first.features.shape[1], own.reasons]
    assert np.flatnonzero(~first.valid).tolist() == [4]
    np.testing.assert_array_equal(first.features, second.features)
    assert (list(first.ids), first.info) == (list(second.ids), second.info)


def test_a_test_begun_on_one_goes_on_with_two_and_ends_on_one(
    runs: Path, outcomes: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A signal to one process stops all of them, each with that signal's code.
    assert alike(outcomes, "stopped_by_a_signal_to_one") == ["Interrupted", 75]
    run = Run(runs / "stopped")
    blocks = sorted(path.name for path in (run.folder / "scores" / ".val-1x1-best.partial").glob("*.npz"))
    assert blocks == [f"{start:010d}.npz" for start in (0, 1, 2)]  # two clips on one, then one each on two
    calls: list[int] = []
    plain = Scorer.__call__

    def counted(self: Scorer, frames: torch.Tensor) -> torch.Tensor:
        calls.append(len(frames))
        return plain(self, frames)

    monkeypatch.setattr(Scorer, "__call__", counted)
    path = scored(run, batch=1)[0]
    assert calls == [1] * 4  # the clips that are left of eight
    monkeypatch.undo()
    again = Run(runs / "one")
    same_file(Path(path), run_test(again, "val", views(again, batch=1), "best", QUIET, TestRequest(force=True)).path)


def test_what_the_main_process_refuses_ends_all_and_is_said_once(outcomes: list[dict[str, Any]]) -> None:
    assert [outcome["mistaken"] for outcome in outcomes] == [["UsageError", 2], ["SaidElsewhere", 1]]
