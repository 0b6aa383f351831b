"""Why an offset is learned or not on the challenge of lags, into results/lag_reasons.csv.

    python -m benchmarks.lag_reasons [--folder demo/lags]

Of the network in one block that is told each clip's true lag (`study_lags`, seed 0), once it is trained:

- *pull*: offsets are moved away from the truth by some frames. Of how many test clips does the loss' gradient point
  back, and what is the loss?
- *seen*: OffsetNet is trained by itself to give the true lag, from what it is given there (averages over space). How
  much of the lag's variance does it explain on test clips: of all, and of those whose lag depends on their speed,
  trained on such alone?
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.lag_clips import SPEC, LagClips, load
from benchmarks.lag_networks import NETWORKS, steered, train, video_of
from benchmarks.machine import machine
from benchmarks.study_lags import RESULTS
from tinkit.files.atomic import write_atomic
from tinkit.models import TemporalInterlace
from tinkit.models.temporal.interlace import OffsetNet

NAME = "TIN, told the lag"
DISTANCES = (-0.75, -0.5, -0.25, 0.25, 0.5)
STEPS = 1500


def pull(model: nn.Module, data: LagClips) -> Iterator[dict[str, Any]]:
    """For each distance from half the true lag, in frames: the share of clips drawn back, and the mean loss."""
    for distance in (0.0, *DISTANCES):
        half = (data.lags[:, None] / 2 + distance).requires_grad_()
        inside = half.detach()[:, 0].abs() < 2  # what a network can give
        with steered(model, half.expand(-1, 2)), torch.autocast("cpu", torch.bfloat16):
            losses = F.cross_entropy(model(video_of(data)).float(), data.labels, reduction="none")
        (grad,) = torch.autograd.grad(losses.sum(), half)
        back = ((grad[:, 0] * distance) > 0)[inside].float().mean().item()
        row = {"what": "pull", "case": f"{distance:+g}", "loss": round(losses[inside].mean().item(), 4)}
        yield row | {"clips": int(inside.sum()), "value": round(100 * back, 1) if distance else None}


def averages(model: nn.Module, data: LagClips) -> Tensor:
    """(N, F, T): what the steering networks of the block are given."""
    found: list[Tensor] = []
    (place,) = (
        module for module in model.modules() if isinstance(getattr(module, "temporal", None), TemporalInterlace)
    )
    fold = place.temporal.fold

    def keep(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(inputs[0][:, :fold].float().mean((2, 3)).unflatten(0, (-1, SPEC.frames)).transpose(1, 2))

    handle = place.register_forward_pre_hook(keep)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        model(video_of(data))
    handle.remove()
    return found[0].clone()


def seen(train_on: tuple[Tensor, Tensor], test_on: tuple[Tensor, Tensor]) -> float:
    """Percent of the variance of half the lag that an OffsetNet explains on other clips, trained to give it."""
    torch.manual_seed(0)
    mean, std = train_on[0].mean((0, 2), keepdim=True), train_on[0].std((0, 2), keepdim=True)
    net = OffsetNet(train_on[0].shape[1], SPEC.frames, 1.25)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(STEPS):
        loss = F.mse_loss(net((train_on[0] - mean) / std)[:, 0], train_on[1] / 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        left = F.mse_loss(net((test_on[0] - mean) / std)[:, 0], test_on[1] / 2)
    return round(100 * (1 - left / (test_on[1] / 2).var(correction=0)).item(), 1)


def main() -> None:
    """Train the network, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("demo/lags"))
    root = parser.parse_args().folder / "data"
    torch.set_num_threads(1)
    train_on, test_on = load(root, "train"), load(root, "test")
    model, _ = train(NETWORKS[NAME], "one block", 0.1, 0, train_on)
    rows = list(pull(model, test_on))
    given = {"train": (averages(model, train_on), train_on.lags), "test": (averages(model, test_on), test_on.lags)}
    rows.append({"what": "seen", "case": "all clips", "value": seen(given["train"], given["test"])})
    fast = {name: (found[lags > 2.6], lags[lags > 2.6]) for name, (found, lags) in given.items()}
    rows.append({"what": "seen", "case": "speed alone", "value": seen(fast["train"], fast["test"])})
    table = pd.DataFrame(rows).assign(machine=machine("torch", "timm"))
    write_atomic(RESULTS / "lag_reasons.csv", table.to_csv(index=False))
    print(table.drop(columns="machine").to_string(index=False))


if __name__ == "__main__":
    main()
