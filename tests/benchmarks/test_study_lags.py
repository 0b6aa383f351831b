"""The study of lags: rates chosen on the validation split, Student's intervals, twins told from each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from scipy.stats import ttest_1samp
from torch import Tensor, nn

from benchmarks.lag_clips import LagClips
from benchmarks.lag_networks import NETWORKS, measure, offsets_by_lag
from benchmarks.study_lags import (
    PAGE,
    RATES,
    RESULTS,
    Training,
    as_markdown,
    cases,
    chosen,
    mean_and_half,
    results,
    summary,
    to_do,
)
from benchmarks.tables import put_between
from tinkit.models import VideoClassifier


def done(folder: Path, training: Training, **values: float) -> None:
    row = training._asdict() | {"val_top1": 0.0, "top1": 0.0, "two": 0.0, "half": 0.0, "speed": 0.0} | values
    path = training.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"row": row, "offsets": []}))


def test_a_rate_is_chosen_on_the_validation_split_and_kept_for_the_other_seeds(tmp_path: Path) -> None:
    case = ("one block", "TSM")
    plan = to_do(tmp_path, 3, [case])
    tuned = [next(plan) for _ in RATES]
    assert tuned == [Training(*case, rate, 0) for rate in RATES]
    for training in tuned:
        last = training.rate == RATES[-1]
        done(tmp_path, training, val_top1=60.0 if last else 50.0, top1=40.0 if last else 70.0)
    assert list(plan) == [Training(*case, RATES[-1], seed) for seed in (1, 2)]
    assert chosen(results(tmp_path))["top1"].tolist() == [40.0]


def test_every_share_together_is_the_whole_study(tmp_path: Path) -> None:
    for case in cases():
        done(tmp_path, Training(*case, RATES[0], 0))
    whole = list(to_do(tmp_path, 5, cases()))
    shares = [training for share in (0, 1) for training in to_do(tmp_path, 5, cases()[share::2])]
    assert sorted(whole) == sorted(shares)
    assert len({training.path(tmp_path) for training in whole}) == len(whole) == len(cases()) * (len(RATES) + 4)


def test_the_interval_is_students() -> None:
    values = pd.Series([50.0, 53.0, 49.5, 55.0, 51.0])
    mean, half = mean_and_half(values)
    told = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean - half, mean + half) == pytest.approx((told.low, told.high))
    assert mean_and_half(values[:1]) == (50.0, float("inf"))


def test_differences_are_taken_seed_by_seed(tmp_path: Path) -> None:
    for seed, peer in enumerate((40.0, 60.0, 50.0)):
        done(tmp_path, Training("one block", "r-TCN", 0.1, seed), top1=peer)
        done(tmp_path, Training("one block", "TIN, from the clip", 0.1, seed), top1=peer + 4)
    told = summary(results(tmp_path)).set_index("network")
    assert told.loc["TIN, from the clip", "top1 over r-TCN"] == "4.0 ± 0.0"
    assert told.loc["TIN, from the clip", "seeds"] == 3


class Says(nn.Module):
    """Logits that favour class ``label + wrong``, above all else."""

    def __init__(self, wrong: Tensor, labels: Tensor) -> None:
        super().__init__()
        self.found = nn.functional.one_hot((labels + wrong) % 6, 6).float()

    def forward(self, video: Tensor) -> Tensor:
        return self.found[: len(video)]


def test_twins_are_told_from_each_other_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = torch.tensor([0, 1, 2, 3, 4, 5])
    data = LagClips(torch.zeros(6, 8, 3, 4, 4, dtype=torch.uint8), labels, torch.full((6,), 2.0))
    right = measure(Says(torch.zeros(6, dtype=torch.long), labels), NETWORKS["TSN"], data)
    assert right == {"top1": 100.0, "two": 100.0, "half": 100.0, "speed": 100.0}
    # classes 0 and 1 are taken for each other, 2 for 4: another kind's, so that its own twins remain tied
    wrong = measure(Says(torch.tensor([1, 5, 2, 0, 0, 0]), labels), NETWORKS["TSN"], data)
    assert wrong == {"top1": 50.0, "two": 0.0, "half": 100.0, "speed": 100.0}


@pytest.mark.parametrize("name", ["TIN, told the lag", "TIN, learned once", "r-TCN"])
def test_offsets_are_told_by_the_true_lag(name: str) -> None:
    network = NETWORKS[name]
    settings: dict[str, Any] = network.settings
    model = VideoClassifier("test_resnet", num_classes=6, num_segments=8, **settings).eval()
    data = LagClips(
        torch.randint(0, 255, (3, 8, 3, 32, 32), dtype=torch.uint8),
        torch.tensor([0, 2, 5]),
        torch.tensor([2.0, 2.5, 3.3]),
    )
    rows = offsets_by_lag(model, network, data)
    assert {row["layer"] for row in rows} == {"layer1", "layer2", "layer3", "layer4"}
    assert [row["lag"] for row in rows[:3]] == [2.0, 2.5, 3.25]
    for row in rows:
        near = {2.0: 2.0, 2.5: 2.5, 3.25: 3.3}[row["lag"]] / 2 if network.by_hand else 1.0
        assert [row[f"group_{group}"] for group in range(4)] == pytest.approx([near, near, -near, -near], abs=1e-3)


def test_the_page_shows_the_committed_results() -> None:
    table = pd.read_csv(RESULTS / "study_lags.csv")
    told = as_markdown(summary(chosen(table)))
    assert put_between(PAGE.read_text(), "study-lags", told) == PAGE.read_text(), "run `make study-lags`"
