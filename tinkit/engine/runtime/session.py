"""What a command works with: its processes, what it says, the wish to stop, and the folder of its runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tinkit.engine.distributed.signals import StopSignal
from tinkit.engine.distributed.world import World
from tinkit.engine.runtime.reporter import Reporter


@dataclass(frozen=True)
class Session:
    """Made once by the command line, and handed to whatever does the work.

    ``Session()`` is for Python: one process that reports its progress and is not asked to stop.
    """

    world: World = field(default_factory=World)
    """The processes that share the work."""
    reporter: Reporter = field(default_factory=Reporter)
    """Where progress is shown: a quiet one on all processes but the main one."""
    stop: StopSignal = field(default_factory=StopSignal)
    """The wish to stop, asked about between two steps. Signals count as one only while it is entered."""
    runs: Path = Path("runs")
    """The folder of runs: a run that is named is looked for here first."""
