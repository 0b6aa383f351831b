"""What tinkit chooses on the machine it runs on, beside what a recipe says; `tinkit doctor --bench` measures it.

- Large buffers are kept and lie in huge pages: :mod:`tinkit.pages`, before PyTorch is imported.
- Native kernels (:mod:`tinkit.ops.native`), and on CPUs without gradients fused convolutions
  (:mod:`tinkit.models.fused`).
- channels_last, unless ``train.channels_last = false``.
- Threads: PyTorch's own number, less where the processes of a container get less than the cores that they see.
- BatchNorm is merged into convolutions for tests and predictions. Validation measures the network that is trained, and
  a merged copy of it would cost memory.
- bfloat16 where ``amp = "auto"`` and the device computes in it; never unless asked, since published numbers are
  float32's.
- Denormal numbers are zero in training.
- ``torch.compile`` only with ``train.compile``: it takes a minute to start, and does not make training on CPUs faster.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from tinkit.data.config.views import ViewConfig
from tinkit.engine.distributed.world import World
from tinkit.engine.runtime.precision import PRECISION, Amp, settle_amp
from tinkit.recipe import Recipe
from tinkit.recipe.training import TrainConfig
from tinkit.workers.cores import usable_cores


def choose_device(world: World | None = None) -> torch.device:
    """The process' CUDA device where there is one, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", world.local_rank) if world else torch.device("cuda")


def loader_workers(config: TrainConfig) -> int:
    """How many processes decode clips: what the recipe says, else one a core that this process may use, at most 8."""
    return min(8, usable_cores()) if config.workers is None else config.workers


def settle_recipe(recipe: Recipe, device_type: str, world: World | None = None) -> Recipe:
    """``recipe`` with ``train.amp`` as the main process' device has it, where it is ``auto``.

    What a run's folder keeps is this, so that a run is resumed in its own precision on any machine.
    """
    if recipe.train.amp != "auto":
        return recipe
    amp = (world or World()).share(settle_amp("auto", device_type))
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"amp": amp})})


def amp_of_test(recipe: Recipe, views: ViewConfig, device_type: str) -> Amp:
    """The precision of a test with ``views``: ``test.amp``, else that of the training."""
    return settle_amp(views.amp or recipe.train.amp, device_type)


def words(recipe: Recipe, amp: Amp, device_type: str, *, merged: bool) -> str:
    """The choices of a run or a test for people: ``float32, channels_last, BatchNorm merged, 2 threads``."""
    parts = [PRECISION[amp]]
    parts += ["channels_last"] * recipe.train.channels_last + ["BatchNorm merged"] * merged
    if device_type == "cpu":
        count = torch.get_num_threads()
        parts.append(f"{count} thread" + "s" * (count > 1))
    return ", ".join(parts)


def device_words(device: torch.device, world: World) -> str:
    """What computes, for people: ``2 x NVIDIA H100``, or ``4 threads of Intel(R) Xeon(R) ...``."""
    if device.type == "cuda":
        name, count = torch.cuda.get_device_name(device), world.size
        return f"{count} x {name}" if count > 1 else name
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.is_file() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{world.size * torch.get_num_threads()} threads of {next(models, platform.machine())}"


def limit_threads() -> None:
    """Have PyTorch use as many threads as :func:`chosen_threads` says."""
    if torch.get_num_threads() > chosen_threads():
        torch.set_num_threads(chosen_threads())


def chosen_threads() -> int:
    """PyTorch's own number, at most :func:`usable_cores`, unless ``OMP_NUM_THREADS`` says how many."""
    own = torch.get_num_threads()
    return own if "OMP_NUM_THREADS" in os.environ else min(own, usable_cores())


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
