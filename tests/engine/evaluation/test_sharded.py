"""Scoring shared among processes, played by threads: every clip once, the same forwards, resumed by any number."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tinkit.engine.distributed.signals import StopSignal
from tinkit.engine.distributed.world import World
from tinkit.engine.evaluation import score as evaluate
from tinkit.engine.evaluation import sharded as rounds
from tinkit.engine.evaluation.partial import Block, Blocks
from tinkit.engine.evaluation.score import Scored, Scorer, score_split
from tinkit.engine.runtime.reporter import Reporter
from tinkit.engine.runtime.session import Session
from tinkit.errors import Interrupted
from tinkit.recipe.training import TrainConfig

QUIET = Session(reporter=Reporter(quiet=True))
CLASSES, VIEWS = 3, 2


@dataclass(frozen=True)
class Threads(World):
    """A world whose processes are threads of this one."""

    board: Any = None

    def total(self, *values: float) -> tuple[float, ...]:
        return tuple(sum(column) for column in zip(*self._all(values), strict=True))

    def gather(self, value: Any) -> list[Any] | None:
        every = self._all(value)
        return every if self.main else None

    def share(self, value: Any) -> Any:
        return self._all(value)[0]

    def _all(self, value: Any) -> list[Any]:
        slots, barrier = self.board
        slots[self.rank] = value
        barrier.wait(timeout=20)
        every = list(slots)
        barrier.wait(timeout=20)
        return every


class Clips(torch.utils.data.Dataset[Any]):
    """Clips without files: a clip's frames hold its row and the view; some cannot be decoded."""

    def __init__(self, count: int, broken: set[int]) -> None:
        self.manifest = SimpleClips(count)
        self.views = SimpleNamespace(mirrored=(False,) * VIEWS)
        self._broken = broken

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, index: int) -> dict[str, Any]:
        frames = torch.zeros(VIEWS, 1, 3, 1, 1, dtype=torch.int64)
        frames[:, 0, 0, 0, 0], frames[:, 0, 1, 0, 0] = index, torch.arange(VIEWS)
        reason = f"broken {index}" if index in self._broken else ""
        return {
            "frames": frames, "labels": torch.zeros(CLASSES), "labelled": True, "index": index, "valid": not reason,
            "broken": bool(reason), "reason": reason,
        }  # fmt: skip

    def each(self, keys: Iterable[int]) -> Iterator[dict[str, Any]]:
        return map(self.__getitem__, keys)


@dataclass
class SimpleClips:
    count: int
    classes: tuple[str, ...] = ("a", "b", "c")
    task: str = "multi-label"

    def __len__(self) -> int:
        return self.count


@dataclass
class Model:
    """Scores tell the row, the view and the class; ``forwards`` are the rows of every batch that was seen."""

    forwards: list[tuple[int, ...]] = field(default_factory=list)
    training: bool = True
    before: Callable[[], None] = lambda: None

    def __call__(self, video: Tensor) -> Tensor:
        self.before()
        row, view = video[:, 0, 0, 0, 0], video[:, 0, 1, 0, 0]
        self.forwards.append(tuple(int(value) for value in row[::VIEWS]))
        return 100 * row[:, None] + 10 * view[:, None] + torch.arange(CLASSES)

    def eval(self) -> None:
        self.training = False

    def train(self, mode: bool) -> None:
        self.training = mode


def expected(count: int, broken: set[int]) -> np.ndarray:
    rows = [[100 * row + 10 * (VIEWS - 1) / 2 + c for c in range(CLASSES)] for row in range(count)]
    scores = np.array(rows, np.float32).reshape(count, CLASSES)
    scores[sorted(broken)] = np.nan
    return scores


def score(
    size: int,
    clips: Clips,
    batch: int,
    *,
    folder: Path | None = None,
    stop_at: tuple[int, int] | None = None,
    keep_views: bool = False,
) -> tuple[list[Scored | Interrupted | None], list[list[tuple[int, ...]]]]:
    """What each of ``size`` processes got, and the forwards of each.

    With ``stop_at`` (rank, forward) that process is sent signal 15 in that forward.
    """
    board = ([None] * size, threading.Barrier(size))
    models = [Model() for _ in range(size)]
    stops = [StopSignal() for _ in range(size)]
    results: list[Any] = [None] * size

    def work(rank: int) -> None:
        counter = itertools.count()

        def before() -> None:
            if stop_at == (rank, next(counter)):
                stops[rank].number = 15

        models[rank].before = before
        try:
            scorer = Scorer(models[rank], lambda frames, amp: frames.float(), clips.manifest.task, "logits")  # type: ignore
            session = replace(QUIET, world=Threads(rank, size, board=board), stop=stops[rank])
            blocks = None if folder is None else Blocks(folder, "key", keep_views=keep_views)
            train = TrainConfig(workers=0)
            results[rank] = score_split(scorer, clips, train, session, batch=batch, title="", blocks=blocks)  # type: ignore
        except BaseException as error:
            results[rank] = error
            if not isinstance(error, Interrupted):
                board[1].abort()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, Interrupted):
            raise result
    assert all(model.training for model in models)  # as it was, also after an interruption
    return results, [model.forwards for model in models]


