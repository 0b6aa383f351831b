"""Whether two runs are the same to the last bit: weights, optimiser, averages, tables and events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from tinkit.engine.runs.run import Run
from tinkit.engine.runs.tensor_file import read_tensor_file
from tinkit.files.toml import flatten

TIMING = ("clips_per_s", "waiting")
"""What no two runs have in common: columns of ``metrics.csv``, and scalars below ``train/``."""
_EVERYTHING = dict.fromkeys(("scalars", "histograms", "images", "tensors"), 0)


@dataclass
class Comparison:
    """What was compared, counted, and where the runs differ."""

    compared: Counter[str] = field(default_factory=Counter)
    """``model``, ``optimizer`` and ``ema`` tensors, ``metrics`` values, events by kind, ..."""
    differences: list[str] = field(default_factory=list)

    def check(self, kind: str, same: bool, what: str) -> None:
        """Count one thing of a kind; note ``what`` it is if it differs."""
        self.compared[kind] += 1
        if not same:
            self.differences.append(f"{kind}: {what}")


def compare_runs(first: Run, second: Run) -> Comparison:
    """Everything that two runs of one recipe have left, but for the time it took."""
    result = Comparison()
    names = [_file_names(run) for run in (first, second)]
    result.check("files", names[0] == names[1], f"{sorted(names[0] ^ names[1])} are in one run only")
    for name in sorted(names[0] & names[1]):
        one, two = first.folder / name, second.folder / name
        if one.suffix == ".safetensors":
            _compare_checkpoints(result, one, two)
        elif name == first.metrics_path.name:
            _compare_metrics(result, one, two)
        else:
            result.check("files", one.read_bytes() == two.read_bytes(), name)
    _compare_events(result, first, second)
    return result


def _file_names(run: Run) -> set[str]:
    """All files but the events, whose number depends on how often the run was begun."""
    files = (path for path in run.folder.rglob("*") if path.is_file() and run.events not in path.parents)
    return {str(path.relative_to(run.folder)) for path in files}


def _compare_checkpoints(result: Comparison, one: Path, two: Path) -> None:
    (tensors, header), (others, other_header) = read_tensor_file(one), read_tensor_file(two)
    result.check("tensor names", tensors.keys() == others.keys(), one.name)
    for name in tensors.keys() & others.keys():
        result.check(name.partition(".")[0], _same_bits(tensors[name], others[name]), f"{one.name}: {name}")
    values, other_values = _timeless(header), _timeless(other_header)
    for key in sorted(values.keys() | other_values.keys()):
        same = key in values and key in other_values and repr(values[key]) == repr(other_values[key])
        result.check("header", same, f"{one.name}: {key}")


def _same_bits(one: Tensor, two: Tensor) -> bool:
    if one.dtype != two.dtype or one.shape != two.shape:
        return False
    return torch.equal(*(tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (one, two)))


def _timeless(header: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's header without what may differ: timing, and how many workers read the clips."""
    varying = {f"progress.shown.train/{name}" for name in TIMING} | {"info.recipe.train.workers"}
    return {key: value for key, value in flatten(header).items() if key not in varying}


def _compare_metrics(result: Comparison, one: Path, two: Path) -> None:
    table, other = (pd.read_csv(path, dtype=str, keep_default_na=False) for path in (one, two))
    shapes = f"{table.shape} and {other.shape}, or other columns"
    same = table.shape == other.shape and list(table.columns) == list(other.columns)
    result.check("metrics", same, shapes)
    for column in [name for name in table.columns if same and name not in TIMING]:
        for row, (value, other_value) in enumerate(zip(table[column], other[column], strict=True)):
            result.check("metrics", value == other_value, f"{column} of row {row}: {value} and {other_value}")


def _compare_events(result: Comparison, first: Run, second: Run) -> None:
    """As TensorBoard shows them: what a resumed run took back is not there."""
    readers = [EventAccumulator(str(run.events), size_guidance=_EVERYTHING).Reload() for run in (first, second)]
    tags = [reader.Tags() for reader in readers]
    result.check("tags", tags[0] == tags[1], "one run has tags that the other lacks")
    kinds: dict[str, Callable[[Any], Any]] = {
        "scalars": lambda event: repr(event.value),
        "histograms": lambda event: event.histogram_value,
        "images": lambda event: event.encoded_image_string,
    }
    for kind, content in kinds.items():
        for tag in sorted(set(tags[0][kind]) & set(tags[1][kind])):
            items, others = (getattr(reader, kind.capitalize())(tag) for reader in readers)
            steps, other_steps = ([item.step for item in row] for row in (items, others))
            same = steps == other_steps == sorted(set(steps))
            result.check(f"steps of {kind}", same, f"{tag}: steps {steps} and {other_steps}")
            if same and tag.removeprefix("train/") not in TIMING:
                for item, other in zip(items, others, strict=True):
                    result.check(kind, content(item) == content(other), f"{tag} of step {item.step}")
