"""Every clip of a split through a network, shared among processes; what comes out is put together on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tinkit.data.clips.batch import Batch
from tinkit.data.clips.loading import LoaderWorkers, test_loader
from tinkit.data.clips.testing import TestClips
from tinkit.engine.distributed.stall import Watch
from tinkit.engine.distributed.world import World
from tinkit.engine.evaluation.partial import Block
from tinkit.engine.runs.non_finite import require_finite_values
from tinkit.engine.runtime.device import loader_workers
from tinkit.engine.runtime.session import Session
from tinkit.errors import Interrupted
from tinkit.recipe.training import TrainConfig

Look = Callable[[Tensor], Tensor]
"""Views (B, V, T, C, H, W) uint8 to float32 values (B, V, W) of each: scores, or features."""

_BLOCK = 256  # clips seen, by all processes together, before they are brought together


class Sink(Protocol):
    """Where the main process puts the network's values: consecutive rows of the manifest."""

    what: str
    """What the values are, in a word for messages, such as ``scores``."""
    keep_views: bool
    """Whether the values of single views are wanted, beside their mean."""
    saves: bool
    """Whether the same command resumes from what it holds."""

    def restore(self) -> int:
        """How many rows it holds already."""

    def take(self, block: Block) -> None:
        """Keep the rows that follow those it holds."""


def each_clip(
    look: Look,
    clips: TestClips,
    train: TrainConfig,
    sink: Sink,
    session: Session,
    *,
    batch: int,
    title: str,
) -> None:
    """Show ``look`` every row of the clips' manifest that ``sink`` lacks; a clip's values are the mean of its views'.

    ``batch`` is clips a forward. Batches are dealt out to the processes whole, in turn, so that the network sees the
    same clips together whatever their number; each process brings a ``look`` and a ``sink``, of which only the main
    one's sink is asked anything but what it wants.

    After a signal to the session's ``stop``, in any process, all of them end their batch, bring together what there is
    and raise :class:`~tinkit.errors.Interrupted`. Non-finite values raise
    :class:`~tinkit.engine.runs.non_finite.NonFiniteError`, which names the clip.
    """
    world, stop = session.world, session.stop
    done = world.share(sink.restore() if world.main else 0)
    shard = _Shard(range(done, len(clips)), batch, world)
    pending: list[_Piece] = []
    workers = loader_workers(train)
    loader = iter(
        test_loader(clips, batch=batch, indices=shard.rows, workers=LoaderWorkers(workers, train.stall_limit, stop))
    )
    try:
        with (
            session.reporter.progress(title, len(clips), done) as meter,
            Watch(stop, train.stall_limit, title) as watch,
        ):
            for rows in shard.rounds():
                with watch.paused() if workers else nullcontext():
                    part = next(loader, None)
                if part is not None:
                    pending.append(_piece(part, look(part["frames"]), keep_views=sink.keep_views))
                signal = 0 if rows.stop == len(clips) else _signal(session)
                if signal or rows.stop == len(clips) or rows.stop - done + shard.clips_a_round > _BLOCK:
                    if (shares := world.gather(pending)) is not None:
                        block = _joined([piece for share in shares for piece in share])
                        _check_finite(block, clips, sink.what)
                        sink.take(block)
                    pending, done = [], rows.stop
                meter.advance(len(rows))
                watch.move()
                if signal:
                    raise _interrupted(sink, signal)
    except Interrupted as error:  # while this process waited for a batch, which the others do not know
        if pending and world.size == 1:
            sink.take(_joined(pending))
        raise _interrupted(sink, error.number) from None
    finally:
        loader.close()  # type: ignore[attr-defined]  # a generator: its workers end now


def _interrupted(sink: Sink, number: int) -> Interrupted:
    kept = "interrupted; what was seen is kept" if sink.saves else "interrupted"
    return Interrupted(kept, number=number, fix="resume with the same command")


@dataclass(frozen=True)
class _Piece:
    """What one process has made of one batch."""

    rows: NDArray[np.int64]
    values: NDArray[np.float32]
    """(n, W); NaN for a broken clip."""
    reasons: dict[int, str]
    views: NDArray[np.float32] | None
    """(V, n, W)"""
    notes: Counter[str]


class _Shard:
    """This process' batches of consecutive rows: batch b belongs to process b modulo their number."""

    def __init__(self, rows: range, batch: int, world: World) -> None:
        self._all = rows
        self.clips_a_round = batch * world.size
        """Clips seen while each process sees a batch."""
        offsets = np.arange(len(rows))
        self.rows = rows.start + offsets[offsets // batch % world.size == world.rank]
        """int64: the rows of this process, in order. Only the very last batch of all can be short."""

    def rounds(self) -> Iterator[range]:
        """The rows that all processes see while each sees a batch; in the last round some may have none."""
        for start in range(self._all.start, self._all.stop, self.clips_a_round):
            yield range(start, min(self._all.stop, start + self.clips_a_round))


def _piece(batch: Batch, views: Tensor, *, keep_views: bool) -> _Piece:
    rows, broken = batch["index"].numpy(), np.flatnonzero(~batch["valid"].numpy())
    values = views.mean(1).cpu().numpy()
    values[broken] = np.nan
    single = None
    if keep_views:
        single = views.movedim(1, 0).cpu().numpy()
        single[:, broken] = np.nan
    notes = Counter[str](note for of_clip in batch["notes"] for note in of_clip)
    return _Piece(rows, values, {int(rows[i]): batch["reason"][i] for i in broken}, single, notes)


def _joined(pieces: list[_Piece]) -> Block:
    """All processes' pieces of consecutive rows, in order."""
    pieces = sorted(pieces, key=lambda piece: int(piece.rows[0]))
    reasons = {row: reason for piece in pieces for row, reason in piece.reasons.items()}
    views = [piece.views for piece in pieces if piece.views is not None]
    values = np.concatenate([piece.values for piece in pieces])
    notes = sum((piece.notes for piece in pieces), Counter[str]())
    return Block(int(pieces[0].rows[0]), values, reasons, np.concatenate(views, axis=1) if views else None, dict(notes))


def _check_finite(block: Block, clips: TestClips, what: str) -> None:
    rows = range(block.start, block.start + len(block.values))
    broken = [row - block.start for row in block.reasons]
    require_finite_values(block.values, broken, lambda row: clips.manifest.row(rows[row]).id, what)


def _signal(session: Session) -> int:
    """The signal that some process was sent, as all of them see it; 0 for none."""
    if not session.world.total(float(session.stop.number != 0))[0]:
        return 0
    numbers = session.world.gather(session.stop.number)
    return int(session.world.share(max(numbers) if numbers else 0))