def batches(rows: range, batch: int) -> list[tuple[int, ...]]:
    return [tuple(rows[start : start + batch]) for start in range(0, len(rows), batch)]


small = st.integers(1, 5)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(0, 23), batch=small, size=small, block=st.integers(1, 30), data=st.data())
def test_every_clip_is_scored_once_in_the_batches_of_one_process(
    monkeypatch: pytest.MonkeyPatch, count: int, batch: int, size: int, block: int, data: st.DataObject
) -> None:
    monkeypatch.setattr(rounds, "_BLOCK", block)
    broken = data.draw(st.sets(st.integers(0, max(0, count - 1)), max_size=count))
    (main, *others), forwards = score(size, Clips(count, broken), batch)
    assert others == [None] * (size - 1)
    assert isinstance(main, Scored)
    np.testing.assert_array_equal(main.scores, expected(count, broken))
    assert main.valid.tolist() == [row not in broken for row in range(count)]
    assert main.reasons == {row: f"broken {row}" for row in broken}
    wanted = batches(range(count), batch)
    assert forwards == [wanted[rank::size] for rank in range(size)]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(2, 23), batch=small, sizes=st.tuples(small, small), block=st.integers(1, 9), data=st.data())
def test_an_interrupted_test_goes_on_with_any_number_of_processes(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    batch: int,
    sizes: tuple[int, int],
    block: int,
    data: st.DataObject,
) -> None:
    monkeypatch.setattr(rounds, "_BLOCK", block)
    folder, clips = tmp_path_factory.mktemp("a") / "partial", Clips(count, {1})
    rank = data.draw(st.integers(0, sizes[0] - 1))
    forward = data.draw(st.integers(0, 3))
    first, before = score(sizes[0], clips, batch, folder=folder, stop_at=(rank, forward), keep_views=True)
    (main, *_), after = score(sizes[1], clips, batch, folder=folder, keep_views=True)
    assert isinstance(main, Scored)
    np.testing.assert_array_equal(main.scores, expected(count, {1}))
    assert main.reasons == {1: "broken 1"}
    # Nothing was scored twice, and the batches are those that one process would have made.
    seen = sorted(rows for forwards in (*before, *after) for rows in forwards)
    assert seen == batches(range(count), batch)
    stopped = [result for result in first if isinstance(result, Interrupted)]
    assert len(stopped) in (0, sizes[0])  # all of them, or none if the signal came in the last round
    assert {error.exit_code for error in stopped} <= {143}
    for view in range(VIEWS):
        kept = Blocks(folder, "key", keep_views=True).view(view, count)
        wanted = expected(count, {1}) + 10 * (view - (VIEWS - 1) / 2)
        np.testing.assert_array_equal(kept, wanted.astype(np.float32))


def test_scores_gathered_at_a_time_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_BLOCK", 12)
    most: list[int] = []
    take = evaluate._Kept.take

    def spy(self: Any, block: Block) -> None:
        most.append(len(block.values))
        take(self, block)

    monkeypatch.setattr(evaluate._Kept, "take", spy)
    score(2, Clips(100, set()), 2)
    assert max(most) == 12
    assert sum(most) == 100


def test_a_mirrored_view_has_its_classes_put_back() -> None:
    class Marks(nn.Module):
        def forward(self, video: Tensor) -> Tensor:
            return video[:, 0, 0, 0, :CLASSES]

    logits = torch.randn(5, 4, CLASSES)
    frames = logits[:, :, None, None, None, :].expand(5, 4, 1, 3, 1, CLASSES)
    mirrored, swap = (False, True, True, False), np.array([2, 1, 0])
    for average in ("logits", "probabilities"):
        for task in ("multi-label", "single-label"):
            scorer = Scorer(Marks(), lambda clips, amp: clips, task, average, "off", mirrored, swap)  # type: ignore
            made = scorer(frames)
            for clip, view, c in itertools.product(range(5), range(4), range(CLASSES)):
                own = logits[clip, view]
                if average == "probabilities":
                    own = own.sigmoid() if task == "multi-label" else own.softmax(0)
                wanted = own[swap[c]] if mirrored[view] else own[c]
                assert made[clip, view, c] == wanted
