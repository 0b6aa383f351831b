"""What tinkit chooses on the machine it runs on, beside what a recipe says; `tinkit doctor --bench` measures it.

- Large buffers are kept and lie in huge pages: :mod:`tinkit.pages`, before PyTorch is imported.
- Native kernels, and on CPUs blocks run as a chain: :mod:`tinkit.ops.native`, :mod:`tinkit.models.chain`.
- channels_last, unless ``train.channels_last = false``.
- Threads: PyTorch's own number, less where the processes of a container get less than the cores that they see.
- BatchNorm is merged into convolutions for tests and predictions. Validation measures the network that is trained, and
  a merged copy of it would cost memory.
- bfloat16 where ``amp = "auto"`` and the device computes in it; never unless asked, since published numbers are
  float32's.
- Denormal numbers are zero in training.
- ``torch.compile`` only with ``train.compile``: it takes a minute to start, and on CPUs a training is no faster.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from tinkit.data.config.views import ViewConfig
from tinkit.engine.distributed.world import World
from tinkit.engine.runtime.precision import PRECISION, Amp, settle_amp
from tinkit.models import Classifier
from tinkit.models.batch_norm import merge_batch_norm
from tinkit.recipe import Recipe

_CGROUPS = Path("/sys/fs/cgroup")


def settle_recipe(recipe: Recipe, device_type: str, world: World | None = None) -> Recipe:
    """``recipe`` with ``train.amp`` as the main process' device has it, where it is ``auto``.

    What a run's folder keeps is this, so that a run goes on in its own precision on any machine.
    """
    if recipe.train.amp != "auto":
        return recipe
    amp = (world or World()).share(settle_amp("auto", device_type))
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"amp": amp})})


def amp_of_test(recipe: Recipe, views: ViewConfig, device_type: str) -> Amp:
    """The precision of a test with ``views``: ``test.amp``, else that of the training."""
    return settle_amp(views.amp or recipe.train.amp, device_type)


def prepare_to_test(model: Classifier) -> None:
    """Make ``model``, loaded for a test and in evaluation mode, as fast as it gets: it can only test afterwards."""
    limit_threads()
    merge_batch_norm(model)


def words(recipe: Recipe, amp: Amp, device_type: str, *, merged: bool) -> str:
    """The choices of a run or a test for people: ``float32, channels_last, BatchNorm merged, 2 threads``."""
    parts = [PRECISION[amp]]
    parts += ["channels_last"] * recipe.train.channels_last + ["BatchNorm merged"] * merged
    if device_type == "cpu":
        count = torch.get_num_threads()
        parts.append(f"{count} thread" + "s" * (count > 1))
    return ", ".join(parts)


def limit_threads() -> None:
    """Have PyTorch use as many threads as :func:`chosen_threads` says."""
    if torch.get_num_threads() > chosen_threads():
        torch.set_num_threads(chosen_threads())


def chosen_threads() -> int:
    """PyTorch's own number, at most :func:`usable_cores`, unless ``OMP_NUM_THREADS`` says how many."""
    own = torch.get_num_threads()
    return own if "OMP_NUM_THREADS" in os.environ else min(own, usable_cores())


def usable_cores() -> int:
    """The cores that this process may use: those that it is bound to, or the share that its control group has of them.

    PyTorch knows the former only, and with more threads than the share each waits for the others to be let run.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _quota()
    return bound if share is None else max(1, min(bound, math.ceil(share)))


def _quota(root: Path = _CGROUPS) -> float | None:
    """The cores' worth of time that the control group is given; None where there is no limit, or none is known."""
    with suppress(OSError, ValueError):
        quota, period = (root / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    return None


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Numbers too small for a whole mantissa are zero in this block: CPUs compute with them many times more slowly.

    Gradients of a loss that is almost zero are such numbers, and BatchNorm's backward pass then takes 30 times as long.
    PyTorch's threads do as the thread that started them did at that time, so the block is to be entered before the
    first large operation of a process. A run that is resumed has it as one that is not.
    """
    before = torch.tensor(1e-40) * 1 == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(bool(before))
