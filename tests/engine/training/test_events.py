"""What a run leaves for TensorBoard, read back with its own reader, unbroken and resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.tiny_runs import QUIET, resume, tiny, train
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.trials import Trial
from tinkit.engine.training.start import start_training
from tinkit.engine.training.validate import Validator
from tinkit.errors import Interrupted

PACE = {"train/clips_per_s", "train/waiting"}


def events(run: Run) -> EventAccumulator:
    found = EventAccumulator(str(run.events), size_guidance={"histograms": 0, "scalars": 0, "images": 0})
    found.Reload()
    return found


def scalars(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Every scalar but those of pace: (step, value) by tag, in the order in which a reader meets them."""
    found = events(run)
    tags = set(found.Tags()["scalars"]) - PACE
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in tags}


def test_everything_that_is_worth_looking_at_is_there(challenge: Path, tmp_path: Path) -> None:
    run = train(challenge, tmp_path, "a", "optim.groups=published", "ema.decay=0.5", "train.samples=3")
    found = events(run)
    rates = {f"lr/{kind}" for kind in ("first_conv_weight", "weight", "bias", "norm", "classifier_weight")}
    assert {"train/loss", "train/grad_norm", "train/lr", *PACE, *rates, "lr/classifier_bias"} <= set(
        found.Tags()["scalars"]
    )
    for tag in ("train/loss", "train/waiting", "lr/bias"):
        assert [event.step for event in found.Scalars(tag)] == [1, 2, 3, 4, 5, 6]
    assert all(0 <= event.value <= 1 for event in found.Scalars("train/waiting"))
    bias, weight = (found.Scalars(f"lr/{kind}")[3].value for kind in ("classifier_bias", "weight"))
    assert bias == pytest.approx(10 * weight)
    table = pd.read_csv(run.metrics_path)
    for name in ("sample_map", "class_map", "ema_sample_map"):
        read = [(event.step, event.value) for event in found.Scalars(f"val/{name}")]
        assert read == [(3, pytest.approx(table[f"val_{name}"][0])), (6, pytest.approx(table[f"val_{name}"][1]))]
    blocks = [f"layer{stage}.0.conv1.temporal" for stage in (1, 2, 3, 4)]
    wanted = {f"{kind}/backbone.{block}" for kind in ("offset", "gain") for block in blocks}
    assert wanted <= set(found.Tags()["histograms"])
    manifest = open_manifest(tiny(challenge).data, "val")
    assert manifest.classes
    every = {tag.removeprefix("val_AP/") for tag in found.Tags()["scalars"] if tag.startswith("val_AP/")}
    labelled = {label for labels in manifest.table["labels"].to_pylist() for label in labels}
    assert every == {manifest.classes[label] for label in labelled}
    last = [found.Scalars(f"val_AP/{name}")[-1].value for name in every]
    assert np.mean(last) == pytest.approx(table["val_class_map"][1], abs=1e-6)
    assert found.Tags()["images"] == ["sample/0", "sample/1", "sample/2"]
    picture = found.Images("sample/0")[0]
    assert picture.width >= 4 * 32  # four frames side by side
    assert picture.height > 32  # and text below


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_a_resumed_run_tells_what_an_unbroken_one_tells(challenge: Path, tmp_path: Path, steps: int) -> None:
    """Steps that were trained but not saved are taken back; nothing is told twice and nothing lost."""
    whole = train(challenge, tmp_path, "whole")
    broken = train(challenge, tmp_path, "broken", steps=steps)
    saved = broken.checkpoint("last").read_bytes()
    resume(broken, Trial(max_steps=1))
    # as if it had been killed before it saved again: the events of that step are on the disk already
    for path in broken.checkpoints.iterdir():
        path.unlink()
    broken.checkpoint("last").write_bytes(saved)
    resume(broken)
    assert scalars(broken) == scalars(whole)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_validation_that_was_cut_short_is_told_once(
    challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    whole, broken = train(challenge, tmp_path, "whole"), Run(tmp_path / "broken")
    plain = Validator.__call__

    def cut(self: Validator, model: object, log: object, done: int) -> dict[str, float]:
        if when == "after":
            plain(self, model, log, done)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Validator, "__call__", cut)
        with pytest.raises(Interrupted):
            start_training(broken, tiny(challenge), QUIET)
    resume(broken)
    assert scalars(broken) == scalars(whole)
    first, second = events(broken), events(whole)
    for tag in second.Tags()["histograms"]:
        theirs, ours = first.Histograms(tag), second.Histograms(tag)
        assert [event.step for event in theirs] == [event.step for event in ours] == [3, 6]
        assert np.array_equal(theirs[0].histogram_value.bucket, ours[0].histogram_value.bucket)
    assert [event.step for event in first.Images("sample/0")] == [3, 6]
