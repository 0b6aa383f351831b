"""What a checkpoint of a ResNet-50 run costs; a row is appended to benchmarks/results/checkpoints.csv.

    python -m benchmarks.checkpoints [--backbone resnet50] [--folder DIR] [--out FILE]

TIN with SGD's momentum and averaged weights: what training waits for (`stall_ms`: the copy, and handing it over), what
the background thread then does (`write_ms`: checksum, write, flush, link), the longest that a loop in the main thread
was held up meanwhile (`pause_ms`), reading it all against its checksum (`check_ms`) and going on from it (`resume_ms`).
Beside these, what one would do without a thread: `torch.save` of the same state with a flush (`torch_save_ms`). Each is
the median of several.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from copy import deepcopy
from datetime import date
from pathlib import Path

import torch
from torch import nn

from benchmarks.machine import machine
from tinkit.engine.runs.checkpoint import Progress, check_checkpoint, resume_checkpoint, snapshot
from tinkit.engine.runs.checkpoint_writer import Keeper
from tinkit.engine.runs.run import Run
from tinkit.models import VideoClassifier
from tinkit.recipe.training import SaveConfig

TIMES = 5


def timed(call: Callable[[], object]) -> float:
    """Milliseconds of a call."""
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def median(call: Callable[[], object]) -> float:
    """The median milliseconds of several calls."""
    return statistics.median(timed(call) for _ in range(TIMES))


def longest_pause(thread: threading.Thread) -> float:
    """Until the thread ends, the most milliseconds that a loop with pauses of one needed for a round."""
    thread.start()
    rounds = [0.0]
    while thread.is_alive():
        rounds.append(timed(lambda: time.sleep(0.001)))
    return max(rounds)


def training(backbone: str) -> tuple[nn.Module, torch.optim.Optimizer, nn.Module]:
    """A classifier as it is trained, its optimiser with a momentum for every parameter, and its average."""
    model = VideoClassifier(backbone=backbone, temporal="tin", num_classes=313, num_segments=8, pretrained=False)
    model = model.to(memory_format=torch.channels_last).to("cuda" if torch.cuda.is_available() else "cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return model, optimizer, deepcopy(model)


def torch_save(model: nn.Module, optimizer: torch.optim.Optimizer, ema: nn.Module, path: Path) -> None:
    with path.open("wb") as file:
        torch.save([model.state_dict(), optimizer.state_dict(), ema.state_dict()], file)
        file.flush()
        os.fsync(file.fileno())


def measure(backbone: str, folder: Path) -> dict[str, str | int]:
    """One row of the table."""
    model, optimizer, ema = training(backbone)
    run = Run(folder)
    stalls, writes, pauses = [], [], []
    with Keeper(run, SaveConfig()) as keeper:
        for step in range(TIMES):

            def save(step: int = step) -> None:
                keeper.save(snapshot(model, Progress(), {}, optimizer=optimizer, ema=ema), step, ("best",))

            stalls.append(timed(save))
            start = time.perf_counter()
            pauses.append(longest_pause(threading.Thread(target=keeper.wait)))
            writes.append(1000 * (time.perf_counter() - start))
    last = run.checkpoint("last")
    return {
        "date": date.today().isoformat(),
        "backbone": backbone,
        "device": "cpu" if not torch.cuda.is_available() else torch.cuda.get_device_name(),
        "megabytes": round(last.stat().st_size / 1e6),
        "stall_ms": f"{statistics.median(stalls):.0f}",
        "write_ms": f"{statistics.median(writes):.0f}",
        "pause_ms": f"{statistics.median(pauses):.0f}",
        "check_ms": f"{median(lambda: check_checkpoint(last)):.0f}",
        "resume_ms": f"{median(lambda: resume_checkpoint(last, model, optimizer, ema)):.0f}",
        "torch_save_ms": f"{median(lambda: torch_save(model, optimizer, ema, folder / 'plain.pt')):.0f}",
        "machine": machine("torch"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What a checkpoint costs")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--folder", type=Path, help="where to write, a disk to be measured; else a temporary folder")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "checkpoints.csv")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        row = measure(asked.backbone, Path(folder))
    print(", ".join(f"{key} {value}" for key, value in row.items() if key not in ("date", "machine")))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    new = not asked.out.exists()
    with asked.out.open("a", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
